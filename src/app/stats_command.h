// `video-resizer stats`: what a running server has counted, asked of its admin listener.
#pragma once

#include <string>
#include <string_view>

#include "app/settings.h"
#include "cli/command.h"

namespace vr::app {

/// @return the exit code; prints the report, or to stderr why there is none
int RunStats(const Sources& sources, const cli::Command::Stats& asked);

/// The answer of GET /admin/analytics as tables for people; empty when it is none.
std::string RenderStats(std::string_view json);

}  // namespace vr::app
