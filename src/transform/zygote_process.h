// The zygote's process: started by posix_spawn, ended by closing its control socket.
//
// It is the one child the server ever makes; workers are the zygote's children. Thread-compatible.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "transform/protocol/launch.h"

namespace vr::transform {

/// `video-resizer-worker` in the directory of our own executable.
std::string DefaultWorkerPath();

class ZygoteProcess {
 public:
  /// Starts `program` as protocol/launch.h says.
  /// @errors what posix_spawn says (kNotFound: no such program)
  /// @param niceness  0 to 19: how far it and what it forks stand behind us when cores are scarce
  static Result<ZygoteProcess> Start(const std::string& program,
                                     const protocol::WorkerLimits& limits, int niceness);

  ZygoteProcess(ZygoteProcess&& other) noexcept;
  ZygoteProcess& operator=(ZygoteProcess&& other) noexcept;
  /// Kills and reaps it when it still runs.
  ~ZygoteProcess();

  pid_t pid() const { return pid_; }
  /// The server's end of the control socket.
  int socket() const { return socket_.get(); }
  /// The same, handed over.
  UniqueFd TakeSocket() { return std::move(socket_); }
  /// SIGKILL; its workers die with it (PDEATHSIG).
  void Kill();
  /// Collects it when it has ended. @return true when there is nothing (more) to collect.
  bool TryReap();
  /// Waits up to `patience` for its end, then kills; it is gone and collected afterwards. Blocks.
  void WaitOrKill(std::chrono::milliseconds patience);

 private:
  ZygoteProcess(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}
  pid_t pid_ = -1;
  UniqueFd socket_;
};

}  // namespace vr::transform
