#include "origin/breaker.h"

#include <gtest/gtest.h>

#include <vector>

namespace vr::origin {
namespace {

using namespace std::chrono_literals;
using State = BreakerState::State;
using Verdict = BreakerState::Verdict;

class BreakerStateTest : public ::testing::Test {
 protected:
  Verdict Ask() { return machine_.Ask(now_, options_); }
  void End(Outcome outcome, Verdict was = Verdict::kGo) {
    machine_.Record(was, outcome, now_, options_);
  }
  void Fail(int times) {
    for (int i = 0; i < times; ++i) End(Outcome::kFailure);
  }

  BreakerOptions options_{4, 10s};
  SteadyTime now_{1000s};
  BreakerState machine_;
};

TEST_F(BreakerStateTest, OpensAfterSoManyFailuresInARow) {
  Fail(3);
  EXPECT_EQ(Ask(), Verdict::kGo);
  End(Outcome::kSuccess);
  Fail(3);
  EXPECT_EQ(machine_.state(), State::kClosed);
  Fail(1);
  EXPECT_EQ(machine_.state(), State::kOpen);
  EXPECT_EQ(Ask(), Verdict::kSkip);
  now_ += 10s - 1ms;
  EXPECT_EQ(Ask(), Verdict::kSkip);
}

TEST_F(BreakerStateTest, OpensWhenHalfOfTheLastFailed) {
  for (int i = 0; i < 3; ++i) {
    End(Outcome::kSuccess);
    Fail(1);
  }
  End(Outcome::kSuccess);
  EXPECT_EQ(machine_.state(), State::kClosed) << "a few are no sign";
  Fail(1);
  EXPECT_EQ(machine_.state(), State::kOpen) << "four of eight";
}

TEST_F(BreakerStateTest, AFewFailuresAmongManyAnswersDoNotOpenIt) {
  for (int i = 0; i < 200; ++i) {
    End(Outcome::kSuccess);
    End(Outcome::kSuccess);
    Fail(1);
    ASSERT_EQ(machine_.state(), State::kClosed) << i;
  }
}

TEST_F(BreakerStateTest, WhatSaysNothingOfTheSourceCountsForNothing) {
  Fail(3);
  for (int i = 0; i < 100; ++i) End(Outcome::kUnknown);
  EXPECT_EQ(machine_.state(), State::kClosed);
  Fail(1);
  EXPECT_EQ(machine_.state(), State::kOpen) << "and does not end a run either";
}

TEST_F(BreakerStateTest, OneProbeDecides) {
  Fail(4);
  now_ += 10s;
  EXPECT_EQ(Ask(), Verdict::kProbe);
  EXPECT_EQ(machine_.state(), State::kHalfOpen);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask(), Verdict::kSkip);
  End(Outcome::kFailure, Verdict::kProbe);
  EXPECT_EQ(machine_.state(), State::kOpen);
  EXPECT_EQ(Ask(), Verdict::kSkip) << "a new cool-down";
  now_ += 10s;
  EXPECT_EQ(Ask(), Verdict::kProbe);
  End(Outcome::kSuccess, Verdict::kProbe);
  EXPECT_EQ(machine_.state(), State::kClosed);
  Fail(3);
  EXPECT_EQ(machine_.state(), State::kClosed) << "what was before is forgotten";
}

TEST_F(BreakerStateTest, AProbeThatWasGivenUpLeavesItsPlaceToTheNext) {
  Fail(4);
  now_ += 10s;
  EXPECT_EQ(Ask(), Verdict::kProbe);
  End(Outcome::kUnknown, Verdict::kProbe);
  EXPECT_EQ(Ask(), Verdict::kProbe);
}

TEST_F(BreakerStateTest, LateEndsOfWhatWasSentBeforeDoNotDecide) {
  Fail(4);
  End(Outcome::kSuccess);
  EXPECT_EQ(machine_.state(), State::kOpen);
  now_ += 10s;
  EXPECT_EQ(Ask(), Verdict::kProbe);
  End(Outcome::kSuccess);
  Fail(10);
  EXPECT_EQ(machine_.state(), State::kHalfOpen);
  EXPECT_EQ(Ask(), Verdict::kSkip);
}

TEST_F(BreakerStateTest, ZeroSwitchesItOff) {
  options_.failures = 0;
  Fail(1000);
  EXPECT_EQ(Ask(), Verdict::kGo);
  options_.failures = 4;
  Fail(4);
  EXPECT_EQ(Ask(), Verdict::kSkip);
  options_.failures = 0;
  EXPECT_EQ(Ask(), Verdict::kGo) << "a reload may switch it off while it is open";
}

TEST_F(BreakerStateTest, TellsHowLongItStaysOpen) {
  EXPECT_EQ(machine_.WaitFor(now_, options_), 0ms);
  Fail(4);
  EXPECT_EQ(machine_.WaitFor(now_, options_), 10s);
  now_ += 9s + 999500us;
  EXPECT_EQ(machine_.WaitFor(now_, options_), 1ms) << "never too early";
  now_ += 1h;
  EXPECT_EQ(machine_.WaitFor(now_, options_), 0ms);
  ASSERT_EQ(Ask(), Verdict::kProbe);
  EXPECT_EQ(machine_.WaitFor(now_, options_), 0ms);
}

TEST_F(BreakerStateTest, OneFailureCanBeEnough) {
  options_.failures = 1;
  End(Outcome::kSuccess);
  End(Outcome::kSuccess);
  EXPECT_EQ(machine_.state(), State::kClosed);
  Fail(1);
  EXPECT_EQ(machine_.state(), State::kOpen);
}

TEST_F(BreakerStateTest, LongWindowsAreBounded) {
  options_.failures = 1000;
  Fail(999);
  EXPECT_EQ(machine_.state(), State::kOpen) << "64 of the last 64";
}

class FakeClock final : public Clock {
 public:
  WallTime Now() const override { return WallTime(); }
  SteadyTime SteadyNow() const override { return now; }
  SteadyTime now{1000s};
};

TEST(Breaker, PermitsTellItHowTheyEnded) {
  FakeClock clock;
  Metrics metrics;
  const BreakerOptions options{2, 5s};
  auto breaker = std::make_shared<Breaker>("o", "host:80", metrics, clock);
  const MetricLabels labels{{"origin", "o"}, {"source", "host:80"}};
  const auto gauge = [&] {
    return metrics.GetGauge("video_resizer_origin_breaker_state", "", labels).value();
  };
  for (int i = 0; i < 2; ++i) {
    auto permit = breaker->Enter(options);
    ASSERT_TRUE(permit);
    permit->End(Outcome::kFailure);
    permit->End(Outcome::kSuccess);  // counts no more
  }
  EXPECT_EQ(breaker->state(), State::kOpen);
  EXPECT_EQ(gauge(), 2);
  EXPECT_FALSE(breaker->Enter(options));
  EXPECT_EQ(metrics.GetCounter("video_resizer_origin_breaker_skipped_total", "", labels).value(),
            1);
  clock.now += 5s;
  {
    auto dropped = breaker->Enter(options);
    ASSERT_TRUE(dropped);
    EXPECT_EQ(gauge(), 1);
    EXPECT_FALSE(breaker->Enter(options));
  }
  EXPECT_EQ(gauge(), 2);
  auto probe = breaker->Enter(options);
  ASSERT_TRUE(probe);
  auto moved = std::make_unique<Breaker::Permit>(std::move(*probe));
  probe.reset();
  EXPECT_EQ(breaker->state(), State::kHalfOpen) << "a permit that was moved from says nothing";
  moved->End(Outcome::kSuccess);
  EXPECT_EQ(gauge(), 0);
  EXPECT_EQ(metrics.GetCounter("video_resizer_origin_breaker_opened_total", "", labels).value(), 1);
}

}  // namespace
}  // namespace vr::origin
