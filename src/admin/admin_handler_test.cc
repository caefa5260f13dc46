#include "admin/admin_handler.h"

#include <gtest/gtest.h>

namespace vr::admin {
namespace {

TEST(IsAuthorized, OnlyTheWholeTokenOpens) {
  EXPECT_TRUE(IsAuthorized("Bearer s3cret", "s3cret"));
  for (const char* wrong : {"", "Bearer ", "Bearer s3cre", "Bearer s3crets", "bearer s3cret",
                            "s3cret", "Bearer s3cresT", "Bearer s3crets3cret", "Basic s3cret"}) {
    EXPECT_FALSE(IsAuthorized(wrong, "s3cret")) << wrong;
  }
}

TEST(IsAuthorized, NoTokenMeansClosed) {
  EXPECT_FALSE(IsAuthorized("Bearer ", ""));
  EXPECT_FALSE(IsAuthorized("", ""));
}

TEST(ParsePurge, TakesExactlyOneScope) {
  EXPECT_EQ(*ParsePurge(R"({"tag":"video-a.mp4"})")->scope.tag, "video-a.mp4");
  EXPECT_TRUE(ParsePurge(R"({"everything":true})")->scope.everything);
  EXPECT_EQ(*ParsePurge(R"({"createdBefore":5})")->scope.created_before_ms, 5);
  for (const char* bad :
       {"", "[]", "{}", R"({"key":"a","tag":"b"})", R"({"everything":false})", R"({"key":1})",
        R"({"key":""})", R"({"createdBefore":"x"})", R"({"ky":"a"})",
        R"({"key":"a","mode":"gone"})", R"({"key":"a","dryRun":"yes"})", "{\"key\":\"a\""}) {
    const auto parsed = ParsePurge(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
  }
}

TEST(ParsePurge, ModesAndDryRun) {
  using cache::PurgeMode;
  EXPECT_EQ(ParsePurge(R"({"key":"a"})")->mode, PurgeMode::kHard);
  EXPECT_EQ(ParsePurge(R"({"key":"a","mode":"soft"})")->mode, PurgeMode::kSoft);
  EXPECT_EQ(ParsePurge(R"({"dryRun":true,"key":"a","mode":"soft"})")->mode, PurgeMode::kDryRun);
}

TEST(ParsePurge, TheComplaintNamesTheField) {
  EXPECT_NE(ParsePurge(R"({"taag":"x"})").error().public_message.find("\"taag\""),
            std::string::npos);
}

}  // namespace
}  // namespace vr::admin
