// What server and worker say to each other, and server and zygote. Versioned binary frames over
// Unix stream sockets: u32 length (of type + payload), u8 type, payload. Integers little-endian,
// strings as u32 length + bytes, doubles as IEEE 754 bits. Nothing here does I/O.
//
// server → worker   Job (with descriptors: source, stored output[, stream output]; those that
// follow a Job with `more`: stored output; then there is one Done for each, in their order),
// SourceReady, SourceFailed worker → server   Hello, Need, Progress, Done | Failed server → zygote
// Spawn (with the worker's socket), Kill zygote → server   Spawned, Exited
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace vr::transform::protocol {

inline constexpr uint32_t kVersion = 5;
inline constexpr size_t kMaxFrameBytes = 1 << 20;

/// What a job makes. kAnimation: a moving picture without sound (GIF, WebP); kInfo: facts as JSON.
enum class Operation : uint8_t {
  kVideo = 1,
  kFrame = 2,
  kSheet = 3,
  kAudio = 4,
  kAnimation = 5,
  kInfo = 6,
};
enum class Fit : uint8_t { kContain = 1, kScaleDown = 2, kCover = 3, kPad = 4 };
/// kMp4: H.264 and AAC; kWebm: VP9 and Opus; kHevc, kAv1: in MP4 with AAC; kVtt: the tiles of a
/// sheet.
enum class OutputFormat : uint8_t {
  kMp4 = 1,
  kJpeg = 2,
  kPng = 3,
  kWebm = 4,
  kHevc = 5,
  kAv1 = 6,
  kGif = 7,
  kWebp = 8,
  kM4a = 9,
  kMp3 = 10,
  kOpus = 11,
  kVtt = 12,
  kJson = 13,
};
/// Which picture a frame or tile is: the one shown at its time, or the key frame before that.
enum class Accuracy : uint8_t { kExact = 1, kKeyframe = 2 };
enum class Level : uint8_t { kLow = 1, kMedium = 2, kHigh = 3, kAuto = 4 };

struct Limits {
  uint64_t max_pixels = 35'000'000;  ///< width*height of the source
  double max_source_seconds = 4 * 3600.0;
  double max_output_seconds = 4 * 3600.0;
  uint64_t max_output_bytes = 4ull << 30;  ///< per output file
  uint32_t max_streams = 64;
  uint64_t max_frames = 1'000'000;              ///< pictures decoded for one result
  uint64_t max_animation_pixels = 500'000'000;  ///< width*height*pictures of a GIF or WebP
};

/// A part of the upright source, in its displayed pixels.
struct CropBox {
  uint32_t width = 0, height = 0, x = 0, y = 0;
  bool operator==(const CropBox&) const = default;
};

/// The grid of a spritesheet. Absent columns and rows are chosen from the count.
struct SheetGrid {
  uint32_t count = 20;  ///< tiles; fewer when the source has fewer
  std::optional<uint32_t> columns, rows;
  std::optional<double> interval_seconds;  ///< between tiles; absent: spread over the source
  bool operator==(const SheetGrid&) const = default;
};

/// One job. Everything that decides the output bytes is in here, nothing of it depends on the
/// machine (decoder_threads and encoder_threads change speed only).
struct Job {
  uint32_t version = kVersion;
  Operation operation = Operation::kVideo;
  OutputFormat format = OutputFormat::kMp4;
  std::optional<uint32_t> width, height;  ///< requested box, pixels
  Fit fit = Fit::kContain;
  Level quality = Level::kAuto;
  uint32_t quality_number = 0;  ///< 1-100, 0 = use `quality`
  Level compression = Level::kAuto;
  double start_seconds = 0;
  /// Of stills, sheets and animations: 0 is the first picture, not where the source begins. In what
  /// we made ourselves it always was, though a container may say otherwise.
  bool from_first_picture = false;
  std::optional<double> duration_seconds;
  bool audio = true;
  std::optional<CropBox> crop;  ///< before everything else
  double rotate_degrees = 0;    ///< clockwise, [0, 360), after the source's own orientation
  double fps = 0;               ///< constant frame rate; 0 = as the source
  double speed = 1;             ///< 0.25-4
  uint64_t bit_rate = 0;        ///< of the main stream, bits per second; 0 = by quality
  SheetGrid sheet;
  std::string link;  ///< what a WebVTT's cues point to: the sheet's relative URL
  Accuracy accuracy = Accuracy::kExact;
  double target_ssim = 0;  ///< with quality auto: solve for this similarity; 0 = fixed quality
  double known_rate_factor = 0;  ///< what an earlier job on this source solved; 0 = not known
  uint64_t source_size = 0;      ///< bytes
  bool source_complete = true;   ///< false: ask Need before reading
  uint32_t more = 0;             ///< so many jobs of the same source follow, to be done with it
  bool stream = true;            ///< descriptor 2 is there: also write fragmented MP4
  uint32_t decoder_threads = 1;
  bool segments = false;         ///< a long video may be encoded in segments; decides its bytes
  uint32_t encoder_threads = 1;  ///< segments encoded at the same time; does not
  Limits limits;
};

/// [offset, offset+length) of the source is wanted.
struct Need {
  uint64_t offset = 0, length = 0;
};
/// `available` bytes from `offset` on can be read now; 0 = end of the source.
struct SourceReady {
  uint64_t offset = 0, available = 0;
};
struct SourceFailed {
  std::string message;
};
/// Sent at least every 100 ms of work while anything moves, and after each stream fragment. Final
/// bytes only.
struct Progress {
  uint64_t stream_bytes = 0;  ///< watermark of the stream output
  uint64_t stored_bytes = 0;  ///< bytes written so far (informational)
  uint32_t percent = 0;       ///< monotonic 0..100
  /// Of the whole job, wall time; 0 = not known. Told before the first stream byte.
  double estimated_seconds = 0;
};
struct Done {
  uint64_t stored_bytes = 0, stream_bytes = 0;
  uint32_t width = 0, height = 0;  ///< output pixels
  double duration_seconds = 0;     ///< output
  double fps = 0;                  ///< output average; 0 for stills
  uint64_t frames = 0;
  bool has_audio = false;
  double cpu_seconds = 0;
  std::string video_codec, audio_codec;  ///< "h264", "aac", "mjpeg", "png"
  std::string route;       ///< "remux", "copy video", "copy audio", "transcode", "keyframes", ...
  double rate_factor = 0;  ///< solved for target_ssim; 0 = none was
  std::vector<std::string> warnings;  ///< "damaged: 3 packets skipped"
};
/// `reason` is an API error code of docs/http.md: SOURCE_UNSUPPORTED, SOURCE_CORRUPT,
/// SOURCE_TOO_LARGE, TIME_OUT_OF_RANGE, INVALID_PARAMETER, TRANSFORM_FAILED; or SOURCE_FAILED when
/// reading the source failed (the server knows why).
struct Failed {
  std::string reason;
  std::string message;  ///< safe for clients
  std::string detail;   ///< for the log
  /// Of a limit: names and values in turn, safe for clients. Error::facts.
  std::vector<std::string> facts = {};
};
struct Hello {
  uint32_t version = kVersion;
  std::string recipe;  ///< libav versions and recipe revision; part of the plan digest
};

struct Spawn {
  uint64_t id = 0;
};
struct Kill {
  uint64_t id = 0;
};
struct Spawned {
  uint64_t id = 0;
  int32_t pid = 0;  ///< -errno when fork failed
};
struct Exited {
  uint64_t id = 0;
  int32_t wait_status = 0;  ///< as waitpid gives it
  double cpu_seconds = 0;
  uint64_t max_rss_bytes = 0;
};

using Message = std::variant<Job, Need, SourceReady, SourceFailed, Progress, Done, Failed, Hello,
                             Spawn, Kill, Spawned, Exited>;

/// A whole frame, length prefix included.
std::string Encode(const Message& message);

/// Takes the first whole frame off `buffer`.
/// @return nullopt when more bytes are needed
/// @errors kCorruption: unknown type, over-long frame, trailing or missing bytes, impossible enum
Result<std::optional<Message>> TakeFrame(std::string& buffer);

}  // namespace vr::transform::protocol
