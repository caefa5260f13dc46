// Breaker: whether a source is worth asking. After a run of failures it is not asked for a while;
// then one request tries it, and its end decides.
//
//   closed     requests go out; `failures` in a row, or half of the last `2 * failures`, open it
//   open       requests are passed over until the cool-down is over
//   half open  one request (the probe) is under way; the others are passed over
//
// BreakerState is the machine: no clock, no lock. Breaker is one source's, shared by all who ask it
// and by all generations of the configuration that have that source; thread-safe, its lock is a
// leaf.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "observe/metrics.h"

namespace vr::origin {

struct BreakerOptions {
  int failures = 10;  ///< 0: never opens
  std::chrono::milliseconds cooldown{10'000};
};

/// How a request to a source ended. kUnknown says nothing about the source: cancelled, or refused
/// by ourselves. "Not there" is a success: the source could say so.
enum class Outcome { kSuccess, kFailure, kUnknown };

class BreakerState {
 public:
  enum class State { kClosed, kHalfOpen, kOpen };
  enum class Verdict { kGo, kProbe, kSkip };

  Verdict Ask(SteadyTime now, const BreakerOptions& options);
  /// @param was what Ask() said of this request; kSkip never comes here. What was sent before it
  /// opened says nothing any more once it has.
  void Record(Verdict was, Outcome outcome, SteadyTime now, const BreakerOptions& options);
  State state() const { return state_; }
  /// How long until a request may try it; 0 unless it is open.
  std::chrono::milliseconds WaitFor(SteadyTime now, const BreakerOptions& options) const;

 private:
  void Open(SteadyTime now);

  State state_ = State::kClosed;
  SteadyTime opened_{};
  int run_ = 0;           ///< failures since the last success
  uint64_t history_ = 0;  ///< one bit per end, the newest lowest; 1 = failed
  int seen_ = 0;          ///< of them, how many bits count; at most 64
};

class Breaker : public std::enable_shared_from_this<Breaker> {
 public:
  /// @param source what metrics and log call it: host and port, or the name of a bucket
  Breaker(std::string origin, std::string source, Metrics& metrics, const Clock& clock);

  /// Leave to send one request. Must be told how it ended; a permit that is dropped says kUnknown.
  class Permit {
   public:
    Permit(std::shared_ptr<Breaker> breaker, BreakerState::Verdict verdict, BreakerOptions options)
        : breaker_(std::move(breaker)), verdict_(verdict), options_(options) {}
    Permit(Permit&&) = default;
    Permit& operator=(Permit&&) = delete;
    ~Permit() { End(Outcome::kUnknown); }
    /// The first call counts.
    void End(Outcome outcome);

   private:
    std::shared_ptr<Breaker> breaker_;
    BreakerState::Verdict verdict_;
    BreakerOptions options_;
  };

  /// @return nullopt: pass the source over
  std::optional<Permit> Enter(const BreakerOptions& options);
  /// The end of a request that asked for no leave: a further part of a source that is open.
  void Note(Outcome outcome, const BreakerOptions& options);
  BreakerState::State state() const;
  /// How long until a request may try it; 0 unless it is open.
  std::chrono::milliseconds WaitFor(const BreakerOptions& options) const;

 private:
  void Record(BreakerState::Verdict was, Outcome outcome, const BreakerOptions& options);
  /// Tells metrics and log what changed since `before`.
  void Tell(BreakerState::State before, BreakerState::State now);

  const std::string origin_, source_;
  const Clock& clock_;
  Gauge gauge_;      ///< video_resizer_origin_breaker_state{origin,source}: 0, 1 half open, 2 open
  Counter opened_;   ///< video_resizer_origin_breaker_opened_total{origin,source}
  Counter skipped_;  ///< video_resizer_origin_breaker_skipped_total{origin,source}
  mutable Mutex mutex_;
  BreakerState machine_ GUARDED_BY(mutex_);
};

std::string_view ToString(BreakerState::State state);

}  // namespace vr::origin
