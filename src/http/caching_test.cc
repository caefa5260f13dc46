#include "http/caching.h"

#include <gtest/gtest.h>

#include "http/date.h"

namespace vr::http {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

std::string DateAt(int64_t seconds_from_now) {
  return FormatDate(FromUnixMillis(kNow + seconds_from_now * 1000));
}

CachePolicy Policy(const FieldList& fields, int status = 200, StoreRequest request = {},
                   SharedCacheRules rules = {}) {
  return PolicyOf(request, status, fields, {kNow, kNow}, rules);
}
int64_t Lifetime(const FieldList& fields, int status = 200) {
  return Policy(fields, status).lifetime_ms / 1000;
}
std::string WhyNot(const FieldList& fields, int status = 200, StoreRequest request = {}) {
  return std::string(Policy(fields, status, request).why_not);
}
FieldList Cc(const std::string& value) {
  return {{"Cache-Control", value}};
}
CacheDirectives Ask(const std::string& value) {
  return ParseCacheControl(value);
}

// ---- lifetime, §4.2.1 and §4.2.2

TEST(Lifetime, PrefersSMaxageThenMaxAgeThenExpires) {
  FieldList fields{{"Cache-Control", "max-age=60, s-maxage=30"}, {"Expires", DateAt(600)}};
  EXPECT_EQ(Lifetime(fields), 30);
  fields[0].second = "max-age=60";
  EXPECT_EQ(Lifetime(fields), 60);
  fields.erase(fields.begin());
  EXPECT_EQ(Lifetime(fields), 600);
}

TEST(Lifetime, OfExpiresCountsFromDate) {
  EXPECT_EQ(Lifetime({{"Date", DateAt(400)}, {"Expires", DateAt(300)}}), 0);
  EXPECT_EQ(Lifetime({{"Date", DateAt(-100)}, {"Expires", DateAt(300)}}), 400);
}

TEST(Lifetime, WhatMakesNoSenseIsStale) {
  const std::string old = DateAt(-100'000);
  EXPECT_EQ(Lifetime({{"Expires", "0"}, {"Last-Modified", old}}), 0);
  EXPECT_EQ(Lifetime({{"Cache-Control", "max-age=1x"}, {"Expires", DateAt(99)}}), 0);
}

TEST(Lifetime, TheFirstOfTwoExpiresCounts) {
  EXPECT_EQ(Lifetime({{"Expires", DateAt(5)}, {"Expires", DateAt(50)}}), 5);
}

TEST(Lifetime, HeuristicIsATenthOfTheTimeSinceLastModified) {
  EXPECT_EQ(Lifetime({{"Last-Modified", DateAt(-1000)}}), 100);
  EXPECT_EQ(Lifetime({{"Last-Modified", DateAt(-100 * 86400)}}), 86400);
  EXPECT_EQ(Lifetime({{"Last-Modified", DateAt(10)}}), 0);
  EXPECT_EQ(Lifetime({}), 0);
}

TEST(Lifetime, HeuristicIsForStatusesThatAreCacheableByDefaultOrPublic) {
  const FieldList old{{"Last-Modified", DateAt(-1000)}};
  for (const int status : {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}) {
    EXPECT_EQ(Lifetime(old, status), 100) << status;
  }
  for (const int status : {201, 202, 302, 307, 403, 500, 502, 503, 504, 599}) {
    EXPECT_EQ(Lifetime(old, status), 0) << status;
    EXPECT_EQ(WhyNot(old, status), "no-lifetime") << status;
  }
  FieldList open = old;
  open.emplace_back("Cache-Control", "public");
  EXPECT_EQ(Lifetime(open, 599), 100);
  EXPECT_EQ(WhyNot(open, 599), "");
}

TEST(Lifetime, ATargetedFieldStandsForCacheControlAndExpires) {
  FieldList fields{
      {"Cache-Control", "no-store"}, {"CDN-Cache-Control", "max-age=60"}, {"Expires", DateAt(9)}};
  EXPECT_EQ(Lifetime(fields), 60);
  EXPECT_EQ(WhyNot(fields), "");
  fields[1].second = "max-age=60, &";
  EXPECT_EQ(WhyNot(fields), "no-store");
  fields[1].second = "no-store";
  fields[0].second = "max-age=5";
  EXPECT_EQ(WhyNot(fields), "no-store");
}

// ---- age, §4.2.3

TEST(Age, IsTheLargerOfApparentAndTransmittedPlusTheTimeHere) {
  const CachePolicy policy = PolicyOf({}, 200, {{"Date", DateAt(-10)}, {"Age", "30"}},
                                      {kNow - 2000, kNow}, SharedCacheRules());
  EXPECT_EQ(policy.initial_age_ms, 32'000);
  EXPECT_EQ(policy.AgeMs(kNow + 5000), 37'000);
  EXPECT_EQ(Policy({{"Date", DateAt(-100)}, {"Age", "30"}}).initial_age_ms, 100'000);
  EXPECT_EQ(Policy({{"Date", DateAt(100)}}).initial_age_ms, 0) << "an origin whose clock is ahead";
}

TEST(Age, OfAListIsItsFirstMemberAndNonsenseIsIgnored) {
  EXPECT_EQ(Policy({{"Age", "7200, 0"}}).initial_age_ms, 7'200'000);
  EXPECT_EQ(Policy({{"Age", "0"}, {"Age", "7200"}}).initial_age_ms, 0);
  for (const char* age : {"abc", "-7200", "7200.0", ""}) {
    EXPECT_EQ(Policy({{"Age", age}}).initial_age_ms, 0) << age;
  }
}

TEST(Age, OfAResponseOfThisSecondIsZero) {
  // Date has no milliseconds.
  const CachePolicy policy =
      PolicyOf({}, 200, {{"Date", DateAt(0)}}, {kNow + 900, kNow + 900}, SharedCacheRules());
  EXPECT_EQ(policy.initial_age_ms, 0);
}

// ---- storing, §3

TEST(MayStore, SaysWhyNot) {
  EXPECT_EQ(WhyNot(Cc("max-age=60")), "");
  EXPECT_EQ(WhyNot(Cc("no-store, max-age=60")), "no-store");
  EXPECT_EQ(WhyNot(Cc("private, max-age=60")), "private");
  EXPECT_EQ(WhyNot(Cc("private=\"x\", max-age=60")), "");
  EXPECT_EQ(WhyNot({}), "no-lifetime");
  EXPECT_EQ(WhyNot(Cc("max-age=0")), "no-lifetime");
  EXPECT_EQ(WhyNot(Cc("max-age=0, stale-if-error=60")), "");
  EXPECT_EQ(WhyNot({{"Cache-Control", "no-cache"}, {"ETag", "\"a\""}}), "");
  EXPECT_EQ(WhyNot({{"Cache-Control", "max-age=60"}, {"Vary", "Foo, *"}}), "vary");
  EXPECT_EQ(WhyNot({{"Cache-Control", "max-age=60"}, {"Set-Cookie", "a=b"}}), "set-cookie");
  SharedCacheRules rules;
  rules.store_set_cookie = true;
  EXPECT_TRUE(
      Policy({{"Cache-Control", "max-age=60"}, {"Set-Cookie", "a=b"}}, 200, {}, rules).may_store);
}

TEST(MayStore, ResponsesToAuthorizedRequestsOnlyIfTheySaySo) {
  StoreRequest request;
  request.has_authorization = true;
  EXPECT_EQ(WhyNot(Cc("max-age=60"), 200, request), "authorization");
  for (const char* cc : {"max-age=60, public", "max-age=60, must-revalidate", "s-maxage=60"}) {
    EXPECT_EQ(WhyNot(Cc(cc), 200, request), "") << cc;
  }
}

TEST(MayStore, MustUnderstandIsForKnownStatusesAndOverridesNoStore) {
  EXPECT_EQ(WhyNot(Cc("max-age=60, must-understand"), 599), "must-understand");
  EXPECT_EQ(WhyNot(Cc("max-age=60, must-understand"), 404), "");
  EXPECT_EQ(WhyNot(Cc("max-age=60, must-understand, no-store"), 200), "");
  EXPECT_EQ(WhyNot(Cc("max-age=60"), 599), "");
}

TEST(MayStore, NotWhatAnswersOneRequestsConditionsOnly) {
  for (const int status : {304, 412, 416, 417}) {
    EXPECT_EQ(WhyNot(Cc("max-age=60"), status), "status") << status;
  }
}

TEST(MayStore, OfPostOnlyWithAnExplicitLifetime) {
  StoreRequest request;
  request.method = Method::kPost;
  EXPECT_EQ(WhyNot(Cc("max-age=60"), 200, request), "");
  EXPECT_EQ(WhyNot({{"Last-Modified", DateAt(-1000)}}, 200, request), "method");
  request.method = Method::kPut;
  EXPECT_EQ(WhyNot(Cc("max-age=60"), 200, request), "method");
  request.method = Method::kGet;
  request.no_store = true;
  EXPECT_EQ(WhyNot(Cc("max-age=60"), 200, request), "request-no-store");
}

// ---- reuse, §4 and §5.2.1

Reuse Judge(const std::string& response, const std::string& request, int64_t seconds_later) {
  return JudgeReuse(Policy(Cc(response)), Ask(request), kNow + seconds_later * 1000);
}

TEST(Reuse, IsFreshUntilTheLifetimeIsOver) {
  EXPECT_EQ(Judge("max-age=60", "", 59), Reuse::kFresh);
  EXPECT_EQ(Judge("max-age=60", "", 60), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60, no-cache", "", 0), Reuse::kValidate);
}

TEST(Reuse, ObeysTheClient) {
  EXPECT_EQ(Judge("max-age=60", "no-cache", 0), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60", "max-age=0", 0), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60", "max-age=10", 10), Reuse::kFresh);
  EXPECT_EQ(Judge("max-age=60", "max-age=10", 11), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60", "min-fresh=20", 39), Reuse::kFresh);
  EXPECT_EQ(Judge("max-age=60", "min-fresh=20", 41), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60", "max-stale=20", 79), Reuse::kStale);
  EXPECT_EQ(Judge("max-age=60", "max-stale=20", 81), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60", "max-stale", 99999), Reuse::kStale);
  EXPECT_EQ(Judge("max-age=60, must-revalidate", "max-stale", 61), Reuse::kValidate);
}

TEST(Reuse, WhileRevalidatingOnlyWithinItsWindow) {
  EXPECT_EQ(Judge("max-age=60, stale-while-revalidate=10", "", 69), Reuse::kStaleRevalidate);
  EXPECT_EQ(Judge("max-age=60, stale-while-revalidate=10", "", 70), Reuse::kValidate);
  EXPECT_EQ(Judge("max-age=60, stale-while-revalidate=10, must-revalidate", "", 61),
            Reuse::kValidate);
}

bool OnError(const std::string& response, const std::string& request, bool disconnected,
             int64_t seconds_later) {
  return MayUseOnError(Policy(Cc(response)), Ask(request), disconnected, 100'000,
                       kNow + seconds_later * 1000);
}

TEST(StaleOnError, WhenDisconnectedUnlessForbidden) {
  EXPECT_TRUE(OnError("max-age=2", "", true, 50));
  EXPECT_FALSE(OnError("max-age=2", "", true, 200));
  for (const char* cc : {"max-age=2, must-revalidate", "max-age=2, proxy-revalidate",
                         "max-age=2, no-cache", "s-maxage=2"}) {
    EXPECT_FALSE(OnError(cc, "", true, 3)) << cc;
  }
}

TEST(StaleOnError, AfterAServerErrorOnlyWithStaleIfError) {
  EXPECT_FALSE(OnError("max-age=2", "", false, 3));
  EXPECT_TRUE(OnError("max-age=2, stale-if-error=10", "", false, 11));
  EXPECT_FALSE(OnError("max-age=2, stale-if-error=10", "", false, 13));
  EXPECT_TRUE(OnError("max-age=2", "stale-if-error=10", false, 11));
}

// ---- updates, §3.2

TEST(UpdatedFields, ReplaceWhatTheyNameButNotWhatDescribesTheBytes) {
  const FieldList stored{
      {"A", "1"},  {"A", "2"}, {"B", "3"}, {"ETag", "\"x\""}, {"Content-Encoding", "gzip"},
      {"Age", "5"}};
  const FieldList update{{"a", "9"}, {"Content-Encoding", "br"}, {"ETag", "\"y\""}, {"C", "4"}};
  EXPECT_EQ(
      UpdatedFields(stored, update),
      (FieldList{
          {"B", "3"}, {"ETag", "\"x\""}, {"Content-Encoding", "gzip"}, {"a", "9"}, {"C", "4"}}));
}

}  // namespace
}  // namespace vr::http
