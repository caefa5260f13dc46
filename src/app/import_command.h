// `video-resizer config import`: a configuration of the public video-resizer becomes one of ours,
// checked as `config check` would, with a report. docs/import.md.
#pragma once

#include <map>
#include <string>

#include "app/settings.h"
#include "cli/command.h"
#include "import/importer.h"

namespace vr::app {

/// Imports and checks the result. Variables that `environment` lacks are no problem, but are listed
/// in the report. Problems and warnings of the check point at the input. Pure.
import::ImportOutcome ImportChecked(const import::ImportRequest& request,
                                    const std::map<std::string, std::string>& environment);

/// Reads, imports, writes. Problems go to stderr, one per line; then nothing is written.
/// @return the exit code
int RunConfigImport(const cli::Command::Import& how,
                    const std::map<std::string, std::string>& environment);

}  // namespace vr::app
