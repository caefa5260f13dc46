// `video-resizer sign`: a URL with a signature, as access.signing asks for.
#pragma once

#include "app/settings.h"
#include "cli/command.h"

namespace vr::app {

/// Prints the signed URL on standard output. @return the exit code
int RunSign(const Sources& sources, const cli::Command::Sign& asked);

}  // namespace vr::app
