// `video-resizer fsck`: what the store of a stopped server is worth, and making it right again.
#pragma once

#include "app/settings.h"
#include "cli/command.h"

namespace vr::app {

inline constexpr int kFsckClean = 0;
inline constexpr int kFsckFindings = 1;  ///< also when they were repaired
inline constexpr int kFsckCouldNotLook = 2;

/// Prints the report to stdout as text or JSON, what keeps it from looking to stderr.
/// @return the exit code
int RunFsck(const Sources& sources, const cli::Command::Fsck& how);

}  // namespace vr::app
