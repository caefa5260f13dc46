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

TEST(Kin, OnlyServersOfOurKindGoAlongAndNotMany) {
  const auto kin = [](const std::string& via) {
    return KinOf(http::testing::MakeGet("Via: " + via));
  };
  EXPECT_EQ(KinOf(http::testing::MakeGet()), "");
  EXPECT_EQ(kin("1.0 fred, 1.1 cdn.example (x, y)"), "");
  EXPECT_EQ(kin("1.0 fred, 1.1 video-resizer-abc1, 1.1 cdn"), "1.1 video-resizer-abc1");
  EXPECT_EQ(kin("\", 1.1 video-resizer-a,,1.0 video-resizer-b"),
            "1.1 video-resizer-a, 1.0 video-resizer-b");
  for (const char* other : {"1.1 video-resizer", "1.1 video-resizer-", "1.1 video-resizer-A",
                            "1.1 video-resizer-a (c)", "2 video-resizer-a", "1.1video-resizer-a"}) {
    EXPECT_EQ(kin(other), "") << other;
  }
  EXPECT_EQ(kin("1.1 video-resizer-" + std::string(60, 'a')), "");
  std::string many;
  for (char c = 'a'; c < 'j'; ++c) many += std::string("1.1 video-resizer-") + c + ", ";
  EXPECT_EQ(kin(many),
            "1.1 video-resizer-f, 1.1 video-resizer-g, 1.1 video-resizer-h, 1.1 video-resizer-i");
  const LoopGuard me;
  EXPECT_EQ(kin("1.1 " + me.pseudonym()), "1.1 " + me.pseudonym());
}

}  // namespace
}  // namespace vr::delivery
