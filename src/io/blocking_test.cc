#include "io/blocking.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <memory>
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
}

struct Threads {
  std::thread::id before, inside, after;
};

Task<Result<Threads>> ThreadsOfARun(Blocking& blocking) {
  Threads threads;
  threads.before = std::this_thread::get_id();
  auto work = []() -> Result<std::thread::id> { return std::this_thread::get_id(); };
  CO_TRY(threads.inside, co_await blocking.Run(Lane::kRead, std::move(work)));
  threads.after = std::this_thread::get_id();
  co_return threads;
}

TEST(Blocking, RunsOnAPoolThreadAndResumesOnTheCallers) {
  Blocking blocking({.read_threads = 1, .write_threads = 1, .max_queue = 4});
  const auto threads = RunSync(ThreadsOfARun(blocking));
  ASSERT_TRUE(threads.ok());
  EXPECT_EQ(threads->before, threads->after);
  EXPECT_NE(threads->before, threads->inside);
}

TEST(Blocking, PassesErrorsAndMoveOnlyValues) {
  Blocking blocking({.read_threads = 1, .write_threads = 1, .max_queue = 4});
  auto fail = []() -> Result<int> { return Error(Code::kCorruption, "bad"); };
  const auto failed = RunSync(blocking.Run(Lane::kWrite, fail));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, Code::kCorruption);
  auto make = [p = std::make_unique<int>(5)]() mutable -> Result<std::unique_ptr<int>> {
    return std::move(p);
  };
  const auto made = RunSync(blocking.Run(Lane::kWrite, std::move(make)));
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(**made, 5);
}

TEST(Blocking, AFullLaneAnswersAtOnceAndLeavesTheOtherAlone) {
  std::latch started(1), release(1);
  std::atomic<int> ran{0};
  {
    Blocking blocking({.read_threads = 1, .write_threads = 1, .max_queue = 2});
    ASSERT_TRUE(blocking.Post(Lane::kRead, [&] {
      started.count_down();
      release.wait();
      ++ran;
    }));
    started.wait();  // the thread is busy, the queue empty
    EXPECT_EQ(blocking.queued(), 0u);
    EXPECT_TRUE(blocking.Post(Lane::kRead, [&] { ++ran; }));
    EXPECT_TRUE(blocking.Post(Lane::kRead, [&] { ++ran; }));
    EXPECT_EQ(blocking.queued(), 2u);
    EXPECT_FALSE(blocking.Post(Lane::kRead, [&] { ran += 100; }));
    auto work = []() -> Result<int> { return 1; };
    const auto refused = RunSync(blocking.Run(Lane::kRead, work));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
    const auto written = RunSync(blocking.Run(Lane::kWrite, work));
    ASSERT_TRUE(written.ok()) << "a jam of reads must not stop writes";
    EXPECT_EQ(*written, 1);
    release.count_down();
  }
  EXPECT_EQ(ran.load(), 3) << "destruction runs what is queued";
}

Task<void> SumUp(Blocking& blocking, Lane lane, int from, int to, std::atomic<int64_t>& sum) {
  for (int i = from; i < to; ++i) {
    auto work = [i]() -> Result<int> { return i; };
    const Result<int> got = co_await blocking.Run(lane, work);
    if (got.ok()) sum += *got;
  }
}

TEST(Blocking, ServesManyLoopsAtOnce) {
  constexpr int kTasks = 40, kEach = 50;
  Blocking blocking;
  LoopPool loops(3);
  TaskGroup group;
  std::atomic<int64_t> sum{0};
  for (int t = 0; t < kTasks; ++t) {
    group.Spawn(loops[static_cast<size_t>(t) % 3].executor(), [&, t] {
      return SumUp(blocking, t % 2 == 0 ? Lane::kRead : Lane::kWrite, t * kEach, (t + 1) * kEach,
                   sum);
    });
  }
  loops.Start();
  ASSERT_TRUE(group.WaitEmpty(Soon()));
  constexpr int64_t kLast = int64_t{kTasks} * kEach - 1;
  EXPECT_EQ(sum.load(), kLast * (kLast + 1) / 2);
}

}  // namespace
}  // namespace vr::io
