#include <gtest/gtest.h>

#include <string>

#include "native/histogram.h"
#include "native/response_reader.h"

namespace vr::bench {
namespace {

using State = ResponseReader::State;

TEST(Histogram, SaysNothingOfNothing) {
  EXPECT_EQ(Histogram().Percentile(0.99), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (std::uint64_t v = 0; v < 20; ++v) h.Record(v);
  EXPECT_EQ(h.Percentile(0.5), 9u);
  EXPECT_EQ(h.Percentile(1), 19u);
}

TEST(Histogram, IsWithinThreePercentOverTheWholeRange) {
  for (std::uint64_t v = 40; v < 200'000'000'000; v = v * 13 / 10) {
    Histogram h;
    h.Record(v);
    h.Record(v * 4);
    const double error = static_cast<double>(h.Percentile(0.5)) / static_cast<double>(v) - 1;
    EXPECT_GE(error, 0) << v;
    EXPECT_LE(error, 1.0 / 32) << v;
  }
}

TEST(Histogram, NinetyNineOfAHundredIsNotTheWorst) {
  Histogram h;
  for (int i = 0; i < 99; ++i) h.Record(10);
  h.Record(1'000'000);
  EXPECT_EQ(h.Percentile(0.99), 10u);
  EXPECT_EQ(h.Percentile(0.995), 1'000'000u);
  EXPECT_EQ(h.max(), 1'000'000u);
}

TEST(ResponseReader, CountsTheBodyThatCameWithTheHead) {
  ResponseReader r;
  EXPECT_EQ(r.Feed("HTTP/1.1 200 OK\r\ncontent-LENGTH: 10\r\n\r\nabcd"), State::kBody);
  EXPECT_EQ(r.status(), 200);
  EXPECT_EQ(r.left(), 6u);
  EXPECT_EQ(r.Skip(5), State::kBody);
  EXPECT_EQ(r.Skip(1), State::kDone);
}

TEST(ResponseReader, TakesAHeadInAnyPieces) {
  const std::string whole = "HTTP/1.1 206 Partial Content\r\nX: y\r\nContent-Length: 3\r\n\r\nabc";
  for (std::size_t cut = 1; cut + 4 < whole.size(); ++cut) {
    ResponseReader r;
    ASSERT_EQ(r.Feed(whole.substr(0, cut)), State::kHead) << cut;
    ASSERT_EQ(r.Feed(whole.substr(cut)), State::kDone) << cut;
    EXPECT_EQ(r.length(), 3u);
  }
}

TEST(ResponseReader, ANotModifiedHasNoBodyWhateverItsLengthSays) {
  ResponseReader r;
  EXPECT_EQ(r.Feed("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"), State::kDone);
}

TEST(ResponseReader, IsReadyAgainAfterReset) {
  ResponseReader r;
  r.Feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  r.Reset();
  EXPECT_EQ(r.Feed("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), State::kDone);
  EXPECT_EQ(r.status(), 404);
}

TEST(ResponseReader, RefusesWhatItDoesNotUnderstand) {
  for (const char* text :
       {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ntoo much"}) {
    ResponseReader r;
    EXPECT_EQ(r.Feed(text), State::kFailed) << text;
  }
  ResponseReader r;
  r.Feed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(r.Skip(5), State::kFailed);
}

}  // namespace
}  // namespace vr::bench
