#include "capacity/s3_fifo.h"

#include <gtest/gtest.h>

namespace vr::capacity {
namespace {

PolicyOptions Holding(uint64_t items) {
  PolicyOptions options;
  options.max_bytes = items * 10;
  options.expected_entries = items;
  return options;
}

class S3FifoTest : public testing::Test {
 protected:
  void Insert(uint64_t id) { policy_.Insert({id, 10, 1}, 0); }
  void Hit(uint64_t id, int times) {
    for (int n = 0; n < times; ++n) policy_.Hit(id, 0);
  }
  uint64_t Evict() { return policy_.Evict(0).value_or(0); }
  S3FifoPolicy policy_{Holding(20)};
};

TEST_F(S3FifoTest, WhatWasUsedTwiceLeavesTheSmallQueueForTheMainOne) {
  for (const uint64_t id : {1, 2, 3}) Insert(id);
  Hit(1, 2);
  Hit(2, 1);  // once is not enough
  EXPECT_EQ(Evict(), 2u);
  EXPECT_EQ(Evict(), 1u);  // the small queue is below its share now: the main one's turn
  EXPECT_EQ(Evict(), 3u);
}

TEST_F(S3FifoTest, WhatReturnsSoonAfterItLeftGoesToTheMainQueue) {
  for (uint64_t id = 1; id <= 20; ++id) Insert(id);
  EXPECT_EQ(Evict(), 1u);
  Insert(1);  // from the ghosts
  for (uint64_t id = 100; id < 110; ++id) Insert(id);
  // Everything in the small queue goes before it, until that is down to its share.
  for (uint64_t id = 2; id <= 20; ++id) EXPECT_EQ(Evict(), id);
}

TEST_F(S3FifoTest, AScanDoesNotReachTheMainQueue) {
  for (uint64_t id = 1; id <= 10; ++id) {
    Insert(id);
    Hit(id, 2);
  }
  for (uint64_t id = 1000; id < 2000; ++id) {
    while (policy_.bytes() + 10 > 200) Evict();
    Insert(id);
  }
  size_t left = 0;
  while (const auto id = policy_.Evict(0)) left += *id <= 10 ? 1 : 0;
  EXPECT_EQ(left, 10u);
}

TEST_F(S3FifoTest, UsesCountThreeAtMostAndBuyOneRoundEach) {
  for (const uint64_t id : {1, 2}) {
    Insert(id);
    Hit(id, 2);
  }
  for (const uint64_t id : {3, 4}) Insert(id);
  EXPECT_EQ(Evict(), 3u);  // 1 and 2 are in the main queue now
  Hit(1, 100);
  Hit(2, 1);
  policy_.Erase(4);
  EXPECT_EQ(Evict(), 2u);
  EXPECT_EQ(Evict(), 1u);
}

}  // namespace
}  // namespace vr::capacity
