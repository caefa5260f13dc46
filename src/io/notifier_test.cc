#include "io/notifier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <latch>
#include <string>
#include <thread>

#include "io/loop.h"
#include "io/task_group.h"
#include "io/testing/run_sync.h"

namespace vr::io {
namespace {

using namespace std::chrono_literals;
using testing::RunSync;

SteadyTime Soon() {
  return std::chrono::steady_clock::now() + 60s;
}  // far away: reaching it is a failure

TEST(Notifier, AnOldTicketReturnsAtOnce) {
  Notifier notifier;
  const uint64_t ticket = notifier.ticket();
  notifier.NotifyAll();
  EXPECT_NE(notifier.ticket(), ticket);
  EXPECT_TRUE(RunSync(notifier.WaitChange(ticket, Soon())));
}

TEST(Notifier, APassedDeadlineEndsTheWait) {
  Notifier notifier;
  const SteadyTime past = std::chrono::steady_clock::now() - 1s;
  EXPECT_FALSE(RunSync(notifier.WaitChange(notifier.ticket(), past)));
  // Nobody of it is left behind: later waits and wake-ups are whole.
  notifier.NotifyAll();
  EXPECT_FALSE(RunSync(notifier.WaitChange(notifier.ticket(), past)));
}

TEST(Notifier, ADeadlineThatComesLaterEndsTheWaitToo) {
  Notifier notifier;
  const SteadyTime deadline = std::chrono::steady_clock::now() + 2ms;
  EXPECT_FALSE(RunSync(notifier.WaitChange(notifier.ticket(), deadline)));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

Task<bool> WaitAndTell(Notifier& notifier, uint64_t ticket, std::promise<std::thread::id>& woken) {
  const bool changed = co_await notifier.WaitChange(ticket);
  woken.set_value(std::this_thread::get_id());
  co_return changed;
}

TEST(Notifier, TheWaiterWakesOnItsOwnLoop) {
  Notifier notifier;
  LoopPool loops(2);
  loops.Start();
  std::promise<std::thread::id> loop_thread;
  loops[1].Post([&] { loop_thread.set_value(std::this_thread::get_id()); });
  std::promise<std::thread::id> woken;
  const uint64_t ticket = notifier.ticket();
  auto done = boost::asio::co_spawn(loops[1].executor(), WaitAndTell(notifier, ticket, woken),
                                    boost::asio::use_future);
  loops[0].Post([&] { notifier.NotifyAll(); });
  EXPECT_TRUE(done.get());
  EXPECT_EQ(woken.get_future().get(), loop_thread.get_future().get());
}

// The pattern of every user: ticket, look, wait.
Task<void> FollowTo(Notifier& notifier, const std::atomic<int>& state, int goal,
                    SteadyTime deadline, std::atomic<int>& arrived) {
  for (;;) {
    const uint64_t ticket = notifier.ticket();
    if (state.load() >= goal) break;
    const bool changed = co_await notifier.WaitChange(ticket, deadline);
    if (!changed) co_return;
  }
  ++arrived;
}

TEST(Notifier, NoWakeUpIsLostBetweenManyThreadsAndLoops) {
  constexpr int kWriters = 4, kSteps = 500, kWaiters = 200;
  Notifier notifier;
  std::atomic<int> state{0}, arrived{0};
  LoopPool loops(3);
  TaskGroup group;
  const SteadyTime deadline = Soon();
  for (int i = 0; i < kWaiters; ++i) {
    // Every waiter has a goal of its own: the last ones are met by the very last notification.
    const int goal = kWriters * kSteps * (i + 1) / kWaiters;
    group.Spawn(loops[static_cast<size_t>(i) % loops.size()].executor(),
                [&notifier, &state, &arrived, goal, deadline] {
                  return FollowTo(notifier, state, goal, deadline, arrived);
                });
  }
  loops.Start();
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&] {
      for (int i = 0; i < kSteps; ++i) {
        ++state;
        notifier.NotifyAll();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_TRUE(group.WaitEmpty(deadline));
  EXPECT_EQ(arrived.load(), kWaiters);
}

// Deadlines that fall into the middle of notifications: neither a hang nor a false "changed".
Task<void> WaitBriefly(Notifier& notifier, std::atomic<int>& ended) {
  for (int i = 0; i < 50; ++i) {
    const uint64_t ticket = notifier.ticket();
    const SteadyTime deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(i * 5);
    const bool changed = co_await notifier.WaitChange(ticket, deadline);
    if (changed) {
      EXPECT_NE(notifier.ticket(), ticket);
    } else {
      EXPECT_GE(std::chrono::steady_clock::now(), deadline);
    }
  }
  ++ended;
}

TEST(Notifier, DeadlinesAndNotificationsMayRace) {
  Notifier notifier;
  LoopPool loops(2);
  TaskGroup group;
  std::atomic<int> ended{0};
  for (size_t i = 0; i < 40; ++i) {
    group.Spawn(loops[i % 2].executor(), [&] { return WaitBriefly(notifier, ended); });
  }
  loops.Start();
  while (group.running() > 0) notifier.NotifyAll();
  EXPECT_EQ(ended.load(), 40);
}

TEST(OneShot, HandsOverWhatWasSetBefore) {
  OneShot<std::unique_ptr<int>> shot;
  shot.Set(std::make_unique<int>(7));
  const auto got = RunSync(shot.Wait(Soon()));
  ASSERT_TRUE(got);
  EXPECT_EQ(**got, 7);
}

TEST(OneShot, HandsOverFromAnotherThread) {
  for (int i = 0; i < 200; ++i) {
    OneShot<std::string> shot;
    std::latch go(2);
    std::thread setter([&] {
      go.arrive_and_wait();
      shot.Set("value");
    });
    go.arrive_and_wait();
    const auto got = RunSync(shot.Wait(Soon()));
    setter.join();
    ASSERT_EQ(got, "value");
  }
}

TEST(OneShot, TheDeadlineLeavesTheValueForALaterWait) {
  OneShot<int> shot;
  EXPECT_EQ(RunSync(shot.Wait(std::chrono::steady_clock::now())), std::nullopt);
  shot.Set(3);
  EXPECT_EQ(RunSync(shot.Wait(Soon())), 3);
}

}  // namespace
}  // namespace vr::io
