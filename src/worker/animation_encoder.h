// AnimationEncoder: pictures with times in, one GIF or animated WebP out. Repeats for ever.
//
// The times are the pictures' beginnings; the end of the last is told with Finish. Memory: one
// picture and, for WebP, what is already encoded. Main thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/av.h"
#include "worker/job_files.h"

namespace vr::worker {

class AnimationEncoder {
 public:
  /// @param job outlives the encoder, as do `files`
  static Result<std::unique_ptr<AnimationEncoder>> Create(const transform::protocol::Job& job,
                                                          const JobFiles& files, int width,
                                                          int height);
  virtual ~AnimationEncoder() = default;

  /// @param frame for GIF AV_PIX_FMT_PAL8, for WebP AV_PIX_FMT_BGRA
  /// @param seconds since the first, ascending
  virtual Result<void> Add(AVFrame& frame, double seconds) = 0;
  /// @return bytes written
  virtual Result<uint64_t> Finish(double end_seconds) = 0;
};

}  // namespace vr::worker
