#include "config/units.h"

#include <gtest/gtest.h>

namespace vr::config {
namespace {

using namespace std::chrono_literals;

TEST(Units, BytesInAllForms) {
  EXPECT_EQ(ParseBytes("1048576"), 1048576u);
  EXPECT_EQ(ParseBytes("64MiB"), 64u << 20);
  EXPECT_EQ(ParseBytes("1GB"), 1'000'000'000u);
  EXPECT_EQ(ParseBytes("1.5 gib"), 3ull << 29);
  EXPECT_EQ(ParseBytes("0"), 0u);
  for (const char* bad : {"", "abc", "-1", "1X", "MiB", "1.5", "1..5MB", "99999999999TiB",
                          "1 MiB x", ".5MB", "nan"}) {
    EXPECT_EQ(ParseBytes(bad), std::nullopt) << bad;
  }
  for (uint64_t bytes :
       {0ull, 1ull, 1023ull, 1024ull, 1'000'000ull, 256ull << 20, 50ull << 30, 123'456'789ull}) {
    EXPECT_EQ(ParseBytes(FormatBytes(bytes)), bytes);
  }
  EXPECT_EQ(FormatBytes(256ull << 20), "256MiB");
}

TEST(Units, DurationsInAllForms) {
  EXPECT_EQ(ParseDuration("30"), 30s);
  EXPECT_EQ(ParseDuration("0.5"), 500ms);
  EXPECT_EQ(ParseDuration("500ms"), 500ms);
  EXPECT_EQ(ParseDuration("10m"), 600s);
  EXPECT_EQ(ParseDuration("2h"), 7200s);
  EXPECT_EQ(ParseDuration("7d"), 168h);
  EXPECT_EQ(ParseDuration("1h30m"), 90min);
  EXPECT_EQ(ParseDuration("1.5s"), 1500ms);
  for (const char* bad :
       {"", "abc", "-1", "s", "10x", "30m1h", "1h1h", "0.0001", "1e30", "5 s", "inf", "200000d"}) {
    EXPECT_EQ(ParseDuration(bad), std::nullopt) << bad;
  }
  for (const auto d : {0ms, 1ms, 999ms, 1000ms, 90'061'001ms})
    EXPECT_EQ(ParseDuration(FormatDuration(d)), d);
  EXPECT_EQ(FormatDuration(90min), "1h30m");
}

TEST(Units, NumbersAndBooleans) {
  EXPECT_EQ(ParseInteger("1e3"), 1000);
  EXPECT_EQ(ParseInteger("1.5"), std::nullopt);
  EXPECT_EQ(ParseInteger("12x"), std::nullopt);
  EXPECT_EQ(ParseNumber("inf"), std::nullopt);
  EXPECT_EQ(ParseBool("false"), false);
  EXPECT_EQ(ParseBool("0"), false);
  EXPECT_EQ(ParseBool("Yes"), true);
  EXPECT_EQ(ParseBool(""), std::nullopt);
  EXPECT_EQ(ParseBool("2"), std::nullopt);
}

}  // namespace
}  // namespace vr::config
