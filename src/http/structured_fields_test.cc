#include "http/structured_fields.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

using Kind = SfItem::Kind;

TEST(StructuredFields, ReadsEveryTypeOfItem) {
  const auto d = ParseSfDictionary(
      "a=-42, b=4.5, c=\"x \\\"y\\\\\", d=tok/en:*, e=:aGk=:, f=?0, g, h=@1659578233, "
      "i=%\"f%c3%bc\", "
      "j=(1 2;p \"z\");q=1");
  ASSERT_TRUE(d);
  ASSERT_EQ(d->size(), 10u);
  EXPECT_EQ((*d)[0].value.kind, Kind::kInteger);
  EXPECT_EQ((*d)[0].value.integer, -42);
  EXPECT_EQ((*d)[1].value.kind, Kind::kDecimal);
  EXPECT_EQ((*d)[2].value.text, "x \"y\\");
  EXPECT_EQ((*d)[3].value.kind, Kind::kToken);
  EXPECT_EQ((*d)[3].value.text, "tok/en:*");
  EXPECT_EQ((*d)[4].value.kind, Kind::kBytes);
  EXPECT_FALSE((*d)[5].value.boolean);
  EXPECT_EQ((*d)[6].key, "g");
  EXPECT_TRUE((*d)[6].value.boolean);
  EXPECT_EQ((*d)[7].value.kind, Kind::kDate);
  EXPECT_EQ((*d)[8].value.kind, Kind::kDisplayString);
  EXPECT_EQ((*d)[9].value.kind, Kind::kInnerList);
}

TEST(StructuredFields, TheLastValueOfAKeyWinsInTheFirstPlace) {
  const auto d = ParseSfDictionary("a=1,\tb=2 , a=3;x=y");
  ASSERT_TRUE(d);
  ASSERT_EQ(d->size(), 2u);
  EXPECT_EQ((*d)[0].key, "a");
  EXPECT_EQ((*d)[0].value.integer, 3);
}

TEST(StructuredFields, AnEmptyFieldIsAnEmptyDictionary) {
  const auto d = ParseSfDictionary("  ");
  ASSERT_TRUE(d);
  EXPECT_TRUE(d->empty());
}

class BadDictionary : public ::testing::TestWithParam<const char*> {};
TEST_P(BadDictionary, FailsAsAWhole) {
  EXPECT_FALSE(ParseSfDictionary(GetParam())) << GetParam();
}
INSTANTIATE_TEST_SUITE_P(StructuredFields, BadDictionary,
                         ::testing::Values("max-age=1, &&&&", "A=1", "a=", "a =1", "a= 1", "a=1,",
                                           "a=1,,b", "a=1 b=2", "a=\"x", "a=\"\\x\"", "a=\"\xc3\"",
                                           "a=?2", "a=1.", "a=1.2345", "a=1234567890123456",
                                           "a=1234567890123.1", "a=-", "a=:a", "a=:!:", "a=(1",
                                           "a=(1,2)", "a=(1\"x\")", "a;=1", "a=@1.5", "a=%\"%C3\"",
                                           "a=%\"", "1=2", "a=&"));

}  // namespace
}  // namespace vr::http
