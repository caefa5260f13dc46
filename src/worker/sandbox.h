// Sandbox: everything a worker gives up before it sees a single byte of a job.
//
// Order matters (each step needs what the next one takes away): rlimits, own uid, death signal, not
// dumpable, namespaces, no capabilities, no_new_privs, Landlock, seccomp. After Enter() the process
// can compute, talk on its socket and read and write the descriptors it is handed; anything else
// fails or kills it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "transform/protocol/launch.h"

namespace vr::worker {

struct SandboxOptions {
  transform::protocol::WorkerLimits limits;
  /// Set when we are root: the worker's user and group. One per living worker, so that
  /// RLIMIT_NPROC, which counts by user, counts one worker.
  std::optional<uint32_t> uid;
  /// The process whose end must be the worker's end.
  int32_t parent_pid = 0;
  /// EnterNamespaces() has succeeded in the parent.
  bool is_apart = false;
};

/// Puts this process, and with it every child to come, into network, IPC, mount and UTS namespaces
/// of its own. Workers may share them: there is no network in them, and seccomp and Landlock let a
/// worker open nothing. Made for each worker they keep the kernel busy in stretches of a
/// millisecond that nothing interrupts.
/// @return false when the machine refuses: nothing has changed then
bool EnterNamespaces();

/// First part: what may be lost when refused by the machine is lost silently (namespaces,
/// Landlock); what may not is an error.
/// @errors kInternal: rlimits, uid, no_new_privs or seccomp could not be had
Result<void> EnterSandbox(const SandboxOptions& options);

/// Address space this worker may take, bytes: what a job may plan with (the sandbox lets it ask
/// the kernel no more).
uint64_t MemoryLimit();

}  // namespace vr::worker
