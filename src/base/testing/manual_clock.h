// A clock that moves when the test says so. Thread-safe.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace vr::testing {

class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start = FromUnixMillis(1'700'000'000'000)) : start_(start) {}
  WallTime Now() const override {
    return start_ + std::chrono::duration_cast<WallTime::duration>(offset_.load());
  }
  SteadyTime SteadyNow() const override {
    return SteadyTime{} + std::chrono::hours(1) + offset_.load();
  }
  void Advance(std::chrono::nanoseconds by) { offset_ = offset_.load() + by; }

 private:
  const WallTime start_;
  std::atomic<std::chrono::nanoseconds> offset_{std::chrono::nanoseconds{0}};
};

}  // namespace vr::testing
