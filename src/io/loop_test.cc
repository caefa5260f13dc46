#include "io/loop.h"

#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <future>
#include <memory>
#include <set>
#include <stdexcept>

#include "io/notifier.h"
#include "io/task_group.h"
#include "io/testing/run_sync.h"
#include "io/timer.h"

namespace vr::io {
namespace {

using namespace std::chrono_literals;

SteadyTime Soon() {
  return std::chrono::steady_clock::now() + 60s;
}

TEST(LoopPool, ALoopHasItsDescriptorsFromTheBeginning) {
  const auto open = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  LoopPool loops(1);
  const auto before = open();
  const boost::asio::steady_timer timer(loops[0].context());
  EXPECT_EQ(open(), before);
}

TEST(LoopPool, ALoopKnowsItself) {
  LoopPool loops(2);
  loops.Start();
  EXPECT_EQ(Loop::Current(), nullptr);
  for (size_t i = 0; i < 2; ++i) {
    std::promise<Loop*> current;
    loops[i].Post([&] { current.set_value(Loop::Current()); });
    EXPECT_EQ(current.get_future().get(), &loops[i]);
    EXPECT_EQ(loops[i].index(), static_cast<int>(i));
  }
}

TEST(LoopPool, AnyTakesTurns) {
  LoopPool loops(3);
  std::multiset<int> seen;
  for (int i = 0; i < 9; ++i) seen.insert(loops.Any().index());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(seen.count(i), 3u);
  EXPECT_GE(LoopPool(0).size(), 1u);
}

TEST(RunOn, ATaskRunsElsewhereAndItsCallerGoesOnWhereItWas) {
  LoopPool loops(2);
  loops.Start();
  Loop *inside = nullptr, *before = nullptr, *after = nullptr;
  std::promise<void> done;
  auto elsewhere = [&]() -> Task<void> {
    inside = Loop::Current();
    co_return;
  };
  auto caller = [&]() -> Task<void> {
    before = Loop::Current();
    Task<void> task = elsewhere();
    co_await RunOn(loops[1].executor(), std::move(task));
    after = Loop::Current();
    done.set_value();
  };
  TaskGroup group;
  ASSERT_TRUE(group.Spawn(loops[0].executor(), caller));
  done.get_future().wait();
  EXPECT_EQ(before, &loops[0]);
  EXPECT_EQ(inside, &loops[1]);
  EXPECT_EQ(after, &loops[0]);
}

TEST(SleepUntil, NeverWakesEarly) {
  const SteadyTime when = std::chrono::steady_clock::now() + 2ms;
  testing::RunSync(SleepUntil(when));
  EXPECT_GE(std::chrono::steady_clock::now(), when);
  testing::RunSync(SleepUntil(std::chrono::steady_clock::now() - 1h));
}

Task<void> WaitFor(std::shared_ptr<OneShot<int>> shot, std::shared_ptr<int> out) {
  const std::optional<int> got = co_await shot->Wait();
  *out = got.value_or(-1);
}

TEST(TaskGroup, CloseRefusesNewWorkAndLetsTheOldEnd) {
  LoopPool loops(1);
  TaskGroup group;
  loops.Start();
  auto shot = std::make_shared<OneShot<int>>();
  auto out = std::make_shared<int>(0);
  ASSERT_TRUE(group.Spawn(loops[0].executor(), [shot, out] { return WaitFor(shot, out); }));
  EXPECT_EQ(group.running(), 1u);
  EXPECT_FALSE(group.WaitEmpty(std::chrono::steady_clock::now()));
  group.Close();
  bool started = false;
  EXPECT_FALSE(group.Spawn(loops[0].executor(), [&]() -> Task<void> {
    started = true;
    co_return;
  }));
  shot->Set(42);
  EXPECT_TRUE(group.WaitEmpty(Soon()));
  EXPECT_EQ(*out, 42);
  EXPECT_EQ(group.running(), 0u);
  EXPECT_FALSE(started);
}

Task<void> Throw() {
  const SteadyTime now = std::chrono::steady_clock::now();
  co_await SleepUntil(now);
  throw std::runtime_error("on purpose");
}

TEST(TaskGroup, AnExceptionEndsItsTaskOnly) {
  LoopPool loops(1);
  TaskGroup group;
  loops.Start();
  ASSERT_TRUE(group.Spawn(loops[0].executor(), Throw));
  EXPECT_TRUE(group.WaitEmpty(Soon()));
  std::promise<void> alive;
  loops[0].Post([&] { alive.set_value(); });
  alive.get_future().get();
}

TEST(TaskGroup, KeepsTheCallableUntilItsTaskEnds) {
  LoopPool loops(1);
  TaskGroup group;
  loops.Start();
  auto shot = std::make_shared<OneShot<int>>();
  auto token = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = token;
  ASSERT_TRUE(group.Spawn(loops[0].executor(), [shot, kept = std::move(token)]() -> Task<void> {
    co_await shot->Wait();
    ++*kept;  // a capture, used after the suspension
  }));
  std::promise<void> turn;
  loops[0].Post([&] { turn.set_value(); });
  turn.get_future().get();
  EXPECT_FALSE(watch.expired());
  shot->Set(1);
  EXPECT_TRUE(group.WaitEmpty(Soon()));
  loops.Stop();
  EXPECT_TRUE(watch.expired());
}

TEST(TaskGroup, TasksOfADestroyedLoopCountAsEnded) {
  TaskGroup group;
  {
    LoopPool loops(1);  // never started
    auto shot = std::make_shared<OneShot<int>>();
    auto out = std::make_shared<int>(0);
    ASSERT_TRUE(group.Spawn(loops[0].executor(), [shot, out] { return WaitFor(shot, out); }));
    EXPECT_EQ(group.running(), 1u);
  }
  EXPECT_TRUE(group.WaitEmpty(std::chrono::steady_clock::now()));
}

}  // namespace
}  // namespace vr::io
