#include "http/conditions.h"

#include <gtest/gtest.h>

#include "http/testing/make_request.h"

namespace vr::http {
namespace {

using testing::MakeGet;
using testing::MakeRequest;

constexpr char kModified[] = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr char kEarlier[] = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr char kLater[] = "Sun, 06 Nov 1994 08:49:38 GMT";

Validators Known() {
  Validators v;
  v.etag = "\"abc\"";
  // Not on a full second: only whole ones are compared.
  v.last_modified = WallTime(std::chrono::milliseconds(784111777500));
  return v;
}

std::string Judge(const Request& request, const Validators& validators) {
  const ConditionResult result = EvaluateConditions(request, validators);
  switch (result.verdict) {
    case Verdict::kNotModified:
      return "304";
    case Verdict::kPreconditionFailed:
      return "412";
    case Verdict::kProceed:
      return result.range.empty() ? "200" : "206";
  }
  return "?";
}
std::string Judge(const std::string& lines) {
  return Judge(MakeGet(lines), Known());
}
TEST(Conditions, IfModifiedSinceFallsBackToDateAndNothingElseDoes) {
  Validators v;
  v.date = WallTime(std::chrono::milliseconds(784111777500));
  EXPECT_EQ(Judge(MakeGet(std::string("If-Modified-Since: ") + kModified), v), "304");
  EXPECT_EQ(Judge(MakeGet(std::string("If-Modified-Since: ") + kEarlier), v), "200");
  EXPECT_EQ(Judge(MakeGet(std::string("If-Unmodified-Since: ") + kEarlier), v), "200");
  EXPECT_EQ(Judge(MakeGet(std::string("Range: bytes=0-1\nIf-Range: ") + kModified), v), "200");
}

std::string Line(const char* name, const char* date) {
  return std::string(name) + ": " + date + "\n";
}

TEST(Conditions, NoneMeansProceed) {
  EXPECT_EQ(Judge(""), "200");
  EXPECT_EQ(Judge("Range: bytes=0-1"), "206");
}

TEST(Conditions, IfNoneMatchComparesWeakly) {
  EXPECT_EQ(Judge("If-None-Match: \"abc\""), "304");
  EXPECT_EQ(Judge("if-none-match: W/\"abc\""), "304");
  EXPECT_EQ(Judge("If-None-Match: \"x\", W/\"y,\", \"abc\""), "304");
  EXPECT_EQ(Judge("If-None-Match: \"x\"\nIf-None-Match: \"abc\""), "304");
  EXPECT_EQ(Judge("If-None-Match: *"), "304");
  EXPECT_EQ(Judge("If-None-Match: \"x\""), "200");
  EXPECT_EQ(Judge("If-None-Match: abc"), "200");
  EXPECT_EQ(Judge("If-None-Match: \"abc"), "200");
  EXPECT_EQ(Judge("If-None-Match:"), "200");
  EXPECT_EQ(Judge("If-None-Match: \"ab\"c\""), "200");
}

TEST(Conditions, IfNoneMatchOnOtherMethodsIs412) {
  EXPECT_EQ(Judge(MakeRequest("POST / HTTP/1.1\nHost: a\nIf-None-Match: *"), Known()), "412");
  EXPECT_EQ(Judge(MakeRequest("HEAD / HTTP/1.1\nHost: a\nIf-None-Match: *"), Known()), "304");
}

TEST(Conditions, IfModifiedSinceComparesWholeSeconds) {
  EXPECT_EQ(Judge(Line("If-Modified-Since", kModified)), "304");
  EXPECT_EQ(Judge(Line("If-Modified-Since", kLater)), "304");
  EXPECT_EQ(Judge(Line("If-Modified-Since", kEarlier)), "200");
  EXPECT_EQ(Judge("If-Modified-Since: garbage"), "200");
  EXPECT_EQ(Judge(Line("If-Modified-Since", kLater) + Line("If-Modified-Since", kLater)), "200");
}

TEST(Conditions, IfNoneMatchHidesIfModifiedSince) {
  EXPECT_EQ(Judge("If-None-Match: \"x\"\n" + Line("If-Modified-Since", kLater)), "200");
  EXPECT_EQ(Judge("If-None-Match: \"abc\"\n" + Line("If-Modified-Since", kEarlier)), "304");
}

TEST(Conditions, IfMatchComparesStrongly) {
  EXPECT_EQ(Judge("If-Match: \"abc\""), "200");
  EXPECT_EQ(Judge("If-Match: *"), "200");
  EXPECT_EQ(Judge("If-Match: \"x\", \"abc\""), "200");
  EXPECT_EQ(Judge("If-Match: W/\"abc\""), "412");
  EXPECT_EQ(Judge("If-Match: \"x\""), "412");
  EXPECT_EQ(Judge("If-Match: nonsense"), "412");
  Validators weak = Known();
  weak.etag = "W/\"abc\"";
  EXPECT_EQ(Judge(MakeGet("If-Match: W/\"abc\""), weak), "412");
  EXPECT_EQ(Judge(MakeGet("If-None-Match: \"abc\""), weak), "304");
}

TEST(Conditions, IfUnmodifiedSinceCountsOnlyWithoutIfMatch) {
  EXPECT_EQ(Judge(Line("If-Unmodified-Since", kModified)), "200");
  EXPECT_EQ(Judge(Line("If-Unmodified-Since", kEarlier)), "412");
  EXPECT_EQ(Judge("If-Match: \"abc\"\n" + Line("If-Unmodified-Since", kEarlier)), "200");
}

TEST(Conditions, TheFirstToFailWins) {
  EXPECT_EQ(Judge("If-Match: \"x\"\nIf-None-Match: \"abc\""), "412");
  EXPECT_EQ(Judge("If-None-Match: \"abc\"\nRange: bytes=0-1"), "304");
}

TEST(Conditions, WithoutValidatorsOnlyStarsMatch) {
  Validators none;
  EXPECT_EQ(Judge(MakeGet("If-None-Match: \"abc\""), none), "200");
  EXPECT_EQ(Judge(MakeGet("If-None-Match: *"), none), "304");
  EXPECT_EQ(Judge(MakeGet(Line("If-Modified-Since", kLater)), none), "200");
  EXPECT_EQ(Judge(MakeGet(Line("If-Unmodified-Since", kEarlier)), none), "200");
  EXPECT_EQ(Judge(MakeGet("Range: bytes=0-1\nIf-Range: \"abc\""), none), "200");
}

TEST(Conditions, IfRangeLetsTheRangeApplyOnlyToTheSameRepresentation) {
  const std::string range = "Range: bytes=0-1\n";
  EXPECT_EQ(Judge(range + "If-Range: \"abc\""), "206");
  EXPECT_EQ(Judge(range + "If-Range: \"x\""), "200");
  EXPECT_EQ(Judge(range + "If-Range: W/\"abc\""), "200");
  EXPECT_EQ(Judge(range + Line("If-Range", kModified)), "206");
  EXPECT_EQ(Judge(range + Line("If-Range", kLater)), "200");
  EXPECT_EQ(Judge(range + "If-Range: abc"), "200");
  EXPECT_EQ(Judge(range + "If-Range: *"), "200");
  EXPECT_EQ(Judge("If-Range: \"abc\""), "200");
}

TEST(Conditions, RangesAreForGetOnly) {
  EXPECT_EQ(Judge(MakeRequest("HEAD / HTTP/1.1\nHost: a\nRange: bytes=0-1"), Known()), "200");
  EXPECT_EQ(Judge(MakeRequest("POST / HTTP/1.1\nHost: a\nRange: bytes=0-1"), Known()), "200");
}

TEST(Conditions, TwoRangeFieldsMeanNothing) {
  EXPECT_EQ(Judge("Range: bytes=0-1\nRange: bytes=2-3"), "200");
}

TEST(Conditions, KnowsEntityTags) {
  EXPECT_TRUE(IsEntityTag("\"\""));
  EXPECT_TRUE(IsEntityTag("W/\"a b\"") == false);
  EXPECT_TRUE(IsEntityTag("W/\"a\""));
  EXPECT_FALSE(IsEntityTag("\""));
  EXPECT_FALSE(IsEntityTag("w/\"a\""));
  EXPECT_FALSE(IsEntityTag("abc"));
}

}  // namespace
}  // namespace vr::http
