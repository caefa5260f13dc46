// Media: a source opened safely: only known containers and codecs, no references to elsewhere,
// within the limits. Which of its streams are *the* video and *the* audio is decided here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/av.h"
#include "worker/geometry.h"
#include "worker/index_slice.h"
#include "worker/source_io.h"
#include "worker/video_route.h"

namespace vr::worker {

/// What a source must have to be of use.
enum class Want {
  kPicture,      ///< a video stream; sound when there is some
  kOneFrame,     ///< a video stream, for a picture or two that tell their own format and colours
  kNewPictures,  ///< as kPicture, but of the video no packet will be copied
  kSound,        ///< an audio stream; of the video nothing is read
  kAnything,  ///< whatever it is: only told about, so nothing need be decodable, nor within limits
};

/// Must not outlive the SourceIo it was opened on. Main thread only.
class Media {
 public:
  /// @errors SOURCE_UNSUPPORTED (not media, refused container, encrypted, no video),
  /// SOURCE_CORRUPT,
  ///   SOURCE_TOO_LARGE, SOURCE_FAILED
  static Result<std::unique_ptr<Media>> Open(SourceIo& io,
                                             const transform::protocol::Limits& limits,
                                             Want want = Want::kPicture);
  /// For the one picture on the screen at `moment` (seconds), and nothing else: reads of a long
  /// index only what that takes, where it can (holds_all() tells).
  /// @errors as above
  static Result<std::unique_ptr<Media>> OpenAt(SourceIo& io,
                                               const transform::protocol::Limits& limits,
                                               double moment);
  ~Media();
  Media(const Media&) = delete;
  Media& operator=(const Media&) = delete;

  AVFormatContext* format() const { return format_; }
  /// Null only when no picture was wanted.
  AVStream* video() const { return video_; }
  AVStream* audio() const { return audio_; }
  /// audio() cannot be decoded after all: takes the next best. Before reading. @return false when
  /// there is none; audio() stays
  bool NextAudio();
  /// Some stream is. Only Want::kAnything opens such a source.
  bool is_encrypted() const;
  /// A decoder for it is here.
  static bool IsDecodable(AVCodecID codec);
  /// Seconds from origin() on as the container tells, 0 = unknown.
  double duration() const { return duration_; }
  /// Seconds the video stream is declared to last, 0 = unknown.
  double video_duration() const;
  /// Of the streams we use, the longer one's; the container's when they do not say.
  double stream_duration() const;
  /// Presentation time, in microseconds of the container, that counts as time 0.
  int64_t origin() const { return origin_; }
  /// Makes the first picture's time the origin, if the container tells it. Before reading.
  void CountFromFirstPicture();
  Orientation orientation() const { return orientation_; }
  /// Of a decoded picture; null: as the container declares it.
  SourceShape ShapeIn(AVFrame* frame) const;
  /// Average frames per second within (0, 120], or 30 when the container does not know.
  AVRational frame_rate() const { return frame_rate_; }
  /// Of the video stream, bits per second; 0 = unknown.
  int64_t video_bit_rate() const { return video_bit_rate_; }
  /// What decides whether the video's packets may be copied.
  VideoFacts video_facts() const;
  /// Why nothing may have come out: tells a broken source from corrupt data, size limits and
  /// encryption.
  Error WhyNoPicture(std::string detail) const;
  Error TooManyStreams() const;

  /// The next packet of the video or audio stream. @return false at the end (or where reading broke
  /// off, see broke_off)
  /// @errors SOURCE_FAILED, SOURCE_UNSUPPORTED (encrypted)
  Result<bool> Read(AVPacket* packet);
  bool broke_off() const { return broke_off_; }
  /// false: only packets around a moment can be reached; reading and seeking leads astray
  /// elsewhere.
  bool holds_all() const { return !slice_; }
  /// Whether this packet, the first after a seek, is one that the whole index would have led to.
  bool IsReached(const AVPacket& packet) const;
  /// To the last key frame of the video (without one: packet of the sound) at or before `seconds`.
  /// @return false when the container
  /// cannot.
  bool Seek(double seconds);

  /// @param threads for frame or slice threads; does not change the pictures
  Result<AvPtr<AVCodecContext>> OpenDecoder(AVStream* stream, int threads,
                                            bool want_alpha = false) const;

 private:
  Media(SourceIo& io, const transform::protocol::Limits& limits, Want want)
      : io_(io), limits_(limits), want_(want) {}
  Result<void> Probe();
  /// avformat_find_stream_info, where it has something to find.
  Result<void> FindStreamInfo();
  /// What a slice of the index does not tell of the whole.
  void CompleteSlice();
  /// Nothing is left for avformat_find_stream_info to find.
  bool IsAllKnown();
  /// find_stream_info decodes up to seven pictures of H.264 for what its description says already:
  /// half of the time that a frame takes, a sixth of the wait for a video's first byte. (libav 5.1;
  /// its packets then come without what its parser adds, key frames that no index names among them,
  /// so that copies do without this.)
  void HideFromProbing();
  /// What probing would have told of it.
  struct Hidden {
    unsigned stream = 0;
    int reordered = 0;
    int profile = FF_PROFILE_UNKNOWN;
    AVPixelFormat pixels = AV_PIX_FMT_NONE;
  };
  void ShowHidden();
  Result<void> ChooseStreams();
  void ChooseVideo();
  void ChooseAudio();
  void ReadFacts();
  int64_t FindOrigin() const;
  Result<void> CheckSizes() const;

  SourceIo& io_;
  const transform::protocol::Limits limits_;
  const Want want_;
  AVFormatContext* format_ = nullptr;
  AVStream* video_ = nullptr;
  AVStream* audio_ = nullptr;
  std::vector<AVStream*> more_audio_;  // the best last
  double duration_ = 0;
  int64_t origin_ = 0;
  Orientation orientation_;
  AVRational frame_rate_{30, 1};
  int64_t video_bit_rate_ = 0;
  bool broke_off_ = false;
  std::optional<IndexSlice> slice_;
  std::vector<Hidden> hidden_;
};

}  // namespace vr::worker
