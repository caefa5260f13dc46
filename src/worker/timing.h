// Where in the source a job begins, and whether there is anything. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "worker/av.h"

namespace vr::worker {

/// Times closer than half a millisecond are the same time: containers with 1 ms clocks round.
inline constexpr int64_t kSameTimeTicks = 60;

/// Where to seek for a picture at `start` seconds, in order of trying: each further back; the last
/// is 0, which means: from the very beginning.
std::vector<double> SeekPoints(double start);

/// @param duration of the source as declared, seconds, 0 = unknown
/// @errors TIME_OUT_OF_RANGE
Result<void> CheckStart(double start, double duration);

/// The last picture ends at `last_end`, before `start`: may it be taken as what is shown at `start`
/// (sound goes on after the picture), or has the source ended? Seconds; 0 = unknown.
bool LastPictureStillShown(double start, double last_end, double video_duration, double duration);

/// The rational that a decimal means: 29.97 is 30000/1001, 12.5 is 25/2. @param fps > 0
AVRational FrameRateOf(double fps);

}  // namespace vr::worker
