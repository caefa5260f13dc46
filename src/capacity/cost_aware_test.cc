#include "capacity/cost_aware.h"

#include <gtest/gtest.h>

namespace vr::capacity {
namespace {

constexpr int64_t kHour = 3600 * 1000;

class CostAwareTest : public testing::Test {
 protected:
  static PolicyOptions Options() {
    PolicyOptions options;
    options.max_bytes = 1000;
    options.expected_entries = 1000;
    options.half_life_ms = 24 * kHour;
    return options;
  }
  void Hit(uint64_t id, int times, int64_t now_ms = 0) {
    for (int n = 0; n < times; ++n) policy_.Hit(id, now_ms);
  }
  uint64_t Evict(int64_t now_ms = 0) { return policy_.Evict(now_ms).value_or(0); }
  CostAwarePolicy policy_{Options()};
};

TEST_F(CostAwareTest, OfEquallyPopularOnesTheCheapestBytesGoFirst) {
  policy_.Insert({1, 100, 5}, 0);   // 50 ms per byte
  policy_.Insert({2, 100, 1}, 0);   // 10
  policy_.Insert({3, 10, 0.2}, 0);  // 20
  EXPECT_EQ(Evict(), 2u);
  EXPECT_EQ(Evict(), 3u);
  EXPECT_EQ(Evict(), 1u);
}

TEST_F(CostAwareTest, PopularityMakesUpForCost) {
  policy_.Insert({1, 100, 5}, 0);
  policy_.Insert({2, 100, 1}, 0);
  Hit(2, 5);  // six requests of 1 s against one of 5 s
  EXPECT_EQ(Evict(), 1u);
}

TEST_F(CostAwareTest, OldPopularityFades) {
  policy_.Insert({1, 100, 1}, 0);
  Hit(1, 7);
  policy_.Insert({2, 100, 1}, 4 * 24 * kHour);  // eight requests four half-lives ago are half a one
  EXPECT_EQ(Evict(4 * 24 * kHour), 1u);
}

TEST_F(CostAwareTest, BytesThatWantInAgePopularityToo) {
  policy_.Insert({1, 100, 1}, 0);
  Hit(1, 3);
  for (uint64_t id = 100; id < 500; ++id) {  // forty times the store
    policy_.Insert({id, 100, 0.5}, 0);
    while (policy_.bytes() > 900) Evict();
  }
  policy_.Insert({2, 100, 1}, 0);
  std::vector<uint64_t> order;
  while (const auto id = policy_.Evict(0)) order.push_back(*id);
  EXPECT_EQ(order.back(), 2u);
}

TEST_F(CostAwareTest, WhatComesBackIsAsPopularAsItWas) {
  policy_.Insert({1, 100, 1}, 0);
  Hit(1, 9);
  policy_.Insert({2, 100, 1}, 0);
  Hit(2, 4);
  policy_.Erase(1);
  policy_.Insert({1, 100, 1}, 0);
  EXPECT_EQ(Evict(), 2u);
}

TEST_F(CostAwareTest, AOneHitWonderDoesNotDisplaceAProvenVariant) {
  for (uint64_t id = 1; id <= 10; ++id) {
    policy_.Insert({id, 100, 1}, 0);
    Hit(id, 2);
  }
  const Item wonder{99, 100, 1};
  policy_.Miss(99, 0);
  EXPECT_FALSE(policy_.Admit(wonder, 0));
  for (int n = 0; n < 3; ++n) policy_.Miss(99, 0);
  EXPECT_TRUE(policy_.Admit(wonder, 0));
}

TEST_F(CostAwareTest, AdmissionWeighsAgainstAllThatWouldHaveToGo) {
  for (uint64_t id = 1; id <= 9; ++id) policy_.Insert({id, 100, 10}, 0);
  policy_.Insert({10, 100, 0.1}, 0);
  policy_.Miss(99, 0);
  EXPECT_TRUE(policy_.Admit({99, 100, 1}, 0));   // only 10 would go
  EXPECT_FALSE(policy_.Admit({99, 300, 3}, 0));  // as dense, but two of 10 s would go too
  EXPECT_EQ(policy_.entries(), 10u);
  EXPECT_EQ(Evict(), 10u);
}

TEST_F(CostAwareTest, ASmallItemMayDisplaceALargeWorthlessOne) {
  policy_.Insert({1, 900, 1}, 0);
  policy_.Miss(2, 0);
  EXPECT_TRUE(policy_.Admit({2, 10, 0.5}, 0));
}

TEST_F(CostAwareTest, WhatIsLargerThanTheStoreIsNotAdmitted) {
  policy_.Miss(1, 0);
  EXPECT_FALSE(policy_.Admit({1, 1001, 1e6}, 0));
}

/// The bound on repairs must not let a popular item go while there are unpopular ones in reach.
TEST_F(CostAwareTest, EvictsAnUnpopularOneAfterALongTimeOfHits) {
  for (uint64_t id = 1; id <= 1000; ++id) policy_.Insert({id, 1, 1}, 0);
  for (uint64_t id = 1; id <= 1000; ++id) Hit(id, id % 10 == 0 ? 1 : 20);
  for (int n = 0; n < 50; ++n) EXPECT_EQ(Evict() % 10, 0u) << n;
}

}  // namespace
}  // namespace vr::capacity
