// Sleeping on a loop, and a move to another executor.
#pragma once

#include "base/clock.h"
#include "io/task.h"

namespace vr::io {

/// Resumes at `when` on the caller's loop.
Task<void> SleepUntil(SteadyTime when);

}  // namespace vr::io
