#include "http/cache_control.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

TEST(CacheControl, ReadsDirectivesInAnyCase) {
  const auto cc = ParseCacheControl(
      "MaX-aGe=3600, no-store, Public,must-revalidate , proxy-revalidate, must-understand");
  EXPECT_EQ(cc.max_age.value, 3600);
  EXPECT_TRUE(cc.max_age.is_valid());
  EXPECT_TRUE(cc.no_store && cc.is_public && cc.must_revalidate && cc.proxy_revalidate &&
              cc.must_understand);
  EXPECT_FALSE(cc.no_cache || cc.is_private);
}

TEST(CacheControl, TakesTokensAndQuotedStrings) {
  EXPECT_EQ(ParseCacheControl("max-age=\"60\"").max_age.value, 60);
  EXPECT_EQ(ParseCacheControl("max-age=0060").max_age.value, 60);
}

TEST(CacheControl, WhatIsInsideAQuotedStringIsNoDirective) {
  const auto cc = ParseCacheControl("ext=\"a, max-age=3600, \\\", no-store\", max-age=1");
  EXPECT_EQ(cc.max_age.value, 1);
  EXPECT_FALSE(cc.no_store);
}

TEST(CacheControl, TheFirstOfTwoCounts) {
  EXPECT_EQ(ParseCacheControl("max-age=1, max-age=2").max_age.value, 1);
}

TEST(CacheControl, ArgumentsThatAreNoNumberAreInvalid) {
  for (const char* text : {"max-age=-1", "max-age=1.5", "max-age=1a", "max-age=a1", "max-age='1'",
                           "max-age= 1", "max-age=", "max-age"}) {
    const auto cc = ParseCacheControl(text);
    EXPECT_TRUE(cc.max_age.is_present) << text;
    EXPECT_TRUE(cc.max_age.is_invalid) << text;
  }
}

TEST(CacheControl, ASpaceBeforeTheEqualsSignMakesNoDirective) {
  EXPECT_FALSE(ParseCacheControl("max-age =100").max_age.is_present);
}

TEST(CacheControl, HugeNumbersAreCapped) {
  EXPECT_EQ(ParseCacheControl("max-age=99999999999999999999").max_age.value, int64_t{1} << 31);
  EXPECT_EQ(ParseTargetedCacheControl("max-age=99999999999")->max_age.value, int64_t{1} << 31);
}

TEST(CacheControl, NoCacheAndPrivateWithNamesAreAboutThoseFields) {
  const auto cc = ParseCacheControl("no-cache=\"A, b\", private=Set-Cookie, max-age=5");
  EXPECT_FALSE(cc.no_cache || cc.is_private);
  EXPECT_EQ(cc.no_cache_fields, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(cc.private_fields, (std::vector<std::string>{"set-cookie"}));
  EXPECT_TRUE(ParseCacheControl("no-cache=\"\"").no_cache);
}

TEST(CacheControl, MaxStaleWithoutArgumentMeansHoweverStale) {
  EXPECT_TRUE(ParseCacheControl("max-stale").has_max_stale);
  EXPECT_FALSE(ParseCacheControl("max-stale").max_stale.is_present);
  EXPECT_EQ(ParseCacheControl("max-stale=7").max_stale.value, 7);
}

TEST(TargetedCacheControl, IsAStructuredDictionary) {
  const auto cc = ParseTargetedCacheControl("foobar, max-age=3600;x, no-cache, private=\"a\"");
  ASSERT_TRUE(cc);
  EXPECT_EQ(cc->max_age.value, 3600);
  EXPECT_TRUE(cc->no_cache);
  EXPECT_EQ(cc->private_fields, (std::vector<std::string>{"a"}));
  EXPECT_FALSE(ParseTargetedCacheControl("no-store=?0")->no_store);
}

TEST(TargetedCacheControl, WhatDoesNotParseIsIgnored) {
  for (const char* text : {"", "max-age=10000, &&&&", "MaX-aGe=3600", "max-age=\"10000\"",
                           "max-age =100", "max-age= 100", "max-age=-5", "no-store=1", "max-age"}) {
    EXPECT_FALSE(ParseTargetedCacheControl(text)) << text;
  }
}

}  // namespace
}  // namespace vr::http
