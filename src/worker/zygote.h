// Zygote: one single-threaded process that has paid for linking libav, and forks a fresh, sandboxed
// worker for every Spawn. Its end is the end of all its workers: the server may die any way it
// likes.
#pragma once

#include "transform/protocol/launch.h"

namespace vr::worker {

/// Serves the control socket (descriptor 3) until the server closes it. @return exit status
int RunZygote(const transform::protocol::WorkerLimits& limits);

}  // namespace vr::worker
