// Recorder: takes what finished requests tell, on the thread that served them, for next to nothing.
//
// Each thread writes to a shard of its own: a lock that nobody else holds but for the moment in
// which Drain() swaps pages, one hash of the key, a look into a table of those counted since, and
// additions. Memory is bounded: what finds no room in the table is counted without its key, and
// when even that is full, without labels; no request is ever left out of the sums. Recording never
// waits for anything, never fails and never throws. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "analytics/bucket.h"
#include "analytics/event.h"
#include "base/mutex.h"

namespace vr::analytics {

class Recorder {
 public:
  static constexpr size_t kShards = 32;
  /// Of one shard between two drains: variants told apart, kinds of requests told apart beyond.
  static constexpr size_t kSlots = 2048;
  static constexpr size_t kCoarseSlots = 256;
  static constexpr size_t kFailuresHeld = 100;
  static constexpr size_t kProductionsHeld = 1024;

  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void Record(const Event& event) noexcept;
  void Record(const Production& production) noexcept;
  /// For what is shown one by one: an error that the request's Event has counted. Of many between
  /// two drains the last ones stay.
  void Record(Failure failure) noexcept;

  /// Moves everything recorded since the last call into `to`. One call at a time.
  void Drain(Bucket& to, std::vector<Failure>& failures);

  /// Requests whose labels found no room, since the start.
  uint64_t unlabelled() const { return unlabelled_.load(std::memory_order_relaxed); }

 private:
  struct Slot;
  struct Pages;
  struct Shard;
  struct Made;

  Shard& ShardOfThread();
  static void Empty(Pages& pages, Bucket& to);

  std::array<std::unique_ptr<Shard>, kShards> shards_;
  std::atomic<uint64_t> unlabelled_{0};
  mutable Mutex mutex_;
  std::vector<Made> made_ GUARDED_BY(mutex_);
  Making making_ GUARDED_BY(mutex_);
  std::vector<Failure> failures_ GUARDED_BY(mutex_);
  size_t next_failure_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vr::analytics
