// Notifier: many coroutines on many loops wait for "something changed". One wake-up post per loop.
// OneShot<T>: one value handed from any thread to one waiting coroutine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "io/task.h"

namespace vr::io {

/// Thread-safe. Read `ticket()` *before* looking at the state that may change, then wait with it:
/// a change between the two is never missed. Must outlive its waiters' wait (hold it by
/// shared_ptr).
class Notifier {
 public:
  Notifier();
  ~Notifier();

  uint64_t ticket() const;
  /// Wakes everybody who waits now.
  void NotifyAll();
  /// Waits until NotifyAll() has been called after `ticket` was read, or the deadline.
  /// @return false when the deadline came first.
  Task<bool> WaitChange(uint64_t ticket, SteadyTime deadline = SteadyTime::max());

 private:
  struct Waiter;
  mutable Mutex mutex_;
  uint64_t ticket_ GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<Waiter>> waiters_ GUARDED_BY(mutex_);
};

/// Thread-safe; Set at most once; one waiter.
template <class T>
class OneShot {
 public:
  void Set(T value) {
    {
      MutexLock lock(mutex_);
      value_.emplace(std::move(value));
    }
    notifier_.NotifyAll();
  }
  /// @return nullopt when the deadline came first.
  Task<std::optional<T>> Wait(SteadyTime deadline = SteadyTime::max()) {
    for (;;) {
      const uint64_t ticket = notifier_.ticket();
      {
        MutexLock lock(mutex_);
        if (value_) {
          std::optional<T> out(std::move(*value_));
          co_return out;
        }
      }
      const bool changed = co_await notifier_.WaitChange(ticket, deadline);
      if (!changed) co_return std::nullopt;
    }
  }

 private:
  Mutex mutex_;
  std::optional<T> value_ GUARDED_BY(mutex_);
  Notifier notifier_;
};

}  // namespace vr::io
