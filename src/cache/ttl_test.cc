#include "cache/ttl.h"

#include <gtest/gtest.h>

namespace vr::cache {
namespace {

using std::chrono::seconds;

TEST(Ttl, EachStatusClassHasItsOwn) {
  const TtlOptions options;
  EXPECT_EQ(TtlFor(200, options), seconds(86400));
  EXPECT_EQ(TtlFor(206, options), seconds(86400));
  EXPECT_EQ(TtlFor(301, options), seconds(3600));
  EXPECT_EQ(TtlFor(404, options), seconds(60));
  EXPECT_EQ(TtlFor(503, options), seconds(10));
}

TEST(Ttl, OutsideTheTableNothingIsStored) {
  EXPECT_EQ(TtlFor(100, TtlOptions()), seconds(0));
  EXPECT_EQ(TtlFor(0, TtlOptions()), seconds(0));
}

}  // namespace
}  // namespace vr::cache
