#include "worker/sheet_pipeline.h"

#include "worker/failure.h"

namespace vr::worker {

namespace protocol = transform::protocol;

Result<protocol::Done> MakeSheet(const protocol::Job&, SourceIo&, const JobFiles&, Reporter&) {
  return TransformFailed("the transform failed", "sheet: not there yet");
}

}  // namespace vr::worker
