// The small parts that policies are made of.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "capacity/ageing_clock.h"
#include "capacity/ghost_list.h"
#include "capacity/item_table.h"
#include "capacity/lazy_heap.h"
#include "capacity/popularity_sketch.h"

namespace vr::capacity {
namespace {

TEST(ItemTable, FindsWhatWasAddedAndReusesPlaces) {
  ItemTable<ItemNode> table(2);
  const Index a = table.Add({.id = 1, .bytes = 10});
  table.Add({.id = 2, .bytes = 20});
  EXPECT_EQ(table.bytes(), 30u);
  table.Remove(a);
  EXPECT_EQ(table.Find(1), kNoIndex);
  EXPECT_EQ(table.Add({.id = 3, .bytes = 5}), a);
  EXPECT_EQ(table[table.Find(3)].bytes, 5u);
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(table.bytes(), 25u);
}

TEST(ItemQueue, KeepsOrderAndBytesWhereverOneLeaves) {
  ItemTable<QueuedNode> table(4);
  ItemQueue<QueuedNode> queue(table);
  for (const uint64_t id : {1, 2, 3, 4}) queue.PushNewest(table.Add({.id = id, .bytes = id}));
  queue.PushOldest(table.Add({.id = 9, .bytes = 9}));
  EXPECT_EQ(queue.Ids(), (std::vector<uint64_t>{9, 1, 2, 3, 4}));
  for (const uint64_t id : {9, 2, 4}) queue.Remove(table.Find(id));
  EXPECT_EQ(queue.Ids(), (std::vector<uint64_t>{1, 3}));
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.bytes(), 4u);
  for (const uint64_t id : {1, 3}) queue.Remove(table.Find(id));
  EXPECT_EQ(queue.oldest(), kNoIndex);
  EXPECT_EQ(queue.newest(), kNoIndex);
}

TEST(GhostList, ForgetsTheOldestFirst) {
  GhostList<int> ghosts;
  for (const int id : {1, 2, 3}) ghosts.Remember(static_cast<uint64_t>(id), id * 10);
  ghosts.Remember(1, 11);  // is the newest now
  ghosts.Shrink(2);
  EXPECT_EQ(ghosts.Find(2), nullptr);
  ASSERT_NE(ghosts.Find(1), nullptr);
  EXPECT_EQ(*ghosts.Find(1), 11);
  EXPECT_EQ(ghosts.Take(3), std::optional<int>(30));
  EXPECT_EQ(ghosts.Take(3), std::nullopt);
  EXPECT_EQ(ghosts.size(), 1u);
}

TEST(GhostList, TellsThemFromTheOldestOn) {
  GhostList<int> ghosts;
  for (const int id : {4, 2, 3, 2}) ghosts.Remember(static_cast<uint64_t>(id), id * 10);
  std::vector<std::pair<uint64_t, int>> seen;
  ghosts.ForEach([&](uint64_t id, int known) { seen.emplace_back(id, known); });
  EXPECT_EQ(seen, (std::vector<std::pair<uint64_t, int>>{{4, 40}, {3, 30}, {2, 20}}));
}

TEST(PopularitySketch, NeverEstimatesTooLowAndSeldomTooHigh) {
  PopularitySketch sketch(1000);
  std::mt19937_64 random(5);
  std::vector<uint32_t> truth(1000);
  for (int n = 0; n < 5000; ++n) {
    const uint64_t id = random() % 1000;
    ++truth[id];
    sketch.Count(id);
  }
  size_t wrong = 0;
  for (uint64_t id = 0; id < 1000; ++id) {
    ASSERT_GE(sketch.Estimate(id), std::min(truth[id], PopularitySketch::kMaxCount));
    wrong += sketch.Estimate(id) > truth[id] ? 1 : 0;
  }
  EXPECT_LT(wrong, 100u);
}

TEST(PopularitySketch, CountsNoFurtherThanACounterGoes) {
  PopularitySketch sketch(1000);
  for (int n = 0; n < 1000; ++n) sketch.Count(42);
  EXPECT_EQ(sketch.Estimate(42), PopularitySketch::kMaxCount);
}

TEST(PopularitySketch, ForgetsHalfPerHalfLife) {
  PopularitySketch sketch(1000);
  for (int n = 0; n < 100; ++n) sketch.Count(42);
  sketch.AgeTo(0.9);
  EXPECT_EQ(sketch.Estimate(42), 100u);
  sketch.AgeTo(2.5);
  EXPECT_EQ(sketch.Estimate(42), 25u);
  sketch.AgeTo(1e9);
  EXPECT_EQ(sketch.Estimate(42), 0u);
}

TEST(PopularitySketch, AStrangerStaysAStrangerHoweverMuchIsCounted) {
  PopularitySketch sketch(100);
  for (uint64_t id = 0; id < 100'000; ++id) sketch.Count(id);
  uint64_t sum = 0;
  for (uint64_t id = 1'000'000; id < 1'001'000; ++id) sum += sketch.Estimate(id);
  EXPECT_LT(sum / 1000, 9u);
}

TEST(AgeingClock, ARequestCountsHalfAfterAHalfLife) {
  AgeingClock clock(1000);
  clock.AdvanceTo(5'000'000);  // the first look sets it
  const double once = clock.ScoreOf(1);
  clock.AdvanceTo(5'001'000);
  EXPECT_NEAR(clock.CountOf(once), 0.5, 1e-9);
  EXPECT_NEAR(clock.CountOf(clock.Add(once)), 1.5, 1e-9);
  clock.AdvanceBy(1);
  EXPECT_NEAR(clock.CountOf(once), 0.25, 1e-9);
}

TEST(AgeingClock, NeverRunsBackwards) {
  AgeingClock clock(1000);
  clock.AdvanceTo(10'000);
  clock.AdvanceTo(12'000);
  clock.AdvanceTo(3'000);
  EXPECT_DOUBLE_EQ(clock.now(), 2);
  clock.AdvanceTo(4'000);
  EXPECT_DOUBLE_EQ(clock.now(), 3);
}

TEST(AgeingClock, TheOrderOfScoresIsTheOrderOfCountsAtEveryLaterTime) {
  AgeingClock clock(1000);
  clock.AdvanceTo(0);
  const double early = clock.ScoreOf(3);
  clock.AdvanceTo(2000);
  const double late = clock.ScoreOf(1);  // three two half-lives ago are less than one now
  EXPECT_LT(early, late);
  clock.AdvanceTo(1'000'000);
  EXPECT_GT(std::log2(clock.CountOf(late)), std::log2(clock.CountOf(early)));
}

/// The heap beside a plain search for the least.
TEST(LazyHeap, FindsTheLeastAndKeepsEveryPlace) {
  std::vector<uint32_t> places(200);
  const auto place = [&](Index item) -> uint32_t& { return places[item]; };
  LazyHeap<decltype(place)> heap(place);
  std::vector<float> worth(200, -1);  // -1: not in the heap
  std::mt19937_64 random(11);
  for (int step = 0; step < 20'000; ++step) {
    const auto item = static_cast<Index>(random() % 200);
    if (worth[item] >= 0 && random() % 2 == 0) {
      heap.Remove(item);
      worth[item] = -1;
    } else if (worth[item] < 0) {
      worth[item] = static_cast<float>(random() % 1000);
      heap.Push(item, worth[item]);
    } else if (!heap.empty() && random() % 4 == 0) {
      worth[heap.top()] += 50;
      heap.SetTopWorth(worth[heap.top()]);
    }
    float least = 1e9;
    for (const float w : worth) {
      if (w >= 0) least = std::min(least, w);
    }
    ASSERT_EQ(heap.empty(), least == 1e9F);
    if (heap.empty()) continue;
    ASSERT_EQ(heap.top_worth(), least) << "step " << step;
  }
}

}  // namespace
}  // namespace vr::capacity
