// The video job: any source becomes H.264 and AAC in MP4, muxed twice from the same packets.
#pragma once

#include <vector>

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/job_files.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

/// @return facts about the output; cpu_seconds is left to the caller
/// @errors with the reasons of protocol::Failed
Result<transform::protocol::Done> TranscodeVideo(const transform::protocol::Job& job,
                                                 SourceIo& source, const JobFiles& files,
                                                 Reporter& reporter);

/// The same for several jobs of one source, in their order: those that need the same pictures are
/// decoded for once, and each comes out byte for byte as alone. No job streams.
/// @errors of any of them; TRANSFORM_FAILED also when they have to be made one by one after all
Result<std::vector<transform::protocol::Done>> TranscodeVideos(
    const std::vector<transform::protocol::Job>& jobs, SourceIo& source,
    const std::vector<JobFiles>& files, Reporter& reporter);

}  // namespace vr::worker
