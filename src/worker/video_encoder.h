// VideoEncoder: upright pictures in, packets of H.264, HEVC, VP9 or AV1 out. Its threads are pinned
// by the recipe, so that bytes do not depend on the machine. A key frame at least every two
// seconds, closed groups. One thread at a time.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "worker/av.h"
#include "worker/colour.h"
#include "worker/recipe.h"

namespace vr::worker {

using PacketSink = std::function<Result<void>(AVPacket&)>;

/// The pictures that will come.
struct PictureFormat {
  int width = 0, height = 0;
  AVPixelFormat pixels = AV_PIX_FMT_YUV420P;  ///< or YUVA420P, VP9 only
  AVRational frame_rate{30, 1};
  Colour colour;
};

class VideoEncoder {
 public:
  /// Of a video that is encoded in parts: the first, or one that goes on where another ends.
  enum class Part { kFirst, kLater };

  static Result<VideoEncoder> Create(const PictureFormat& format, const VideoRecipe& recipe,
                                     Part part = Part::kFirst);

  /// @param frame pts in kOutputTimeBase, strictly increasing
  Result<void> Encode(AVFrame& frame, const PacketSink& sink);
  /// @param last_duration of the last picture, in kOutputTimeBase
  Result<void> Finish(int64_t last_duration, const PacketSink& sink);
  const AVCodecContext* context() const { return context_.get(); }

 private:
  Result<void> Drain(int64_t duration, const PacketSink& sink);

  AvPtr<AVCodecContext> context_;
  AvPtr<AVPacket> packet_;
  int64_t frame_duration_ = 0;
  int64_t last_key_ = INT64_MIN;
  bool has_own_words_ = false;  // in its first packet; said once per file
};

/// How the linked x264 names itself ("core 164 r3095 baee400"), read from a picture it encodes.
/// Also what makes everything it initialises lazily happen before the sandbox.
std::string X264Build();

}  // namespace vr::worker
