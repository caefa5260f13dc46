#include "capacity/lru.h"

#include <gtest/gtest.h>

namespace vr::capacity {
namespace {

class LruTest : public testing::Test {
 protected:
  void InsertAll(std::initializer_list<uint64_t> ids) {
    for (const uint64_t id : ids) policy_.Insert({id, 10, 1}, 0);
  }
  std::vector<uint64_t> EvictAll(EvictionPolicy& policy) {
    std::vector<uint64_t> order;
    while (const auto id = policy.Evict(0)) order.push_back(*id);
    return order;
  }
  LruPolicy policy_{PolicyOptions()};
};

using Ids = std::vector<uint64_t>;

TEST_F(LruTest, EvictsWhatWasNotUsedForLongest) {
  InsertAll({1, 2, 3});
  policy_.Hit(1, 0);
  EXPECT_EQ(EvictAll(policy_), (Ids{2, 3, 1}));
}

TEST_F(LruTest, AHitOnTheNewestOrOnAnUnknownOneChangesNothing) {
  InsertAll({1, 2});
  policy_.Hit(2, 0);
  policy_.Hit(99, 0);
  EXPECT_EQ(EvictAll(policy_), (Ids{1, 2}));
}

TEST_F(LruTest, ErasesFromFrontMiddleAndBack) {
  InsertAll({1, 2, 3, 4, 5});
  for (const uint64_t id : {5, 3, 1, 77}) policy_.Erase(id);
  EXPECT_EQ(EvictAll(policy_), (Ids{2, 4}));
}

TEST_F(LruTest, KeepsItsOrderOverARestartForWhatIsStillThere) {
  InsertAll({1, 2, 3});
  policy_.Hit(1, 0);
  const std::string state = policy_.Save();

  LruPolicy next{PolicyOptions()};
  for (const uint64_t id : {1, 3, 4}) next.Insert({id, 10, 1}, 0);  // 2 is gone, 4 is newer
  ASSERT_TRUE(next.Load(state).ok());
  EXPECT_EQ(EvictAll(next), (Ids{3, 1, 4}));
}

}  // namespace
}  // namespace vr::capacity
