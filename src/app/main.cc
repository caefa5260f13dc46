// video-resizer: the server and its operator's commands.

#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "app/config_command.h"
#include "app/fsck_command.h"
#include "app/import_command.h"
#include "app/server_app.h"
#include "app/settings.h"
#include "app/sign_command.h"
#include "app/simulate_command.h"
#include "app/stats_command.h"
#include "cli/command.h"
#include "observe/log.h"

namespace vr::app {
namespace {

constexpr std::chrono::seconds kTickEvery{60};

void LogProblems(const LoadOutcome& outcome) {
  for (const config::Problem& p : outcome.problems)
    std::fprintf(stderr, "%s\n", p.ToString().c_str());
  for (const config::Problem& w : outcome.warnings)
    LogWarn("config_warning", {{"problem", w.ToString()}});
}

/// Signals are taken by the main thread only; block them before any thread is started.
sigset_t BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

/// Waits for one of `set`. @return its number, 0 after `timeout`.
int NextSignal(const sigset_t& set, std::chrono::milliseconds timeout) {
  const timespec wait{static_cast<time_t>(timeout.count() / 1000),
                      static_cast<long>(timeout.count() % 1000) * 1'000'000};
  const int signal = ::sigtimedwait(&set, nullptr, &wait);
  return signal > 0 ? signal : 0;
}

void ReloadFrom(ServerApp& app, const Sources& sources) {
  LoadOutcome outcome = Load(sources);
  for (const config::Problem& p : outcome.problems) {
    LogError("config_reload_problem", {{"problem", p.ToString()}});
  }
  for (const config::Problem& w : outcome.warnings)
    LogWarn("config_warning", {{"problem", w.ToString()}});
  if (!outcome.settings) {
    LogError("config_reload_refused",
             {{"problems", outcome.problems.size()}, {"kept", "the running configuration"}});
    return;
  }
  Result<void> done = app.Reload(std::move(*outcome.settings));
  if (done.ok()) {
    LogInfo("config_reloaded");
  } else {
    LogError("config_reload_refused", {{"problem", done.error().ToLogString()}});
  }
}

int Serve(const Sources& sources) {
  const sigset_t signals = BlockSignals();
  LoadOutcome outcome = Load(sources);
  if (outcome.settings) InitLog(outcome.settings->log);
  LogProblems(outcome);
  if (!outcome.settings) {
    std::fprintf(stderr, "%zu problem(s) in the configuration; not started\n",
                 outcome.problems.size());
    FlushLog();
    return 1;
  }
  const auto drain_timeout = outcome.settings->drain_timeout;
  Result<std::unique_ptr<ServerApp>> started = ServerApp::Start(std::move(*outcome.settings));
  if (!started.ok()) {
    LogError("start_failed", {{"error", started.error().ToLogString()}});
    std::fprintf(stderr, "not started: %s\n", started.error().ToLogString().c_str());
    FlushLog();
    return 1;
  }
  ServerApp& app = **started;
  for (int signal = 0; signal != SIGTERM && signal != SIGINT;) {
    signal = NextSignal(signals, kTickEvery);
    if (signal == SIGHUP) ReloadFrom(app, sources);
    if (signal == 0) app.Tick();
  }

  // A second signal means now.
  std::atomic<bool> hurry{false};
  std::atomic<bool> is_over{false};
  std::thread impatience([&] {
    while (!is_over && !hurry) {
      const int signal = NextSignal(signals, std::chrono::milliseconds(50));
      if (signal == SIGTERM || signal == SIGINT) hurry = true;
    }
  });
  const bool is_clean = app.Drain(std::chrono::steady_clock::now() + drain_timeout, hurry);
  is_over = true;
  impatience.join();
  LogInfo("stopped", {{"clean", is_clean}});
  FlushLog();
  // Work that did not end in time still holds what destructors would take away; a cut is what was
  // asked for.
  if (!is_clean) std::_Exit(hurry ? 0 : 1);
  started->reset();
  return 0;
}

int Main(int argc, char** argv) {
  const cli::Parsed parsed = cli::ParseCommandLine(argc, argv);
  if (!parsed.command) return parsed.exit_code;
  const cli::Command& command = *parsed.command;
  switch (command.kind) {
    case cli::Command::Kind::kServe:
      return Serve(SourcesOf(command));
    case cli::Command::Kind::kConfigCheck:
      return RunConfigCheck(SourcesOf(command));
    case cli::Command::Kind::kConfigPrint:
      return RunConfigPrint(SourcesOf(command));
    case cli::Command::Kind::kConfigImport:
      return RunConfigImport(command.import, CurrentEnvironment());
    case cli::Command::Kind::kFsck:
      return RunFsck(SourcesOf(command), command.fsck);
    case cli::Command::Kind::kSign:
      return RunSign(SourcesOf(command), command.sign);
    case cli::Command::Kind::kSimulate:
      return RunSimulate(command.simulate);
    case cli::Command::Kind::kStats:
      return RunStats(SourcesOf(command), command.stats);
    case cli::Command::Kind::kVersion:
      std::printf("video-resizer %s\n", VR_VERSION);
      return 0;
  }
  return 2;
}

}  // namespace
}  // namespace vr::app

int main(int argc, char** argv) {
  try {
    return vr::app::Main(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "video-resizer: %s\n", e.what());
    return 1;
  }
}
