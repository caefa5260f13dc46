// Spritesheet: a grid of pictures evenly spread over the source, as one still picture; or, as
// WebVTT, where in the sheet each of them is.
#pragma once

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/job_files.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

/// Writes the sheet (or its WebVTT) to files.stored.
/// @errors SOURCE_*, TIME_OUT_OF_RANGE, INVALID_PARAMETER, TRANSFORM_FAILED
Result<transform::protocol::Done> MakeSheet(const transform::protocol::Job& job, SourceIo& source,
                                            const JobFiles& files, Reporter& reporter);

}  // namespace vr::worker
