// How a worker's end reads: from signals, limits and what it said to an Error for the caller and a
// cause for the metrics. Pure functions, so that every ending has a test.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/result.h"
#include "transform/options.h"
#include "transform/protocol/messages.h"

namespace vr::transform {

/// Why a worker ended without a result of its own.
enum class Cause {
  kDeadline,    ///< the request's deadline or options.timeout
  kNoProgress,  ///< silent for options.no_progress_timeout
  kCpu,         ///< RLIMIT_CPU
  kOutputSize,  ///< RLIMIT_FSIZE, or it said so
  kMemory,      ///< crashed with more than 80 % of its memory in use
  kCrash,       ///< any other signal, or an exit without a result
  kSandbox,     ///< SIGSYS: a system call that is not allowed
  kCancelled,   ///< nobody wanted the result any more
  kProtocol,    ///< it sent something impossible
  kZygote,      ///< its parent died, and it with it
};

/// The metric's label: "deadline", "no_progress", ...
std::string_view ToString(Cause cause);

/// The cause as the wait status tells it, when it was not us who killed.
Cause CauseOf(const protocol::Exited& exited, const Options& options);

/// "signal 11", "exit 3".
std::string DescribeStatus(int wait_status);

/// kDeadlineExceeded (TRANSFORM_TIMEOUT) for deadline, no_progress and cpu; kResourceExhausted
/// (SOURCE_TOO_LARGE, fact `limit`) for output_size and memory: the same request meets the same
/// limit again; kCancelled; else kInternal (TRANSFORM_FAILED).
Error ErrorOf(Cause cause, std::string detail);

/// What a worker's Failed means. A failure with more than 80 % of the memory limit in use is a lack
/// of memory whatever the library called it (libvpx reports it as invalid data).
/// @param exited null when the worker's end is not known
Error ErrorOf(const protocol::Failed& failed, const protocol::Exited* exited,
              const Options& options);

/// Checks and cleans what a worker said of its result: numbers finite, texts printable and short.
/// A worker reads hostile files, so its words are not trusted.
Result<void> CheckDone(protocol::Done& done);

}  // namespace vr::transform
