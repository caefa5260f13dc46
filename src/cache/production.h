// Production: one variant while it is being looked up or made, and everybody who waits for it.
//
// The producer writes into files and announces a watermark ("bytes 0..n are final"); every reader
// follows behind it at its own pace, so memory is bounded whatever the body's size and a slow
// reader hurts nobody. Thread-safe. Waiters hold it by shared_ptr.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "cache/entity.h"
#include "cache/job.h"
#include "io/notifier.h"

namespace vr::cache {

/// What is known of a body that is served while it grows.
struct StreamHead {
  SharedFd file;                   ///< bytes below the watermark are final
  std::optional<uint64_t> length;  ///< whole length, when known from the start
  Metadata meta;                   ///< as far as known: content type, tags, resolved size
  /// The growing file becomes the stored body byte for byte, and meta.etag is its validator
  /// already.
  bool is_whole_form = false;

  /// Whether conditions and ranges can be judged before the last byte is there.
  bool has_stored_form() const { return is_whole_form && length && !meta.etag.empty(); }
};

/// How fresh an answer is.
enum class Freshness {
  kFresh,
  kRevalidated,  ///< had expired; its source proved unchanged, so it is fresh again
  kStale,        ///< expired, and allowed to be served so
};

/// What a production came to.
struct Outcome {
  enum class From { kMade, kEdge, kKv };
  EntityRef entity;
  From from = From::kMade;
  Freshness freshness = Freshness::kFresh;
};

class Production {
 public:
  enum class Phase {
    kWorking,    ///< looking in the KV, planning, or making the first bytes
    kStreaming,  ///< head() is set, bytes below watermark can be sent
    kDone,       ///< the entity can be served
    kFailed,
  };
  struct View {
    Phase phase = Phase::kWorking;
    uint64_t watermark = 0;
  };

  // For the producer.
  void StartStream(StreamHead head);
  /// Never goes back.
  void Advance(uint64_t watermark);

  // For the orchestrator.
  void Finish(Outcome outcome);
  void Fail(Error error);
  /// It has not even begun: whoever led it was not admitted. Before Fail().
  void MarkRefused() { is_refused_.store(true, std::memory_order_relaxed); }
  bool is_refused() const { return is_refused_.load(std::memory_order_relaxed); }

  // For those who wait.
  View Look() const;
  uint64_t ticket() const { return notifier_.ticket(); }
  /// @return false when the deadline came first
  Task<bool> WaitChange(uint64_t ticket, SteadyTime deadline) {
    return notifier_.WaitChange(ticket, deadline);
  }
  /// Set once kStreaming has been seen; never changes afterwards.
  std::shared_ptr<const StreamHead> head() const;
  Outcome outcome() const;                     ///< its entity is set once kDone
  std::shared_ptr<const Error> error() const;  ///< set once kFailed

  // Who waits. A production that nobody waits for may be given up (Orchestrator::WatchWaiters).
  void AddWaiter();
  void DropWaiter();
  size_t waiters() const;
  /// Somebody was promised its result and does not wait (202): it is made whoever leaves.
  void Hold();
  bool is_held() const;
  /// Whether anybody waits for it or was promised it.
  bool is_wanted() const;
  Interest interest() const;
  /// How far it is, 0 to 100; never goes back. For the producer.
  void SetPercent(uint32_t percent);
  uint32_t percent() const { return percent_.load(std::memory_order_relaxed); }
  /// The work itself has begun: a worker has it, or bytes are being copied. For the producer.
  void MarkStarted();
  /// How long all of it may take, seconds of wall time; 0 = unknown. The first one said counts. For
  /// the producer.
  void SetEstimate(double seconds);
  double estimated_seconds() const { return estimate_.load(std::memory_order_relaxed); }
  /// Nobody wants it any more: the producer should end with kCancelled soon.
  void Abandon();
  bool is_abandoned() const;
  /// Abandons it, and those who wait get `error` at once. Nothing of it is kept.
  /// @return false when it has ended or is being kept already
  bool Cancel(Error error);
  /// Calls `act` once Abandon() comes, or now when it has come. For the producer, once.
  void OnAbandon(std::function<void()> act);

  // Purge (or cancelling) and keeping exclude each other: what is marked before BeginKeeping is
  // never kept, and who marks while it is being kept waits for EndKeeping and then removes it.
  enum class Keeping {
    kNotYet,  ///< nothing of it is in edge or KV
    kNow,     ///< its result is being put there
    kOver,    ///< it has ended: its result is there, or never will be
  };
  Keeping keeping() const;
  /// @return what it was at when it was marked
  Keeping MarkPurged();
  /// @return false when a purge came first: serve the waiters, keep nothing
  bool BeginKeeping();
  void EndKeeping();
  bool is_keeping() const { return keeping() == Keeping::kNow; }
  /// From here on its result is made anew; nothing that edge or KV hold is kept. `job` tells of it.
  void BeginMaking(JobRef job);
  bool is_making() const { return job() != nullptr; }
  /// Null before BeginMaking().
  JobRef job() const;

 private:
  Keeping KeepingLocked() const REQUIRES(mutex_);

  mutable Mutex mutex_;
  View view_ GUARDED_BY(mutex_);
  bool is_abandoned_ GUARDED_BY(mutex_) = false;
  size_t waiters_ GUARDED_BY(mutex_) = 0;
  bool had_waiters_ GUARDED_BY(mutex_) = false;
  bool is_held_ GUARDED_BY(mutex_) = false;
  std::function<void()> on_abandon_ GUARDED_BY(mutex_);
  std::atomic<bool> is_refused_{false};
  std::atomic<uint32_t> percent_{0};
  std::atomic<double> estimate_{0};
  JobRef job_ GUARDED_BY(mutex_);
  std::shared_ptr<const StreamHead> head_ GUARDED_BY(mutex_);
  Outcome outcome_ GUARDED_BY(mutex_);
  std::shared_ptr<const Error> error_ GUARDED_BY(mutex_);
  bool is_purged_ GUARDED_BY(mutex_) = false;
  bool is_keeping_ GUARDED_BY(mutex_) = false;
  io::Notifier notifier_;
};
using ProductionRef = std::shared_ptr<Production>;

/// One who waits for a production, or reads it while it grows. Takes over an AddWaiter().
class Waiter {
 public:
  explicit Waiter(ProductionRef production) : production_(std::move(production)) {}
  ~Waiter() { production_->DropWaiter(); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 private:
  const ProductionRef production_;
};

}  // namespace vr::cache
