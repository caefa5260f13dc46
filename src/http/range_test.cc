#include "http/range.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

using Kind = RangeSet::Kind;

std::string Show(const RangeSet& set) {
  auto text = [](ByteRange r) { return std::to_string(r.first) + "-" + std::to_string(r.last); };
  switch (set.kind) {
    case Kind::kWhole:
      return "whole";
    case Kind::kUnsatisfiable:
      return "416";
    case Kind::kOne:
      return text(set.one);
    case Kind::kMany: {
      std::string all;
      for (ByteRange r : set.many) all += (all.empty() ? "" : " ") + text(r);
      return all;
    }
  }
  return "?";
}

struct Case {
  const char* value;
  uint64_t size;
  const char* expected;
};

class RangeTable : public ::testing::TestWithParam<Case> {};

TEST_P(RangeTable, ResolvesAsExpected) {
  EXPECT_EQ(Show(ParseRange(GetParam().value, GetParam().size)), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Range, RangeTable,
    ::testing::Values(
        // single
        Case{"bytes=0-0", 100, "0-0"}, Case{"bytes=0-99", 100, "0-99"},
        Case{"bytes=0-", 100, "0-99"}, Case{"bytes=99-", 100, "99-99"},
        Case{"bytes=10-500", 100, "10-99"}, Case{"BYTES=1-2", 100, "1-2"},
        Case{"bytes= 1-2 ", 100, "1-2"}, Case{"bytes=0-18446744073709551615", 100, "0-99"},
        Case{"bytes=0-99999999999999999999999", 100, "0-99"},
        // suffix
        Case{"bytes=-1", 100, "99-99"}, Case{"bytes=-100", 100, "0-99"},
        Case{"bytes=-5000", 100, "0-99"}, Case{"bytes=-99999999999999999999999", 100, "0-99"},
        // unsatisfiable
        Case{"bytes=100-", 100, "416"}, Case{"bytes=100-200", 100, "416"},
        Case{"bytes=-0", 100, "416"}, Case{"bytes=99999999999999999999999-", 100, "416"},
        Case{"bytes=100-,200-", 100, "416"}, Case{"bytes=0-", 0, "416"},
        Case{"bytes=0-0", 0, "416"}, Case{"bytes=-0", 0, "416"},
        // malformed or other unit: as if it were not there
        Case{"", 100, "whole"}, Case{"bytes", 100, "whole"}, Case{"bytes=", 100, "whole"},
        Case{"bytes=,", 100, "whole"}, Case{"bytes=-", 100, "whole"},
        Case{"bytes=5-4", 100, "whole"}, Case{"bytes=a-b", 100, "whole"},
        Case{"bytes=1", 100, "whole"}, Case{"bytes=1-2-3", 100, "whole"},
        Case{"bytes=+1-2", 100, "whole"}, Case{"bytes=1 - 2", 100, "whole"},
        Case{"bytes =1-2", 100, "whole"}, Case{"bytes=0x1-2", 100, "whole"},
        Case{"items=0-5", 100, "whole"}, Case{"bytes=0-1,x", 100, "whole"},
        Case{"bytes=-5", 0, "whole"}, Case{"bytes=--5", 100, "whole"},
        // several
        Case{"bytes=0-1,5-6", 100, "0-1 5-6"}, Case{"bytes=5-6 ,\t0-1", 100, "5-6 0-1"},
        Case{"bytes=0-1,,5-6,", 100, "0-1 5-6"}, Case{"bytes=0-1,200-", 100, "0-1"},
        Case{"bytes=200-,0-1,-1", 100, "0-1 99-99"},
        // joined
        Case{"bytes=0-1,2-3", 100, "0-3"}, Case{"bytes=0-10,5-15", 100, "0-15"},
        Case{"bytes=50-60,0-10,5-15", 100, "0-15 50-60"},
        // wasteful
        Case{"bytes=0-,0-", 100, "whole"}, Case{"bytes=0-99,-1", 100, "whole"}));

TEST(Range, MoreRangesThanTheCapAreIgnored) {
  std::string value = "bytes=0-0";
  for (size_t i = 1; i < kMaxRanges; ++i)
    value += "," + std::to_string(2 * i) + "-" + std::to_string(2 * i);
  EXPECT_EQ(ParseRange(value, 1000).many.size(), kMaxRanges);
  EXPECT_EQ(ParseRange(value + ",999-", 1000).kind, Kind::kWhole);
}

TEST(Range, ShapeTellsTheBrowsersFirstRequestApart) {
  EXPECT_EQ(ShapeOfRange("bytes=0-"), RangeShape::kFromStart);
  EXPECT_EQ(ShapeOfRange("bytes=0-5"), RangeShape::kOther);
  EXPECT_EQ(ShapeOfRange("bytes=0-,5-6"), RangeShape::kSeveral);
  EXPECT_EQ(ShapeOfRange("bytes=5-6,0-"), RangeShape::kSeveral);
  EXPECT_EQ(ShapeOfRange("bytes=-5"), RangeShape::kOther);
  EXPECT_EQ(ShapeOfRange("bytes=7-"), RangeShape::kOther);
  EXPECT_EQ(ShapeOfRange("bytes=x"), RangeShape::kNone);
  EXPECT_EQ(ShapeOfRange("seconds=0-"), RangeShape::kNone);
}

TEST(Range, IsRenderedForContentRange) {
  EXPECT_EQ(ContentRange(ByteRange{0, 99}, 1234), "bytes 0-99/1234");
  EXPECT_EQ(ContentRangeUnsatisfied(1234), "bytes */1234");
}

}  // namespace
}  // namespace vr::http
