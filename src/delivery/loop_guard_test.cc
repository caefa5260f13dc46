#include "delivery/loop_guard.h"

#include <gtest/gtest.h>

#include "http/testing/make_request.h"

namespace vr::delivery {
namespace {

int StatusOf(const LoopGuard& guard, const std::string& lines) {
  const http::Request request = http::testing::MakeGet(lines);
  const auto refused = guard.Refuse(request);
  return refused ? refused->status : 0;
}

TEST(LoopGuard, KnowsItselfAndNobodyElse) {
  const LoopGuard me, other;
  EXPECT_NE(me.pseudonym(), other.pseudonym());
  const std::string own = "1.1 " + me.pseudonym();
  for (const std::string& via : {own, "1.0 fred, " + own, own + ", 1.1 other", own + " (a comment)",
                                 "\", " + own, "1.1 a (\", " + own, "HTTP/1.1 " + me.pseudonym()}) {
    EXPECT_EQ(StatusOf(me, "Via: " + via), 508) << via;
    EXPECT_EQ(StatusOf(other, "Via: " + via), 0) << via;
  }
  EXPECT_EQ(StatusOf(me, "Via: 1.1 a\nAccept: x\nvia: " + own), 508) << "a further line";
  for (const char* foreign : {"1.1 video-resizer", "1.1 video-resizer-", "1.1 video-resizer-1234",
                              "1.0 fred", "1.1 VIDEO-RESIZER", ","}) {
    EXPECT_EQ(StatusOf(me, std::string("Via: ") + foreign), 0) << foreign;
  }
  EXPECT_EQ(StatusOf(me, ""), 0);
}

TEST(LoopGuard, TooManyHandsAreALoopSomewhereElse) {
  const LoopGuard me;
  std::string via = "Via: 1.1 h0";
  for (int i = 1; i < LoopGuard::kMaxHops; ++i) via += ", 1.1 h" + std::to_string(i);
  EXPECT_EQ(StatusOf(me, via), 0);
  EXPECT_EQ(StatusOf(me, via + ", 1.1 more"), 508);
  EXPECT_EQ(StatusOf(me, via + "\nVia: 1.1 more"), 508);
}

TEST(LoopGuard, TheAnswerIsForNobodyElse) {
  const LoopGuard me;
  const http::Request request = http::testing::MakeGet("Via: 1.1 " + me.pseudonym());
  const auto refused = me.Refuse(request);
  ASSERT_TRUE(refused);
  EXPECT_NE(refused->fields.find("Cache-Control: no-store"), std::string::npos);
  EXPECT_NE(refused->fields.find("X-Request-ID: test-request"), std::string::npos);
  EXPECT_EQ(refused->fields.find(me.pseudonym()), std::string::npos);
}

}  // namespace
}  // namespace vr::delivery
