// Audio: the sound of a source alone, as M4A, MP3 or Ogg Opus; copied when nothing needs doing.
#pragma once

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/job_files.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

/// Writes the sound to files.stored.
/// @errors SOURCE_*, TIME_OUT_OF_RANGE, TRANSFORM_FAILED
Result<transform::protocol::Done> ExtractAudio(const transform::protocol::Job& job,
                                               SourceIo& source, const JobFiles& files,
                                               Reporter& reporter);

}  // namespace vr::worker
