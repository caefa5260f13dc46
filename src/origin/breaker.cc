#include "origin/breaker.h"

#include <algorithm>
#include <bit>

#include "observe/log.h"

namespace vr::origin {

std::string_view ToString(BreakerState::State state) {
  switch (state) {
    case BreakerState::State::kClosed:
      return "closed";
    case BreakerState::State::kHalfOpen:
      return "half open";
    case BreakerState::State::kOpen:
      return "open";
  }
  return "";
}

BreakerState::Verdict BreakerState::Ask(SteadyTime now, const BreakerOptions& options) {
  if (options.failures <= 0) return Verdict::kGo;
  switch (state_) {
    case State::kClosed:
      return Verdict::kGo;
    case State::kHalfOpen:
      return Verdict::kSkip;
    case State::kOpen:
      break;
  }
  if (now - opened_ < options.cooldown) return Verdict::kSkip;
  state_ = State::kHalfOpen;
  return Verdict::kProbe;
}

void BreakerState::Open(SteadyTime now) {
  state_ = State::kOpen;
  opened_ = now;
}

std::chrono::milliseconds BreakerState::WaitFor(SteadyTime now,
                                                const BreakerOptions& options) const {
  if (state_ != State::kOpen) return std::chrono::milliseconds(0);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(opened_ + options.cooldown - now);
  return std::max(left, std::chrono::milliseconds(0));
}

void BreakerState::Record(Verdict was, Outcome outcome, SteadyTime now,
                          const BreakerOptions& options) {
  if (was == Verdict::kProbe) {
    if (outcome == Outcome::kSuccess) {
      *this = BreakerState();
    } else if (outcome == Outcome::kFailure) {
      Open(now);
    } else {
      state_ = State::kOpen;  // as before: the next who asks is the probe
    }
    return;
  }
  if (options.failures <= 0) {
    *this = BreakerState();
    return;
  }
  if (state_ != State::kClosed || outcome == Outcome::kUnknown) return;
  const bool failed = outcome == Outcome::kFailure;
  const int window = std::min(2 * options.failures, 64);
  run_ = failed ? run_ + 1 : 0;
  history_ = history_ << 1 | (failed ? 1 : 0);
  seen_ = std::min(seen_ + 1, 64);
  const uint64_t recent = window == 64 ? history_ : history_ & ((uint64_t{1} << window) - 1);
  // A success never opens it, however bad the time before was.
  const bool half_failed =
      failed && seen_ >= window && 2 * std::popcount(recent) >= window && window > 2;
  if (run_ < options.failures && !half_failed) return;
  *this = BreakerState();
  Open(now);
}

Breaker::Breaker(std::string origin, std::string source, Metrics& metrics, const Clock& clock)
    : origin_(std::move(origin)),
      source_(std::move(source)),
      clock_(clock),
      gauge_(metrics.GetGauge("video_resizer_origin_breaker_state",
                              "Circuit breaker of a source: 0 closed, 1 half open, 2 open",
                              {{"origin", origin_}, {"source", source_}})),
      opened_(metrics.GetCounter("video_resizer_origin_breaker_opened_total",
                                 "How often a source's circuit breaker opened",
                                 {{"origin", origin_}, {"source", source_}})),
      skipped_(metrics.GetCounter("video_resizer_origin_breaker_skipped_total",
                                  "Requests not sent because a source's circuit breaker was open",
                                  {{"origin", origin_}, {"source", source_}})) {
  gauge_.Set(0);
}

std::optional<Breaker::Permit> Breaker::Enter(const BreakerOptions& options) {
  BreakerState::State before, now;
  BreakerState::Verdict verdict;
  {
    MutexLock lock(mutex_);
    before = machine_.state();
    verdict = machine_.Ask(clock_.SteadyNow(), options);
    now = machine_.state();
  }
  Tell(before, now);
  if (verdict == BreakerState::Verdict::kSkip) {
    skipped_.Add();
    return std::nullopt;
  }
  return std::optional<Permit>(std::in_place, shared_from_this(), verdict, options);
}

void Breaker::Note(Outcome outcome, const BreakerOptions& options) {
  Record(BreakerState::Verdict::kGo, outcome, options);
}

void Breaker::Permit::End(Outcome outcome) {
  if (auto breaker = std::exchange(breaker_, nullptr)) breaker->Record(verdict_, outcome, options_);
}

void Breaker::Record(BreakerState::Verdict was, Outcome outcome, const BreakerOptions& options) {
  BreakerState::State before, now;
  {
    MutexLock lock(mutex_);
    before = machine_.state();
    machine_.Record(was, outcome, clock_.SteadyNow(), options);
    now = machine_.state();
  }
  Tell(before, now);
}

BreakerState::State Breaker::state() const {
  MutexLock lock(mutex_);
  return machine_.state();
}

std::chrono::milliseconds Breaker::WaitFor(const BreakerOptions& options) const {
  MutexLock lock(mutex_);
  return machine_.WaitFor(clock_.SteadyNow(), options);
}

void Breaker::Tell(BreakerState::State before, BreakerState::State now) {
  if (before == now) return;
  gauge_.Set(now == BreakerState::State::kOpen ? 2 : now == BreakerState::State::kHalfOpen ? 1 : 0);
  if (now == BreakerState::State::kHalfOpen) return;
  if (now == BreakerState::State::kOpen && before == BreakerState::State::kClosed) opened_.Add();
  LogWarn("origin_breaker",
          {{"origin", origin_}, {"source", source_}, {"state", std::string(ToString(now))}});
}

}  // namespace vr::origin
