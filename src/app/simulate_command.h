// `video-resizer simulate`: what each eviction policy would make of a trace; and made-up traces.
// docs/capacity.md.
#pragma once

#include <iosfwd>

#include "base/result.h"
#include "cli/command.h"

namespace vr::app {

/// The table of `asked` for the trace in `trace`. Writes the plot, when one is asked for.
/// @errors kInvalidArgument: an option, or line and field of the trace; kPermissionDenied,
/// kNotFound, kUnavailable: the plot's file
Result<std::string> Simulate(const cli::Command::Simulate& asked, std::istream& trace);

/// Prints the table, or a generated trace, on standard output. @return the exit code
int RunSimulate(const cli::Command::Simulate& asked);

}  // namespace vr::app
