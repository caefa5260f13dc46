#include "worker/info_pipeline.h"

#include "worker/failure.h"

namespace vr::worker {

namespace protocol = transform::protocol;

Result<protocol::Done> DescribeSource(const protocol::Job&, SourceIo&, const JobFiles&, Reporter&) {
  return TransformFailed("the transform failed", "info: not there yet");
}

}  // namespace vr::worker
