#include "transform/rate_factors.h"

#include <gtest/gtest.h>

namespace vr::transform {
namespace {

TEST(RateFactors, AKeyTellsSourceVersionCodecAndTargetApart) {
  protocol::Job job;
  job.target_ssim = 0.97;
  const std::string key = RateFactorKey("a", "v1", job);
  EXPECT_NE(RateFactorKey("b", "v1", job), key);
  EXPECT_NE(RateFactorKey("a", "v2", job), key);
  job.width = 320;
  job.start_seconds = 3;
  EXPECT_EQ(RateFactorKey("a", "v1", job), key) << "sizes and parts share one answer";
  job.target_ssim = 0.98;
  EXPECT_NE(RateFactorKey("a", "v1", job), key);
  job.target_ssim = 0.97;
  job.format = protocol::OutputFormat::kAv1;
  EXPECT_NE(RateFactorKey("a", "v1", job), key);
  EXPECT_EQ(RateFactorKey("a", "", job), "") << "a source that cannot be told apart from the next";
}

TEST(RateFactors, IsBoundedAndForgetsNothingElse) {
  RateFactors factors(2);
  EXPECT_EQ(factors.Get("a"), 0);
  factors.Put("a", 20);
  factors.Put("b", 30);
  factors.Put("a", 21);
  EXPECT_EQ(factors.Get("a"), 21);
  EXPECT_EQ(factors.Get("b"), 30);
  factors.Put("c", 40);
  EXPECT_EQ(factors.Get("c"), 40);
  EXPECT_EQ(factors.Get("a"), 0);
  factors.Put("", 50);
  EXPECT_EQ(factors.Get(""), 0);
}

}  // namespace
}  // namespace vr::transform
