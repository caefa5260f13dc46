#include "delivery/rate_limit.h"

#include <gtest/gtest.h>

namespace vr::delivery {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RateLimiterTest : public ::testing::Test {
 protected:
  /// How many of `tries` are admitted now.
  int Admitted(const std::string& client, int tries) {
    int admitted = 0;
    for (int i = 0; i < tries; ++i) admitted += limiter_.Take(client, limit_, now_) ? 0 : 1;
    return admitted;
  }
  RateLimiter limiter_;
  ProductionLimit limit_{.per_minute = 60, .burst = 5, .max_clients = 100};
  SteadyTime now_{seconds(1000)};
};

TEST_F(RateLimiterTest, ABurstThenTheRate) {
  EXPECT_EQ(Admitted("a", 20), 5);
  EXPECT_EQ(limiter_.Take("a", limit_, now_), milliseconds(1000));
  now_ += milliseconds(999);
  EXPECT_EQ(Admitted("a", 20), 0);
  now_ += milliseconds(1);
  EXPECT_EQ(Admitted("a", 20), 1);
  now_ += seconds(3);
  EXPECT_EQ(Admitted("a", 20), 3);
  now_ += seconds(3600);
  EXPECT_EQ(Admitted("a", 20), 5) << "a pause earns a burst and no more";
}

TEST_F(RateLimiterTest, WhoIsRefusedDoesNotPayForAsking) {
  EXPECT_EQ(Admitted("a", 1000), 5);
  now_ += seconds(1);
  EXPECT_EQ(Admitted("a", 1), 1);
}

TEST_F(RateLimiterTest, ClientsHaveBucketsOfTheirOwn) {
  EXPECT_EQ(Admitted("a", 20), 5);
  EXPECT_EQ(Admitted("b", 20), 5);
}

TEST_F(RateLimiterTest, ZeroIsNoLimit) {
  limit_.per_minute = 0;
  EXPECT_EQ(Admitted("a", 1000), 1000);
  EXPECT_EQ(limiter_.size(), 0u);
}

TEST_F(RateLimiterTest, ABurstOfZeroStillLetsOneThrough) {
  limit_.burst = 0;
  EXPECT_EQ(Admitted("a", 5), 1);
}

TEST_F(RateLimiterTest, TheTableIsBoundedAndForgetsTheLeastRecent) {
  EXPECT_EQ(Admitted("a", 20), 5);
  for (int i = 0; i < 99; ++i) EXPECT_EQ(Admitted(std::to_string(i), 1), 1);
  EXPECT_EQ(Admitted("a", 1), 0) << "asking keeps it recent";
  for (int i = 100; i < 199; ++i) EXPECT_EQ(Admitted(std::to_string(i), 1), 1);
  EXPECT_EQ(limiter_.size(), 100u);
  EXPECT_EQ(Admitted("a", 1), 0);
  for (int i = 200; i < 300; ++i) EXPECT_EQ(Admitted(std::to_string(i), 1), 1);
  EXPECT_EQ(limiter_.size(), 100u);
  EXPECT_EQ(Admitted("a", 1), 1) << "forgotten";
}

TEST_F(RateLimiterTest, QuietClientsCostNoMemory) {
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Admitted(std::to_string(i), 1), 1);
  EXPECT_EQ(limiter_.size(), 50u);
  now_ += seconds(2);
  EXPECT_EQ(Admitted("a", 1), 1);
  EXPECT_EQ(limiter_.size(), 1u);
}

TEST_F(RateLimiterTest, AnotherLimitCountsAtOnce) {
  EXPECT_EQ(Admitted("a", 20), 5);
  limit_.per_minute = 6000;
  limit_.burst = 1000;
  EXPECT_EQ(Admitted("a", 2000), 500) << "what it owes of the old limit is 5 s of the new one";
}

}  // namespace
}  // namespace vr::delivery
