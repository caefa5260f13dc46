// SegmentedEncoder: pictures in, packets out, by several encoders at the same time.
//
// Output time is cut into segments of equal length. Each is encoded by an encoder of its own, that
// begins with a key frame and knows nothing of the others; their packets leave in order. Where the
// cuts are depends on the pictures' times alone, so that the bytes are the same with one thread and
// with many, on any machine and under any load.
//
// All methods belong to the main thread. With one thread everything happens there.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "worker/av.h"
#include "worker/recipe.h"
#include "worker/video_encoder.h"

namespace vr::worker {

class SegmentedEncoder {
 public:
  struct Options {
    int threads = 1;             ///< encoders at the same time
    uint64_t held_bytes = 0;     ///< pictures that wait for their encoder: most of them, in memory
    std::function<void()> beat;  ///< called now and then while encoders move and the caller waits
  };

  /// @param recipe with segment_seconds of 0 there is one segment
  static Result<std::unique_ptr<SegmentedEncoder>> Create(const PictureFormat& format,
                                                          const VideoRecipe& recipe,
                                                          Options options);
  /// Waits for its threads, which stop after the picture they are at.
  ~SegmentedEncoder();
  SegmentedEncoder(const SegmentedEncoder&) = delete;
  SegmentedEncoder& operator=(const SegmentedEncoder&) = delete;

  /// Waits while too much is held.
  /// @param frame pts in kOutputTimeBase, strictly increasing
  Result<void> Encode(AvPtr<AVFrame> frame, const PacketSink& sink);
  /// @param last_duration of the last picture, in kOutputTimeBase
  Result<void> Finish(int64_t last_duration, const PacketSink& sink);

  /// What a muxer wants to know; the same for all segments.
  const AVCodecParameters& parameters() const { return *parameters_; }
  AVRational frame_rate() const { return format_.frame_rate; }

 private:
  struct Segment {
    std::optional<VideoEncoder> encoder;  ///< the first one's; the others open their own
    std::deque<AvPtr<AVFrame>> pictures;
    bool is_taken = false, is_closed = false, is_finished = false;
    int64_t last_duration = 0;
    std::vector<AvPtr<AVPacket>> packets;
  };

  SegmentedEncoder(const PictureFormat& format, const VideoRecipe& recipe, Options options);
  Result<VideoEncoder> OpenLater() const;
  bool BeginsSegment(int64_t pts);
  static uint64_t BytesOf(const AVFrame& frame);

  // In the main thread.
  Result<void> EncodeHere(AVFrame& frame, bool begins, const PacketSink& sink);
  PacketSink InOrder(const PacketSink& sink);
  Result<void> Push(AvPtr<AVFrame> frame, bool begins);
  void Close(int64_t last_duration) REQUIRES(mutex_);
  enum class Until { kRoom, kSegmentMayBegin, kEnd };
  /// Delivers what is ready, until there is what is waited for.
  Result<void> DeliverUntil(Until until, const PacketSink& sink);
  bool Has(Until until) const REQUIRES(mutex_);
  std::vector<AvPtr<AVPacket>> TakeReady() REQUIRES(mutex_);

  // In the others.
  void Work();
  /// @return null when it is time to go
  Segment* TakeSegment();
  Result<void> EncodeAll(Segment& segment);
  /// @return null when there are no more
  AvPtr<AVFrame> NextPicture(Segment& segment);
  void Keep(Segment& segment, std::vector<AvPtr<AVPacket>>& packets);

  const PictureFormat format_;
  const VideoRecipe recipe_;
  const Options options_;
  const int64_t segment_ticks_;  ///< 0 = one segment
  const int64_t frame_ticks_;
  AvPtr<AVCodecParameters> parameters_;
  int64_t segment_ = INT64_MIN;       ///< number of the current one
  int pictures_ = 0;                  ///< in it, but for the first
  int64_t last_dts_ = INT64_MIN;      ///< delivered
  bool has_begun_ = false;            ///< with one thread
  std::optional<VideoEncoder> here_;  ///< of the current segment, with one thread; or the first

  Mutex mutex_;
  std::condition_variable_any work_, moved_;
  std::deque<std::unique_ptr<Segment>> segments_ GUARDED_BY(mutex_);  ///< not delivered yet
  std::optional<Error> error_ GUARDED_BY(mutex_);
  uint64_t held_ GUARDED_BY(mutex_) = 0;
  uint64_t steps_ GUARDED_BY(mutex_) = 0;  ///< counts what encoders did
  bool stop_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace vr::worker
