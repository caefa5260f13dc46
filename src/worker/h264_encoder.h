// H264Encoder: upright yuv420p pictures in, H.264 High packets out. One thread, so that bytes do
// not depend on the machine. A key frame at least every two seconds, closed groups. Main thread
// only.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "worker/av.h"
#include "worker/colour.h"
#include "worker/recipe.h"

namespace vr::worker {

using PacketSink = std::function<Result<void>(AVPacket&)>;

class H264Encoder {
 public:
  static Result<H264Encoder> Create(int width, int height, AVRational frame_rate,
                                    const Colour& colour, const H264Recipe& recipe);

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
};

/// How the linked x264 names itself ("core 164 r3095 baee400"), read from a picture it encodes.
/// Also what makes everything it initialises lazily happen before the sandbox.
std::string X264Build();

}  // namespace vr::worker
