#include "app/config_command.h"

#include <cstdio>

namespace vr::app {
namespace {

/// @return whether the settings are good
bool Report(const LoadOutcome& outcome) {
  for (const config::Problem& problem : outcome.problems)
    std::fprintf(stderr, "%s\n", problem.ToString().c_str());
  for (const config::Problem& warning : outcome.warnings) {
    std::fprintf(stderr, "warning: %s\n", warning.ToString().c_str());
  }
  if (outcome.settings) return true;
  const size_t count = outcome.problems.size();
  std::fprintf(stderr, "%zu %s\n", count, count == 1 ? "problem" : "problems");
  return false;
}

}  // namespace

Sources SourcesOf(const cli::Command& command) {
  Sources sources;
  sources.file = command.config_file;
  sources.environment = CurrentEnvironment();
  for (const cli::Assignment& item : command.assignments) {
    sources.flags.push_back({item.flag, item.path, item.value});
  }
  return sources;
}

int RunConfigCheck(const Sources& sources) {
  const LoadOutcome outcome = Load(sources);
  if (!Report(outcome)) return cli::kExitFailed;
  if (outcome.settings->tls) {
    // Not an error: the check may run on another machine than the server.
    const auto loaded = http::TlsCredentials::Load(outcome.settings->tls->files, true);
    if (!loaded.ok())
      std::fprintf(stderr, "warning: the server would not start: %s\n",
                   loaded.error().detail.c_str());
  }
  std::printf("OK\n");
  return cli::kExitDone;
}

int RunConfigPrint(const Sources& sources) {
  const LoadOutcome outcome = Load(sources);
  if (!Report(outcome)) return cli::kExitFailed;
  std::fputs(PrintEffective(*outcome.settings).c_str(), stdout);
  return cli::kExitDone;
}

}  // namespace vr::app
