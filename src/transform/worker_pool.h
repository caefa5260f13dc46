// WorkerPool: has jobs done by sandboxed child processes, one process per job, at most N at a time.
//
// A job waits in a bounded queue (job_queue.h says whose turn it is), goes to a worker that was
// made and sandboxed before the job came, and ends with Done or with an Error; the worker is then
// gone and another takes its place. Whatever a worker does, or does not do, costs one job:
// deadlines, missing progress, CPU, output size and nonsense on the wire end in a kill. The zygote,
// which makes the workers, is started again when it dies; the jobs it took along fail. Invariant:
// every Run() that was called ends, by its context's deadline plus a few seconds at the latest.
// Thread-safe: Run() is called from any loop; everything else happens on one loop of the pool.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/fd.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/task.h"
#include "observe/metrics.h"
#include "origin/source.h"
#include "transform/options.h"
#include "transform/protocol/messages.h"

namespace vr::transform {

/// Where a job writes: empty files, writable, kept open by the pool until the job has ended.
struct Outputs {
  SharedFd stored;  ///< the form that is kept: read and written at random
  SharedFd stream;  ///< the form for those who wait now; null = none is made
};

/// Ends a job from outside. Thread-safe; share it by shared_ptr. A cancelled job ends within about
/// 50 ms.
class CancelToken {
 public:
  void Cancel() { is_cancelled_.store(true, std::memory_order_relaxed); }
  bool is_cancelled() const { return is_cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> is_cancelled_{false};
};

/// How urgent a job is, the most urgent first.
enum class Priority : uint8_t {
  kWaiting,     ///< somebody waits for it now
  kUnattended,  ///< wanted, but nobody waits at this moment
  /// Nobody has asked for it yet, or only for something older: begins only in a place that is free,
  /// takes none away from the others and gives way to them on the cores.
  kPrewarm,
};

/// On whose behalf a job is done.
struct Claim {
  std::string origin;  ///< origins take turns in the queue
  std::string client;  ///< and so do clients within an origin
  /// Asked whenever a worker becomes free, on the pool's loop: it may change. Null: kWaiting.
  std::function<Priority()> priority;
  /// A worker gets it now; on the pool's loop. A second time when that worker turns out to be dead.
  std::function<void()> on_start;
};

class WorkerPool {
 public:
  using ProgressFn = std::function<void(const protocol::Progress&)>;

  /// Starts the zygote and waits for its first worker's Hello (blocks, some 100 ms). The loops need
  /// not run yet. `loops` and `metrics` outlive the pool.
  /// @errors kNotFound (no worker program), kUnavailable (it ended or was silent), kCorruption
  /// (other version)
  static Result<std::unique_ptr<WorkerPool>> Create(Options options, io::LoopPool& loops,
                                                    Metrics& metrics);
  /// Stops at once when Stop() was not called.
  ~WorkerPool();

  /// Has one job done. The pool fills in what only it knows: source_size and source_complete from
  /// `source`, stream from `outputs`, decoder_threads from what else is running. `on_progress` runs
  /// on the caller's loop, never after Run() ended; quick successions are merged. If the caller's
  /// coroutine is destroyed the job is cancelled. A job whose worker died without having read it is
  /// given to another one, once: it cannot be what killed it.
  /// @errors kResourceExhausted (OVERLOADED: queue full; SOURCE_TOO_LARGE: a limit),
  /// kDeadlineExceeded
  ///   (TRANSFORM_TIMEOUT, also when it comes while waiting for a worker), kCancelled,
  ///   kUnsupported, kCorruption, kInvalidArgument (as the worker found the source), kInternal
  ///   (TRANSFORM_FAILED), kUnavailable (stopping), and the source's own errors unchanged
  Task<Result<protocol::Done>> Run(Context ctx, protocol::Job job, origin::SourceRef source,
                                   Outputs outputs, ProgressFn on_progress,
                                   std::shared_ptr<CancelToken> cancel = nullptr, Claim claim = {});

  /// Has several jobs of one source done by one worker, which decodes once for those that need the
  /// same pictures. They are videos and do not stream; each comes out as by Run().
  /// @return one Done each, in their order
  /// @errors as Run(), when one of them fails; then the files may hold something
  struct Together {
    protocol::Job job;
    SharedFd stored;
  };
  Task<Result<std::vector<protocol::Done>>> RunTogether(Context ctx, std::vector<Together> jobs,
                                                        origin::SourceRef source,
                                                        ProgressFn on_progress,
                                                        std::shared_ptr<CancelToken> cancel,
                                                        Claim claim);

  /// Whether Run() would refuse a job of this client of this origin now because the queue is full.
  /// For those who would open a source for it first. Somebody waits for the job.
  /// @errors kResourceExhausted (OVERLOADED)
  Result<void> HasRoom(std::string_view origin, std::string_view client);

  /// What decides the bytes besides the job: library versions and recipe revision, as the workers
  /// say.
  std::string recipe() const;
  /// A worker stands ready or works.
  bool ready() const;
  /// A job for which nobody waits would begin now, and hold up none.
  bool is_idle() const;
  /// Jobs waiting for a worker.
  size_t queue_depth() const;
  /// Jobs being done.
  size_t running() const;
  /// -1 while there is none.
  pid_t zygote_pid() const;

  /// Refuses new jobs and those that wait, lets running ones go on up to options.drain_timeout,
  /// kills the rest, ends the zygote. Blocks; not on a loop's thread, and before LoopPool::Stop().
  /// Idempotent.
  void Stop();

 private:
  class Core;
  explicit WorkerPool(std::shared_ptr<Core> core);
  void StopWithin(std::chrono::milliseconds drain);
  std::shared_ptr<Core> core_;
  bool is_stopped_ = false;
};

}  // namespace vr::transform
