// Time behind an interface, so that tests own it. Wall time is for what is stored and shown, steady
// time for waiting. Implementations are thread-safe.
#pragma once

#include <chrono>
#include <cstdint>

namespace vr {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Now() const = 0;
  virtual SteadyTime SteadyNow() const = 0;
};

/// The machine's clocks.
class SystemClock final : public Clock {
 public:
  WallTime Now() const override { return std::chrono::system_clock::now(); }
  SteadyTime SteadyNow() const override { return std::chrono::steady_clock::now(); }
  static const SystemClock& Get();
};

/// Milliseconds since 1970-01-01T00:00:00Z, the form in which times are stored.
inline int64_t ToUnixMillis(WallTime t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}
inline WallTime FromUnixMillis(int64_t ms) {
  return WallTime(std::chrono::milliseconds(ms));
}

}  // namespace vr
