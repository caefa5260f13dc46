// `video-resizer config check` and `config print`: what an operator asks before a start or a
// reload.
#pragma once

#include "app/settings.h"
#include "cli/command.h"

namespace vr::app {

/// File and flags of the command line, and the environment of this process.
Sources SourcesOf(const cli::Command& command);

/// Prints every problem to stderr, one per line, and their number: exit code 1. Otherwise warnings
/// to stderr, "OK" to stdout: 0.
int RunConfigCheck(const Sources& sources);

/// Prints the effective settings to stdout, secrets masked; problems as RunConfigCheck().
int RunConfigPrint(const Sources& sources);

}  // namespace vr::app
