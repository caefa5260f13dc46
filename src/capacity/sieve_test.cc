#include "capacity/sieve.h"

#include <gtest/gtest.h>

namespace vr::capacity {
namespace {

TEST(Sieve, SparesWhatWasVisitedOnceAndMovesOn) {
  SievePolicy policy{PolicyOptions()};
  for (const uint64_t id : {1, 2, 3, 4}) policy.Insert({id, 10, 1}, 0);
  policy.Hit(1, 0);
  policy.Hit(3, 0);
  EXPECT_EQ(policy.Evict(0), std::optional<uint64_t>(2));  // 1 was spared
  policy.Insert({5, 10, 1}, 0);
  EXPECT_EQ(policy.Evict(0), std::optional<uint64_t>(4));  // the hand goes on behind 2; 3 is spared
  EXPECT_EQ(policy.Evict(0), std::optional<uint64_t>(5));
  EXPECT_EQ(policy.Evict(0), std::optional<uint64_t>(1));  // and begins again at the oldest
}

TEST(Sieve, TheHandSurvivesThatItsItemIsErased) {
  SievePolicy policy{PolicyOptions()};
  for (const uint64_t id : {1, 2, 3, 4}) policy.Insert({id, 10, 1}, 0);
  EXPECT_EQ(policy.Evict(0), std::optional<uint64_t>(1));  // the hand is at 2 now
  policy.Erase(2);
  EXPECT_EQ(policy.Evict(0), std::optional<uint64_t>(3));
}

}  // namespace
}  // namespace vr::capacity
