#include "worker/audio_pipeline.h"

#include "worker/failure.h"

namespace vr::worker {

namespace protocol = transform::protocol;

Result<protocol::Done> ExtractAudio(const protocol::Job&, SourceIo&, const JobFiles&, Reporter&) {
  return TransformFailed("the transform failed", "audio: not there yet");
}

}  // namespace vr::worker
