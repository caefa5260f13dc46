#include "worker/animation_pipeline.h"

#include "worker/failure.h"

namespace vr::worker {

namespace protocol = transform::protocol;

Result<protocol::Done> MakeAnimation(const protocol::Job&, SourceIo&, const JobFiles&, Reporter&) {
  return TransformFailed("the transform failed", "animation: not there yet");
}

}  // namespace vr::worker
