// CopySound: the source's sound in another container, packet by packet, with what players need to
// leave out the encoder's delay and padding.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/job_files.h"
#include "worker/media.h"
#include "worker/reporter.h"

namespace vr::worker {

/// Copies media.audio() from the beginning to files.stored.
/// @return nullopt: the first packets show that it cannot be copied; nothing was written, decode it
/// @errors SOURCE_*, TRANSFORM_FAILED
Result<std::optional<transform::protocol::Done>> CopySound(const transform::protocol::Job& job,
                                                           Media& media, const JobFiles& files,
                                                           Reporter& reporter);

/// Where the container says that the sound ends, microseconds of its clock, when that lies within
/// the last packet: what is decoded behind it is padding.
std::optional<int64_t> SoundEnd(const AVStream& stream);

}  // namespace vr::worker
