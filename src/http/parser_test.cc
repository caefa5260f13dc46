#include "http/parser.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

namespace vr::http {
namespace {

using Step = RequestParser::Step;

struct Outcome {
  std::vector<std::string> requests;  ///< "GET /a?b [Host=x] body"
  int status = 0;                     ///< of the refusal, 0 = none
  std::string code;
  int continues = 0;
  bool keep_alive = false;
  bool is_partial = false;
};

std::string Show(const Request& r) {
  std::string text = std::string(r.method_name) + " " + std::string(r.target);
  for (const Field& f : r.fields)
    text += " [" + std::string(f.name) + "=" + std::string(f.value) + "]";
  if (!r.body.empty()) text += " " + r.body;
  return text;
}

/// Feeds `wire` in pieces of `step` bytes.
Outcome Feed(std::string_view wire, size_t step, ParseLimits limits = {}) {
  RequestParser parser(limits);
  Outcome out;
  Request request;
  size_t done = 0;
  for (;;) {
    const Step s = parser.Next();
    if (s == Step::kContinue) {
      ++out.continues;
      continue;
    }
    if (s == Step::kReady) {
      out.keep_alive = parser.keep_alive();
      parser.TakeInto(request);
      out.requests.push_back(Show(request));
      EXPECT_EQ(request.path.size() + (request.query.empty() ? 0 : request.query.size() + 1) <=
                    request.target.size(),
                true);
      parser.Recycle(request);
      continue;
    }
    if (s == Step::kError) {
      out.status = parser.error().status;
      out.code = parser.error().code;
      return out;
    }
    if (done == wire.size()) {
      out.is_partial = parser.in_head() || parser.in_body();
      return out;
    }
    const auto space = parser.Prepare();
    const size_t n = std::min({space.size(), step, wire.size() - done});
    std::memcpy(space.data(), wire.data() + done, n);
    parser.Commit(n);
    done += n;
  }
}

/// However the bytes are cut, the outcome is the same.
Outcome FeedAllWays(std::string_view wire, ParseLimits limits = {}) {
  const Outcome whole = Feed(wire, wire.size() + 1, limits);
  for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, size_t{4096}}) {
    const Outcome cut = Feed(wire, step, limits);
    EXPECT_EQ(cut.requests, whole.requests) << "step " << step;
    EXPECT_EQ(cut.status, whole.status) << "step " << step;
    EXPECT_EQ(cut.code, whole.code) << "step " << step;
    EXPECT_EQ(cut.is_partial, whole.is_partial) << "step " << step;
  }
  return whole;
}

struct Good {
  const char* wire;
  const char* expected;
};
class Accepts : public ::testing::TestWithParam<Good> {};
TEST_P(Accepts, OneRequest) {
  const Outcome out = FeedAllWays(GetParam().wire);
  ASSERT_EQ(out.requests.size(), 1u) << out.status << " " << out.code;
  EXPECT_EQ(out.requests[0], GetParam().expected);
  EXPECT_EQ(out.status, 0);
}
INSTANTIATE_TEST_SUITE_P(
    Parser, Accepts,
    ::testing::Values(
        Good{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / [Host=a]"},
        Good{"GET /a/b%20c?x=1&y=2 HTTP/1.1\r\nhOsT:a:8080\r\n\r\n",
             "GET /a/b%20c?x=1&y=2 [hOsT=a:8080]"},
        Good{"GET /? HTTP/1.1\r\nHost:\r\n\r\n", "GET /? [Host=]"},
        Good{"GET /\xc3\xa9|{} HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
             "GET /\xc3\xa9|{} [Host=[::1]:80]"},
        Good{"GET / HTTP/1.0\r\n\r\n", "GET /"}, Good{"\r\n\r\nGET / HTTP/1.0\r\n\r\n", "GET /"},
        Good{"GET //x HTTP/1.0\r\n\r\n", "GET //x"},
        Good{"M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH /x [Host=a]"},
        Good{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * [Host=a]"},
        Good{"GET / HTTP/1.1\r\nHost: a\r\nX: \t a b\t \r\nY:\r\nZ:\xff\r\n\r\n",
             "GET / [Host=a] [X=a b] [Y=] [Z=\xff]"},
        // absolute-form: reduced, and its authority is the host
        Good{"GET http://h.example/p?q HTTP/1.1\r\nHost: other\r\n\r\n",
             "GET /p?q [Host=h.example]"},
        Good{"GET HTTPS://h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "GET / [Host=h:1]"},
        Good{"GET http://host?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?x=1 [Host=host]"},
        Good{"GET /http://x/y HTTP/1.1\r\nHost: h\r\n\r\n", "GET /http://x/y [Host=h]"},
        // bodies
        Good{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
             "POST / [Host=a] [Content-Length=3] abc"},
        Good{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
             "POST / [Host=a] [Content-Length=3, 3] abc"},
        Good{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
             "POST / [Host=a] [Content-Length=3] [Content-Length=3] abc"},
        Good{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
             "GET / [Host=a] [Content-Length=0]"},
        Good{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
             "3\r\nabc\r\n00a;x=y;z=\"q\\\"r\"\r\n0123456789\r\n0\r\n\r\n",
             "POST / [Host=a] [Transfer-Encoding=Chunked] abc0123456789"},
        Good{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0;a\r\nT: "
             "1\r\nU: 2\r\n\r\n",
             "POST / [Host=a] [Transfer-Encoding=chunked] x"}));

struct Bad {
  const char* wire;
  int status;
  const char* code;
};
class Refuses : public ::testing::TestWithParam<Bad> {};
TEST_P(Refuses, WithItsStatus) {
  const Outcome out = FeedAllWays(GetParam().wire);
  EXPECT_EQ(out.status, GetParam().status);
  EXPECT_EQ(out.code, GetParam().code);
  EXPECT_TRUE(out.requests.empty());
}
#define HEAD_OF_POST "POST / HTTP/1.1\r\nHost: a\r\n"
INSTANTIATE_TEST_SUITE_P(
    RequestLine, Refuses,
    ::testing::Values(Bad{"\x16\x03\x01\x02", 400, "BAD_REQUEST"},  // TLS
                      Bad{" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET /\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\nHost: a\n\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "VERSION_UNSUPPORTED"},
                      Bad{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "VERSION_UNSUPPORTED"},
                      Bad{"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "VERSION_UNSUPPORTED"},
                      Bad{"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_URL"},
                      Bad{"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_URL"},
                      Bad{"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_URL"},
                      Bad{"GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_URL"},
                      Bad{"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_URL"},
                      Bad{"GET ftp://h/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_URL"},
                      Bad{"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501,
                          "METHOD_UNSUPPORTED"}));
INSTANTIATE_TEST_SUITE_P(
    Fields, Refuses,
    ::testing::Values(Bad{"GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\nX\xc3: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\nX: a\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "BAD_REQUEST"},
                      Bad{HEAD_OF_POST "Expect: 200-ok\r\n\r\n", 417, "EXPECTATION_FAILED"}));
// Every pair of parsers that disagree here is a way to smuggle a request past one of them.
INSTANTIATE_TEST_SUITE_P(
    Framing, Refuses,
    ::testing::Values(
        Bad{HEAD_OF_POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
            "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400,
            "BAD_REQUEST"},
        Bad{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 3, 4\r\n\r\nabcd", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 3,\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: ,3\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length:\r\n\r\n", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: +3\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: -3\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 0x3\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 3 3\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 18446744073709551619\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length : 3\r\n\r\nabc", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Content-Length: 1048577\r\n\r\n", 413, "BODY_TOO_LARGE"},
        Bad{HEAD_OF_POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501,
            "TRANSFER_CODING_UNSUPPORTED"},
        Bad{HEAD_OF_POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 501,
            "TRANSFER_CODING_UNSUPPORTED"},
        Bad{HEAD_OF_POST "Transfer-Encoding: identity\r\n\r\n", 501, "TRANSFER_CODING_UNSUPPORTED"},
        Bad{HEAD_OF_POST "Transfer-Encoding: xchunked\r\n\r\n", 501, "TRANSFER_CODING_UNSUPPORTED"},
        Bad{HEAD_OF_POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
            "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding: chunked,\r\n\r\n", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding:\r\n\r\n", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding: \x0b"
                         "chunked\r\n\r\n",
            400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding: chunked;x=1\r\n\r\n", 400, "BAD_REQUEST"},
        Bad{HEAD_OF_POST "Transfer-Encoding\r\n: chunked\r\n\r\n", 400, "BAD_REQUEST"}));
#define CHUNKED_POST HEAD_OF_POST "Transfer-Encoding: chunked\r\n\r\n"
INSTANTIATE_TEST_SUITE_P(
    Chunks, Refuses,
    ::testing::Values(Bad{CHUNKED_POST "\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "x\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "-1\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "0x1\r\na\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST " 1\r\na\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1 \r\na\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1\na\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1\r\nab\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1\r\na\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1\r\na\rX0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1;\r\na\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "1;a=\"b\r\na\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "10000000000000001\r\na", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "ffffffffffffffff\r\na", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "100001\r\n", 413, "BODY_TOO_LARGE"},
                      Bad{CHUNKED_POST "1\r\na\r\nfffff\r\n", 0, ""},  // exactly the limit: goes on
                      Bad{CHUNKED_POST "1\r\na\r\n100000\r\n", 413, "BODY_TOO_LARGE"},
                      Bad{CHUNKED_POST "0\r\nbad trailer\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "0\r\nContent-Length: 5\r\n\r\n", 400, "BAD_REQUEST"},
                      Bad{CHUNKED_POST "0\r\n\n", 400, "BAD_REQUEST"}));

TEST(Parser, ANulIsNeverAccepted) {
  using namespace std::string_literals;
  EXPECT_EQ(FeedAllWays("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"s).status, 400);
  EXPECT_EQ(FeedAllWays("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s).status, 400);
}

TEST(Parser, PipelinedRequestsComeOneByOne) {
  const Outcome out = FeedAllWays(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
      "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n"
      "\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\nGET /5 HT");
  ASSERT_EQ(out.requests.size(), 4u);
  EXPECT_EQ(out.requests[1], "POST /2 [Host=a] [Content-Length=2] hi");
  EXPECT_EQ(out.requests[2], "POST /3 [Host=a] [Transfer-Encoding=chunked] yo");
  EXPECT_EQ(out.requests[3], "GET /4 [Host=a]");
  EXPECT_TRUE(out.is_partial);
}

TEST(Parser, ThousandPipelinedRequestsFitASmallBuffer) {
  std::string wire;
  for (int i = 0; i < 1000; ++i)
    wire += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  const Outcome out = Feed(wire, 4096);
  ASSERT_EQ(out.requests.size(), 1000u);
  EXPECT_EQ(out.requests[999], "GET /999 [Host=a]");
}

TEST(Parser, KeepAliveDependsOnVersionAndConnection) {
  const auto keeps = [](std::string head) { return Feed(head + "\r\n", 4096).keep_alive; };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: a\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n"));
  EXPECT_FALSE(
      keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.7\r\nHost: a\r\n"));
}

TEST(Parser, AsksForContinueOnceAndOnlyWhenTheBodyIsMissing) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  EXPECT_EQ(Feed(head + "hi", 1).continues, 1);
  EXPECT_EQ(Feed(head + "hi", 4096).continues, 0);
  EXPECT_EQ(Feed(head + "hi", 4096).requests.size(), 1u);
  EXPECT_EQ(Feed("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 1).continues, 0);
  EXPECT_EQ(
      Feed("POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", 1).continues, 0);
}

TEST(Parser, LimitsHaveTheirOwnStatus) {
  ParseLimits limits;
  limits.max_head_bytes = 400;
  limits.max_target_bytes = 100;
  limits.max_fields = 4;
  limits.max_body_bytes = 10;
  const std::string host = " HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(FeedAllWays("GET /" + std::string(99, 'a') + host + "\r\n", limits).requests.size(),
            1u);
  EXPECT_EQ(FeedAllWays("GET /" + std::string(100, 'a') + host + "\r\n", limits).status, 414);
  EXPECT_EQ(FeedAllWays("GET /" + std::string(5000, 'a'), limits).status, 414);
  EXPECT_EQ(FeedAllWays("GET /" + host + "X: " + std::string(400, 'a') + "\r\n\r\n", limits).status,
            431);
  EXPECT_EQ(FeedAllWays("GET /" + host + "X: " + std::string(5000, 'a'), limits).status, 431);
  EXPECT_EQ(FeedAllWays("GET /" + host + "A:\r\nB:\r\nC:\r\n\r\n", limits).requests.size(), 1u);
  EXPECT_EQ(FeedAllWays("GET /" + host + "A:\r\nB:\r\nC:\r\nD:\r\n\r\n", limits).status, 431);
  EXPECT_EQ(
      FeedAllWays("POST /" + host + "Content-Length: 10\r\n\r\n0123456789", limits).requests.size(),
      1u);
  EXPECT_EQ(FeedAllWays("POST /" + host + "Content-Length: 11\r\n\r\n", limits).status, 413);
  const std::string chunked = "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(FeedAllWays(chunked + "a\r\n0123456789\r\n0\r\n\r\n", limits).requests.size(), 1u);
  EXPECT_EQ(FeedAllWays(chunked + "a\r\n0123456789\r\n1\r\n", limits).status, 413);
  EXPECT_EQ(FeedAllWays(chunked + "1;" + std::string(300, 'a'), limits).status, 400);
  std::string trailers;
  for (int i = 0; i < 100; ++i) trailers += "T: 12345\r\n";
  EXPECT_EQ(FeedAllWays(chunked + "0\r\n" + trailers, limits).status, 431);
}

TEST(Parser, AHeadOfExactlyTheLimitPasses) {
  ParseLimits limits;
  limits.max_head_bytes = 300;
  std::string wire = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  wire += std::string(300 - wire.size() - 4, 'x') + "\r\n\r\n";
  ASSERT_EQ(wire.size(), 300u);
  EXPECT_EQ(FeedAllWays(wire, limits).requests.size(), 1u);
}

TEST(Parser, TakesTimeLinearInTheBytes) {
  ParseLimits limits;
  limits.max_head_bytes = limits.max_target_bytes = 8 * 1024 * 1024;
  limits.max_body_bytes = 8 * 1024 * 1024;
  // One byte at a time through a 4 MB target: quadratic work would be 10^13 steps.
  const std::string wire =
      "GET /" + std::string(4 * 1024 * 1024, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Feed(wire, 1, limits).requests.size(), 1u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Parser, ReusesItsBufferAndFreesItWhenIdle) {
  ParseLimits limits;
  RequestParser parser(limits);
  EXPECT_EQ(parser.buffer_size(), 0u);
  const std::string_view wire = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto space = parser.Prepare();
  const char* memory = space.data();
  std::memcpy(space.data(), wire.data(), wire.size());
  parser.Commit(wire.size());
  ASSERT_EQ(parser.Next(), Step::kReady);
  Request request;
  parser.TakeInto(request);
  EXPECT_EQ(request.storage.get(), memory);  // handed over, not copied
  EXPECT_EQ(parser.buffer_size(), 0u);
  parser.Recycle(request);
  EXPECT_EQ(parser.Prepare().data(), memory);
  EXPECT_EQ(parser.Next(), Step::kNeedMore);
  parser.ReleaseIfEmpty();
  EXPECT_EQ(parser.buffer_size(), 0u);
}

TEST(Parser, WhatIsTakenSurvivesTheNextBytes) {
  ParseLimits limits;
  RequestParser parser(limits);
  const std::string_view wire =
      "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: b\r\n\r\n";
  const auto space = parser.Prepare();
  std::memcpy(space.data(), wire.data(), wire.size());
  parser.Commit(wire.size());
  ASSERT_EQ(parser.Next(), Step::kReady);
  Request one, two;
  parser.TakeInto(one);
  ASSERT_EQ(parser.Next(), Step::kReady);
  parser.TakeInto(two);
  Request moved = std::move(one);
  EXPECT_EQ(moved.target, "/one");
  EXPECT_EQ(moved.Get("host"), "a");
  EXPECT_EQ(two.target, "/two");
}

}  // namespace
}  // namespace vr::http
