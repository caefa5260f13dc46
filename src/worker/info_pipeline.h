// Info: what a source is, as JSON.
#pragma once

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/job_files.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

/// Writes the description to files.stored.
/// @errors SOURCE_*, TRANSFORM_FAILED
Result<transform::protocol::Done> DescribeSource(const transform::protocol::Job& job,
                                                 SourceIo& source, const JobFiles& files,
                                                 Reporter& reporter);

}  // namespace vr::worker
