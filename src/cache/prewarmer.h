// Prewarmer: makes variants that nobody has asked for yet, when there is nothing better to do.
//
// Orders (by an operator, by an upload, by a source that has become hot) wait in one bounded list;
// what is not done yet of them outlives a restart (prewarm_orders.h). Work is begun only while no
// user's job waits and a place is free; what waits for the same source is handed over together, so
// that it can be decoded once. How a variant is made is the maker's to know, which also sees to it
// that whoever asks for it meanwhile joins. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cache/prewarm_options.h"
#include "cache/prewarm_orders.h"
#include "io/loop.h"
#include "io/task.h"
#include "io/task_group.h"
#include "observe/metrics.h"

namespace vr::cache {

/// What warming one variant came to.
enum class Warmed {
  kMade,
  kHeld,    ///< a layer had it
  kJoined,  ///< somebody had it made already
};

/// One variant to be made.
struct WarmTarget {
  std::string source;  ///< what its source is called: targets of one source belong together
  std::string target;  ///< path and query, as a client would ask
  /// What is held is compared with its source first: the source may be new.
  bool compare = false;
};

class Prewarmer {
 public:
  /// Makes variants of one source, however long it takes. One result each, in their order.
  using Maker = std::function<Task<std::vector<Result<Warmed>>>(std::vector<WarmTarget>)>;
  struct Deps {
    io::Executor executor;
    const Clock& clock;
    Metrics& metrics;
    Maker make;
    /// A worker is free, and no user's job waits for one. Called often; never waits.
    std::function<bool()> is_idle;
    /// Fills in `source`. @errors kInvalidArgument, kNotFound: there can be no such variant
    std::function<Result<WarmTarget>(std::string target)> resolve;
    /// Keeps the orders that have not ended, for Restore(); one call at a time. Null: nothing does.
    std::function<Task<Result<void>>(std::vector<KeptOrder>)> keep;
  };
  enum class Cause { kOrder, kUpload, kHot };
  struct Failure {
    std::string target, code, message;
  };
  /// How far an order is.
  struct View : WarmCounts {
    std::string id;
    Cause cause = Cause::kOrder;
    int64_t created_ms = 0, ended_ms = 0;  ///< ended: 0 = not yet
    uint64_t total = 0, queued = 0, running = 0;
    std::vector<Failure> failures;  ///< the first some
  };

  Prewarmer(Deps deps, PrewarmOptions options);

  /// Takes an order; whole, or not at all. The same target twice counts once.
  /// @errors kInvalidArgument, kNotFound (a target; nothing is taken), kResourceExhausted
  /// (OVERLOADED: the list would be too long), kUnavailable (stopping)
  Result<View> Submit(Cause cause, const std::vector<std::string>& targets);
  /// The same for long orders, with pauses in which the caller's loop serves others.
  Task<Result<View>> SubmitSlowly(Cause cause, std::vector<std::string> targets);
  /// An object of a storage is new: those derivatives that are configured for it.
  /// @return nullopt when nothing is made of it (no video, no origin, no derivative)
  /// @errors as Submit(), but for those of a target
  Result<std::optional<View>> Uploaded(std::string_view bucket, std::string_view key);
  /// A source is asked for much: `derivatives` of it. An order that cannot be taken is forgotten.
  void BecameHot(std::string_view source);
  /// Counts one request for `source`, when the configuration wants that.
  void CountRequest(std::string_view source);
  bool counts_requests() const { return counts_.load(std::memory_order_relaxed); }

  std::optional<View> Find(std::string_view id) const;
  /// The newest first.
  std::vector<View> List() const;
  /// Takes what still waits of an order off the list. @return false when there is none of that id
  bool Cancel(std::string_view id);

  PrewarmOptions options() const;
  void SetOptions(PrewarmOptions options);
  /// Goes on with what was kept: in the background, and before any of it is forgotten. Before the
  /// first order. What is no variant any more has failed.
  void Restore(std::vector<KeptOrder> orders);
  /// What has not ended, the oldest first.
  std::vector<KeptOrder> Unended() const;
  /// Whether there is something that `keep` has not been told.
  bool is_changed() const;
  /// Takes no more orders and begins nothing more. Waits (blocking this non-loop thread) for what
  /// is being made. What is not done is cancelled if nothing keeps it. May be called again.
  /// @return false when the deadline came first
  bool Drain(SteadyTime deadline);

 private:
  struct Batch {
    View view;
  };
  using BatchRef = std::shared_ptr<Batch>;
  struct Item {
    BatchRef batch;
    WarmTarget target;
    int tries = 0;
    SteadyTime not_before;
  };
  using Making = std::list<std::vector<Item>>;
  struct Heat {
    uint32_t requests = 0;
    SteadyTime window_end;
    SteadyTime quiet_until;  ///< it was hot just now
  };

  bool TakeOff(std::string_view id);
  Task<void> Drive();
  /// What is made next; empty: nothing is due now.
  std::vector<Item> TakeLocked(SteadyTime now) REQUIRES(mutex_);
  void Settle(Making::iterator making, std::vector<Result<Warmed>> results);
  static void NoteFailure(View& view, const std::string& target, const Error& error);
  Task<void> RestoreAll();
  std::vector<KeptOrder> UnendedLocked() const REQUIRES(mutex_);
  /// Has what has changed kept, soon.
  void StartKeeping();
  Task<void> Keep();
  /// @errors of the target, which the message names
  Result<WarmTarget> Resolve(Cause cause, const std::string& text) const;
  Result<View> Begin(Cause cause, std::vector<WarmTarget> resolved);
  Result<View> Take(const BatchRef& batch, std::vector<WarmTarget> resolved);
  void StartDrivers();
  void EndIfOverLocked(const BatchRef& batch) REQUIRES(mutex_);
  Counter Count(std::string_view result);

  const Deps deps_;
  std::atomic<bool> counts_{false};
  Gauge queue_gauge_;
  mutable Mutex mutex_;
  PrewarmOptions options_ GUARDED_BY(mutex_);
  bool is_stopped_ GUARDED_BY(mutex_) = false;
  uint32_t drivers_ GUARDED_BY(mutex_) = 0;
  std::deque<Item> waiting_ GUARDED_BY(mutex_);
  Making making_ GUARDED_BY(mutex_);
  std::deque<BatchRef> batches_ GUARDED_BY(mutex_);  ///< the oldest first
  std::deque<KeptOrder> unrestored_ GUARDED_BY(mutex_);
  bool is_changed_ GUARDED_BY(mutex_) = false;  ///< since it was kept
  bool is_keeping_ GUARDED_BY(mutex_) = false;
  mutable Mutex heat_mutex_;
  std::unordered_map<std::string, Heat> heat_ GUARDED_BY(heat_mutex_);
  uint32_t hot_requests_ GUARDED_BY(heat_mutex_) = 0;
  std::chrono::seconds hot_window_ GUARDED_BY(heat_mutex_){0};
  io::TaskGroup group_;
};

std::string_view ToString(Warmed warmed);
std::string_view ToString(Prewarmer::Cause cause);

}  // namespace vr::cache
