#include "cache/use_log.h"

#include <gtest/gtest.h>

#include <thread>

namespace vr::cache {
namespace {

TEST(UseLog, GivesBackWhatWasNotedInOrderOfTime) {
  UseLog log([] {});
  log.Note(1, 10, false);
  std::thread([&log] { log.Note(2, 5, true); }).join();
  log.Note(3, 10, true);
  const std::vector<Use> uses = log.Take();
  ASSERT_EQ(uses.size(), 3u);
  EXPECT_EQ(uses[0].id, 2u);
  EXPECT_EQ(uses[0].at_ms, 5);
  EXPECT_TRUE(uses[0].is_miss);
  EXPECT_EQ(uses[1].id, 1u);
  EXPECT_FALSE(uses[1].is_miss);
  EXPECT_EQ(uses[2].id, 3u) << "one thread's notes stay in their order";
  EXPECT_TRUE(log.Take().empty());
}

TEST(UseLog, LosesAndCountsWhatDoesNotFitAndTellsInTime) {
  int told = 0;
  UseLog log([&told] { ++told; });
  for (uint64_t i = 0; i < UseLog::kSlots + 10; ++i) log.Note(i, 1, false);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(log.lost(), 10u);
  EXPECT_EQ(log.Take().size(), UseLog::kSlots);
  log.Note(7, 1, false);
  EXPECT_EQ(log.Take().size(), 1u);
}

TEST(UseLog, OfTwoLogsEachHasItsOwn) {
  UseLog a([] {});
  UseLog b([] {});
  a.Note(1, 1, false);
  b.Note(2, 1, false);
  a.Note(3, 1, false);
  EXPECT_EQ(a.Take().size(), 2u);
  EXPECT_EQ(b.Take().size(), 1u);
}

TEST(UseLog, NothingIsLostOrTwiceWhileThreadsNoteAndOneTakes) {
  UseLog log([] {});
  constexpr uint64_t kEach = 20'000;
  std::atomic<int> left{2};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&log, &left, t] {
      for (uint64_t i = 0; i < kEach; ++i) log.Note(t * kEach + i, 1, false);
      --left;
    });
  }
  std::vector<int> seen(2 * kEach);
  uint64_t taken = 0;
  const auto take = [&] {
    for (const Use& use : log.Take()) {
      ++seen[use.id];
      ++taken;
    }
  };
  while (left > 0) take();
  for (std::thread& thread : threads) thread.join();
  take();
  EXPECT_EQ(taken + log.lost(), 2 * kEach);
  for (const int n : seen) ASSERT_LE(n, 1);
}

}  // namespace
}  // namespace vr::cache
