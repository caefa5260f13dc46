// UseLog: which entries were asked for, written down by any thread without a lock and read in
// batches. What a thread notes while its own ring is full is lost and counted: that somebody was
// popular shows in the rest. A note costs some nanoseconds; a thread's first one allocates its
// ring.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace vr::cache {

struct Use {
  uint64_t id = 0;  ///< Hash64Of the key
  int64_t at_ms = 0;
  bool is_miss = false;
};

class UseLog {
 public:
  static constexpr size_t kSlots = 8192;  ///< of each thread

  /// @param on_half_full  called by a noting thread when its ring has become half full
  explicit UseLog(std::function<void()> on_half_full);
  ~UseLog();

  /// Thread-safe; never waits.
  void Note(uint64_t id, int64_t at_ms, bool is_miss);
  /// Everything noted before the call, ordered by time, one thread's in their order. One caller at
  /// a time.
  std::vector<Use> Take();
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  struct Ring;
  Ring& RingOfThread();

  const uint64_t serial_;  ///< tells this log from others that lived at the same address
  const std::function<void()> on_half_full_;
  std::atomic<uint64_t> lost_{0};
  Mutex mutex_;
  std::map<std::thread::id, std::unique_ptr<Ring>> rings_ GUARDED_BY(mutex_);
};

}  // namespace vr::cache
