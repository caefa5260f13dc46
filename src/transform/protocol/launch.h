// How the server starts the zygote, and what it tells it once for all workers. Both ends use this
// file.
//
//   argv        <worker program> --zygote
//   descriptor  3 = control socket (Spawn, Kill → ; ← Spawned, Exited); everything above is closed
//   0, 1        /dev/null; 2 is the server's standard error
//   environment nothing but SVT_LOG=0 and the limits below
//   end         the zygote exits, and with it every worker, when descriptor 3 is closed by the
//   server
//
// A Spawn frame comes with one descriptor, the worker's socket. The forked worker sandboxes itself,
// then sends Hello on that socket, then waits for its one Job.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vr::transform::protocol {

inline constexpr int kControlFd = 3;
inline constexpr const char* kZygoteFlag = "--zygote";

/// What a worker's rlimits are made of: known before any job, since workers are sandboxed ahead.
struct WorkerLimits {
  uint64_t memory_bytes = 2ull << 30;      ///< RLIMIT_AS
  uint64_t cpu_seconds = 20 * 60;          ///< RLIMIT_CPU; SIGXCPU ends the worker
  uint64_t max_output_bytes = 4ull << 30;  ///< RLIMIT_FSIZE; SIGXFSZ ends the worker

  /// `NAME=value` strings for the zygote's environment.
  std::vector<std::string> ToEnvironment() const;
  /// From the calling process's environment; a missing or impossible value keeps its default.
  static WorkerLimits FromEnvironment();
};

}  // namespace vr::transform::protocol
