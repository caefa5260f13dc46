// VariantRequest: what was asked for, in the one canonical form from which key, tags and digest
// follow.
//
// Two sets of options live in it. `own` is what the caller set beyond the derivative: it goes into
// the key, beside the derivative's name. `resolved` is what has to be made, derivative expanded:
// planner and digest read that one. Both are canonical: a value equal to the documented default, or
// without effect in the mode, is absent; so equal questions are equal values. Plain values;
// thread-compatible.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vr::variant {

/// kInfo: what the source is, as JSON.
enum class Mode : uint8_t { kVideo, kFrame, kSpritesheet, kAudio, kInfo };
enum class Fit : uint8_t { kContain, kScaleDown, kCover, kPad };
enum class Level : uint8_t { kLow, kMedium, kHigh, kAuto };
/// `vp9` and `webm` are two names of one format (VP9 in WebM), as are `h264` and `mp4`.
enum class Format : uint8_t {
  kMp4,
  kWebm,
  kH265,
  kAv1,
  kGif,
  kWebp,  // video (webp also frame and spritesheet)
  kJpg,
  kPng,  // frame and spritesheet
  kM4a,
  kMp3,
  kOpus,  // audio
  kVtt,   // spritesheet: the matching WebVTT
  kJson,  // info
  kAuto,  // still to be negotiated by Accept, see negotiate.h
};

/// A level, or a number 1-100 (100 is best).
struct Quality {
  Level level = Level::kAuto;
  uint8_t number = 0;  ///< 0: `level` counts
  bool operator==(const Quality&) const = default;
};

/// Pixels of the source, upright.
struct Crop {
  uint32_t width = 0, height = 0, x = 0, y = 0;
  bool operator==(const Crop&) const = default;
};

/// A decimal number with six digits behind the point: exact, hashable, printable.
struct Decimal {
  int64_t millionths = 0;
  double value() const { return static_cast<double>(millionths) / 1e6; }
  bool operator==(const Decimal&) const = default;
};

using Time = std::chrono::microseconds;
inline double ToSeconds(Time t) {
  return static_cast<double>(t.count()) / 1e6;
}

/// Everything that can be asked of a variant. Absent = the documented default.
struct MediaOptions {
  std::optional<uint32_t> width, height;  ///< pixels; the box that `fit` speaks of
  std::optional<Format> format;
  std::optional<Quality> quality;
  std::optional<Level> compression;  ///< encoder effort
  std::optional<Fit> fit;            ///< contain
  std::optional<Time> time;          ///< start, from the beginning of the source; 0
  std::optional<Time> duration;      ///< > 0; to the end
  std::optional<bool> audio;         ///< true
  std::optional<Decimal> fps;        ///< > 0; as the source
  std::optional<Decimal> speed;      ///< 0.25-4; 1
  std::optional<Decimal> rotate;     ///< degrees clockwise, [0, 360); 0
  std::optional<Crop> crop;
  std::optional<uint64_t> bitrate;  ///< bits per second
  // Spritesheet.
  std::optional<uint32_t> image_count;  ///< 20
  std::optional<uint32_t> columns, rows;
  std::optional<Time> interval;

  bool operator==(const MediaOptions&) const = default;
};

struct VariantRequest {
  Mode mode = Mode::kVideo;
  /// Decoded once; no leading, trailing or doubled slash, no dot segment, no control byte. Any
  /// other byte.
  std::string source_path;
  std::string derivative;  ///< name of a preset that exists; empty = none
  MediaOptions own;  ///< set by the caller, and neither by the derivative nor equal to a default
  MediaOptions resolved;  ///< the derivative's options and, where it has none, the caller's

  /// True when nothing is asked of the source: the answer is its original bytes.
  bool is_original() const { return mode == Mode::kVideo && resolved == MediaOptions(); }
  /// The format of the answer; of an original, what `video` would be made in (mp4). Never kAuto.
  Format format() const;

  bool operator==(const VariantRequest&) const = default;
};

/// The default format of a mode: mp4, jpg, jpg, m4a, json.
Format DefaultFormat(Mode mode);
/// Whether a mode can be answered in this format (kAuto: always).
bool IsCompatible(Format format, Mode mode);
/// Media type of a finished answer: "video/mp4", "image/jpeg", ...
std::string_view ContentType(Format format, Mode mode);
/// File name extension without dot: "mp4", "webm", "jpg", ...
std::string_view Extension(Format format, Mode mode);

/// The names of the URL and of the key: "video", "scale-down", "auto", "jpg".
std::string_view ToString(Mode mode);
std::string_view ToString(Fit fit);
std::string_view ToString(Level level);
std::string_view ToString(Format format);

}  // namespace vr::variant
