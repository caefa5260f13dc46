// The frame job: the one picture that is on the screen at a given time, as JPEG, PNG or WebP.
#pragma once

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/job_files.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

/// @return facts about the output; cpu_seconds is left to the caller
/// @errors with the reasons of protocol::Failed
Result<transform::protocol::Done> ExtractFrame(const transform::protocol::Job& job,
                                               SourceIo& source, const JobFiles& files,
                                               Reporter& reporter);

}  // namespace vr::worker
