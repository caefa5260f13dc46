// AudioTrack: packets of any audio codec, rate and channel layout in, stereo AAC-LC, Opus or MP3
// packets out, cut to the sample and kept in step with the video.
//
// Every sample has a place on the source's clock. Gaps in the source are filled with silence,
// overlaps are dropped; small jitter is left alone. More than two channels are mixed so that voices
// keep their level, with a limiter against the peaks; then the speed is changed, the pitch stays.
// Parameters may change mid-stream. Main thread only; decoder and encoder have one thread, so the
// output does not depend on the machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "worker/av.h"
#include "worker/peak_limiter.h"
#include "worker/recipe.h"
#include "worker/stereo.h"
#include "worker/time_stretch.h"
#include "worker/video_encoder.h"

namespace vr::worker {

class AudioTrack {
 public:
  struct Window {
    int64_t begin = 0;  ///< microseconds in the source's presentation time = output time 0
    /// Likewise, exclusive. Output is (end - begin) / speed long, to the sample, when the source
    /// lasts that long.
    std::optional<int64_t> end;
    int64_t max_microseconds = 0;  ///< of output; more is refused
    double speed = 1;              ///< output seconds = source seconds / speed; the pitch stays
  };

  /// @param decoder opened for `stream`
  static Result<AudioTrack> Create(AVStream* stream, AvPtr<AVCodecContext> decoder,
                                   const AudioRecipe& recipe, Window window);

  /// @param packet null = no more. A packet that cannot be decoded is counted, not an error.
  /// @errors SOURCE_TOO_LARGE, TRANSFORM_FAILED, what sink returns
  Result<void> Feed(const AVPacket* packet, const PacketSink& sink);
  /// Silence up to `microseconds` of the source after window.begin, where it has left more than
  /// that behind.
  Result<void> FillUpTo(int64_t microseconds, const PacketSink& sink);
  /// Encodes what is left. Call once, after Feed(null).
  Result<void> Finish(const PacketSink& sink);

  /// Nothing after this can be heard.
  bool complete() const { return complete_; }
  /// "aac", "opus", "mp3"
  const char* codec() const { return codec_; }
  const AVCodecContext* encoder() const { return encoder_.get(); }
  /// Of the window, found so far or filled with silence; at the encoder's rate and the source's
  /// speed.
  int64_t samples() const { return placed_; }
  /// Of output that went to the encoder.
  double seconds() const;
  /// Samples of output that went to the encoder.
  int64_t encoded() const { return encoded_; }
  int skipped_packets() const { return skipped_; }
  /// Pieces of sound that came out of the decoder, in the window or not.
  int64_t decoded_frames() const { return frames_; }

 private:
  Result<void> OnFrame(const AVFrame& frame, const PacketSink& sink);
  Result<void> Resample(const AVFrame* frame, const PacketSink& sink);
  Result<void> Reconfigure(const AVFrame& frame);
  Result<void> CloseGap(int64_t at, const AVFrame& frame, const PacketSink& sink);
  /// Samples that sit at cursor_; cut to the window and sent on.
  Result<void> Append(const float* left, const float* right, int count, const PacketSink& sink);
  Result<void> AppendSilence(int64_t count, const PacketSink& sink);
  /// Samples of the window, each after the one before: limited, stretched, queued.
  Result<void> Process(const float* left, const float* right, size_t count, const PacketSink& sink);
  Result<void> Stretch(const Stereo& sound, const PacketSink& sink);
  Result<void> Queue(const Stereo& sound, const PacketSink& sink);
  int64_t OutputSamples() const;
  bool IsBeforeWindow(const AVPacket* packet) const;
  Result<void> EncodeFull(bool flush, const PacketSink& sink);

  AVRational time_base_{0, 1};
  Window window_;
  std::optional<int64_t> end_sample_;
  int64_t max_samples_ = 0;  // of the source's window
  const char* codec_ = "aac";
  AvPtr<AVCodecContext> decoder_;
  AvPtr<AVCodecContext> encoder_;
  AvPtr<SwrContext> resampler_;
  AvPtr<AVAudioFifo> fifo_;
  AvPtr<AVFrame> decoded_, converted_;
  AvPtr<AVPacket> packet_;
  struct InputShape {
    int rate = 0, format = -1, channels = 0;
    uint64_t mask = 0;
    bool operator==(const InputShape&) const = default;
  };
  InputShape input_;
  std::optional<int64_t> cursor_;  // output sample the next sample out of the resampler belongs to
  int64_t drop_ = 0;               // samples to drop because they overlap
  std::optional<PeakLimiter> limiter_;  // once more than two channels were seen
  std::optional<TimeStretch> stretch_;
  Stereo limited_, stretched_;
  int64_t placed_ = 0, encoded_ = 0;
  int skipped_ = 0;
  int64_t frames_ = 0;
  bool complete_ = false;
};

}  // namespace vr::worker
