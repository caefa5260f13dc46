// The worker's life after the sandbox: Hello, one Job, its outcome, the end.
#pragma once

#include <string>

#include "worker/channel.h"

namespace vr::worker {

/// @return exit status: 0 when an outcome (Done or Failed) was sent or the server closed without a
/// job
int RunWorker(Channel& channel, const std::string& recipe);

}  // namespace vr::worker
