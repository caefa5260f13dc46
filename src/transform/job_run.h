// JobRun: one job on its way through the pool, shared by the caller's coroutine and the pool's
// loop. Each group of fields says which thread may touch it.
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/mutex.h"
#include "io/notifier.h"
#include "transform/worker_pool.h"

namespace vr::transform {

struct JobRun {
  // Constant once submitted.
  Context ctx;
  protocol::Job job;
  origin::SourceRef source;
  Outputs outputs;
  /// Further jobs of the same source, for the same worker; none of them streams.
  struct Companion {
    protocol::Job job;
    SharedFd stored;
  };
  std::vector<Companion> companions;
  std::shared_ptr<CancelToken> cancel;  ///< may be null
  Claim claim;
  std::optional<io::Executor> caller;

  // The caller's loop only.
  WorkerPool::ProgressFn on_progress;

  // Any thread.
  io::OneShot<Result<protocol::Done>> end;
  std::atomic<bool> is_abandoned{false};  ///< the caller's coroutine is gone
  struct Mail {
    protocol::Progress latest;
    bool is_posted = false;
  };
  Guarded<Mail> mail;

  // The pool's loop only.
  SteadyTime queued_at, started_at;
  SteadyTime deadline = SteadyTime::max();
  SteadyTime last_sign;       ///< when the worker last said something
  int open_needs = 0;         ///< ranges of the source it waits for
  uint64_t stream_bytes = 0;  ///< last watermark
  std::optional<Error> source_error;
  bool is_second_try = false;
  bool has_ended = false;
  /// Of this job and its companions, but for the last one's. The caller's once `end` is set.
  std::vector<protocol::Done> dones;

  Priority priority() const { return claim.priority ? claim.priority() : Priority::kWaiting; }
  bool is_unwanted() const {
    return is_abandoned.load(std::memory_order_relaxed) || (cancel && cancel->is_cancelled());
  }
};
using JobRunRef = std::shared_ptr<JobRun>;

/// Brings `progress` to the caller's loop; one that is not delivered yet is replaced. The pool's
/// loop only.
inline void DeliverProgress(const JobRunRef& run, const protocol::Progress& progress) {
  const bool must_post = run->mail.With([&](JobRun::Mail& mail) {
    const double estimate = mail.latest.estimated_seconds;
    mail.latest = progress;
    if (progress.estimated_seconds == 0) mail.latest.estimated_seconds = estimate;  // said once
    return !std::exchange(mail.is_posted, true);
  });
  if (!must_post) return;
  boost::asio::post(*run->caller, [run] {
    const protocol::Progress latest = run->mail.With([](JobRun::Mail& mail) {
      mail.is_posted = false;
      return mail.latest;
    });
    if (run->on_progress) run->on_progress(latest);
  });
}

}  // namespace vr::transform
