// The small renderers: status, URL, Cache-Status, Content-Disposition, request ids, Response::Add.
#include <gtest/gtest.h>

#include <set>

#include "http/cache_status.h"
#include "http/content_disposition.h"
#include "http/message_stats.h"
#include "http/request_id.h"
#include "http/status.h"
#include "http/testing/make_request.h"
#include "http/url.h"

namespace vr::http {
namespace {

TEST(Status, HasItsPhraseAndLine) {
  EXPECT_EQ(ReasonPhrase(200), "OK");
  EXPECT_EQ(ReasonPhrase(416), "Range Not Satisfiable");
  EXPECT_EQ(ReasonPhrase(508), "Loop Detected");
  EXPECT_EQ(ReasonPhrase(299), "Unknown");
  EXPECT_EQ(ReasonPhrase(0), "Unknown");
  EXPECT_EQ(ReasonPhrase(600), "Unknown");
  EXPECT_EQ(StatusLine(206), "HTTP/1.1 206 Partial Content\r\n");
  EXPECT_TRUE(HasNoBody(304) && HasNoBody(204) && HasNoBody(100) && !HasNoBody(200));
}

TEST(Url, DecodesOnce) {
  EXPECT_EQ(PercentDecode("a%20b%2Fc+d").value(), "a b/c+d");
  EXPECT_EQ(PercentDecode("%2541").value(), "%41");
  EXPECT_EQ(PercentDecode("%c3%A9").value(), "\xc3\xa9");
  EXPECT_EQ(QueryDecode("a+b%2B").value(), "a b+");
}

TEST(Url, RefusesBadEscapes) {
  for (const char* text : {"%", "%4", "%G1", "%1G", "abc%", "%%41", "a%-1"}) {
    const auto result = PercentDecode(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().reason, "INVALID_URL");
  }
}

TEST(Url, EncodesAllButWhatMayStay) {
  EXPECT_EQ(PercentEncode("aZ09-._~ /?\xc3\xa9"), "aZ09-._~%20%2F%3F%C3%A9");
  EXPECT_EQ(PercentEncode("/a b;c", kPathChars), "/a%20b;c");
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(PercentDecode(PercentEncode(all)).value(), all);
}

TEST(Url, SplitsAQueryInOrder) {
  const QueryPairs expected = {
      {"w", "640"}, {"a b", "c d"}, {"flag", ""}, {"empty", ""}, {"w", "1=2"}};
  EXPECT_EQ(SplitQuery("w=640&a%20b=c+d&&flag&empty=&w=1=2").value(), expected);
  EXPECT_TRUE(SplitQuery("").value().empty());
  EXPECT_FALSE(SplitQuery("a=1&b=%zz").ok());
  EXPECT_FALSE(SplitQuery("%z=1").ok());
}

TEST(CacheStatus, RendersMembers) {
  std::string out;
  CacheStatus edge;
  edge.cache = "vr-edge";
  edge.fwd = "miss";
  edge.stored = true;
  AppendCacheStatus(out, edge);
  CacheStatus kv;
  kv.cache = "video resizer";
  kv.hit = true;
  kv.ttl = -5;
  kv.key = "/a \"b\"\\\xc3";
  kv.detail = "x y";
  out += ", ";
  AppendCacheStatus(out, kv);
  EXPECT_EQ(out,
            "vr-edge; fwd=miss; stored, "
            "\"video resizer\"; hit; ttl=-5; key=\"/a \\\"b\\\"\\\\%C3\"; detail=\"x y\"");
}

TEST(CacheStatus, RendersForwarding) {
  std::string out;
  CacheStatus s;
  s.cache = "origin";
  s.fwd = "stale";
  s.fwd_status = 304;
  s.collapsed = true;
  s.detail = "MEMORY";
  AppendCacheStatus(out, s);
  EXPECT_EQ(out, "origin; fwd=stale; fwd-status=304; collapsed; detail=MEMORY");
}

TEST(ContentDisposition, QuotesAndFallsBack) {
  EXPECT_EQ(InlineFilename("clip.mp4"), "inline; filename=\"clip.mp4\"");
  EXPECT_EQ(InlineFilename("a\"b\r\n/c"), "inline; filename=\"a\\\"b___c\"");
  EXPECT_EQ(InlineFilename("\xc3\xa9 1.mp4"),
            "inline; filename=\"__ 1.mp4\"; filename*=UTF-8''%C3%A9%201.mp4");
}

TEST(RequestId, IsNewEachTime) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewRequestId());
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_TRUE(IsSaneRequestId(*ids.begin()));
  EXPECT_TRUE(IsSaneRequestId("A-b_c.9"));
  EXPECT_FALSE(IsSaneRequestId(""));
  EXPECT_FALSE(IsSaneRequestId("a b"));
  EXPECT_FALSE(IsSaneRequestId("a\"b"));
  EXPECT_FALSE(IsSaneRequestId(std::string(65, 'a')));
}

TEST(Response, RefusesFieldsThatBreakTheMessage) {
  const uint64_t before = RefusedResponseFields();
  Response response;
  response.Add("X-A", "1");
  response.Add("X-B", "1\r\nX-Evil: 1");
  response.Add("X C", "1");
  response.Add("X-D", std::string_view("a\0b", 3));
  response.Add("", "1");
  EXPECT_EQ(response.fields, "X-A: 1\r\n");
  EXPECT_EQ(RefusedResponseFields(), before + 4);
}

TEST(Request, FindsFieldsWithoutRegardToCase) {
  const Request request = testing::MakeGet("X-A: 1\nx-a: 2\nX-B: 3");
  EXPECT_EQ(request.Get("x-A"), "1");
  EXPECT_EQ(request.GetAll("X-a"), "1, 2");
  EXPECT_FALSE(request.Get("x"));
  EXPECT_EQ(request.GetAll("x"), "");
}

}  // namespace
}  // namespace vr::http
