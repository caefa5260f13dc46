#include "http/date.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

WallTime At(int64_t unix_seconds) {
  return WallTime(std::chrono::seconds(unix_seconds));
}
// 1994-11-06 08:49:37, the example of RFC 9110 §5.6.7.
const WallTime kExample = At(784111777);
const WallTime kNow = At(1700000000);  // 2023

TEST(Date, IsFormattedAsImfFixdate) {
  EXPECT_EQ(FormatDate(kExample), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(FormatDate(At(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(FormatDate(At(951782399)), "Mon, 28 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(FormatDate(At(951782400)), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(FormatDate(At(-1)), "Wed, 31 Dec 1969 23:59:59 GMT");
}

TEST(Date, IsReadInAllThreeForms) {
  EXPECT_EQ(ParseDate("Sun, 06 Nov 1994 08:49:37 GMT", kNow), kExample);
  EXPECT_EQ(ParseDate("Sunday, 06-Nov-94 08:49:37 GMT", kNow), kExample);
  EXPECT_EQ(ParseDate("Sun Nov  6 08:49:37 1994", kNow), kExample);
  EXPECT_EQ(ParseDate("Wed Nov 16 08:49:37 1994", kNow), kExample + std::chrono::days(10));
}

TEST(Date, ATwoDigitYearFarAheadIsOfThePastCentury) {
  EXPECT_EQ(FormatDate(ParseDate("Thursday, 01-Jan-70 00:00:00 GMT", At(1500000000)).value()),
            "Thu, 01 Jan 1970 00:00:00 GMT");  // 2017: 2070 would be 53 years ahead
  EXPECT_EQ(FormatDate(ParseDate("Wednesday, 01-Jan-70 00:00:00 GMT", kNow).value()),
            "Wed, 01 Jan 2070 00:00:00 GMT");  // 2023: 47 years ahead
}

TEST(Date, RefusesWhatIsNoDate) {
  for (const char* text :
       {"", "0", "-1", "yesterday", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37", "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
        "Sun, 00 Nov 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(ParseDate(text, kNow).has_value()) << text;
  }
}

TEST(Date, DatesBeyondOurRangeAreClamped) {
  EXPECT_LT(ParseDate("Sat, 01 Jan 0000 00:00:00 GMT", kNow).value(), At(-9000000000));
  EXPECT_GT(ParseDate("Fri, 31 Dec 9999 23:59:59 GMT", kNow).value(), At(9000000000));
}

TEST(Date, EveryDayOfFourCenturiesComesBack) {
  for (int64_t day = -106000; day < 100000; day += 7) {  // 1679 to 2243
    const WallTime t = At(day * 86400 + (day & 0x7fff));
    ASSERT_EQ(ParseDate(FormatDate(t), kNow), t) << FormatDate(t);
  }
}

TEST(Date, TheCurrentLineIsAFieldOfNow) {
  const std::string line(CurrentDateLine());
  ASSERT_EQ(line.size(), 37u);
  EXPECT_EQ(line.substr(0, 6), "Date: ");
  EXPECT_EQ(line.substr(35), "\r\n");
  const auto parsed = ParseDate(line.substr(6, kDateLength));
  ASSERT_TRUE(parsed);
  EXPECT_LT(std::chrono::abs(*parsed - std::chrono::system_clock::now()), std::chrono::seconds(3));
}

}  // namespace
}  // namespace vr::http
