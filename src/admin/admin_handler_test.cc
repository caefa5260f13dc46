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

TEST(ParsePrewarm, SourcesTimesDerivativesAndTargets) {
  const auto targets = ParsePrewarm(
      R"({"sources":["/v/a b.mp4","v/c.mp4"],"derivatives":["low","high"],"targets":["/x?w=9"]})");
  ASSERT_TRUE(targets.ok());
  EXPECT_EQ(*targets, (std::vector<std::string>{
                          "/x?w=9", "/v/a b.mp4?derivative=low", "/v/a b.mp4?derivative=high",
                          "/v/c.mp4?derivative=low", "/v/c.mp4?derivative=high"}));
}

TEST(ParsePrewarm, SaysWhatIsWrong) {
  std::string many = R"({"targets":[)";
  for (int i = 0; i < 10'001; ++i) many += (i == 0 ? "\"/a\"" : ",\"/a\"");
  for (const auto& [body, word] : std::vector<std::pair<std::string, std::string>>{
           {"", "JSON"},
           {"{}", "nothing"},
           {R"({"sources":[],"derivatives":[]})", "nothing"},
           {R"({"sources":["/a"]})", "together"},
           {R"({"targets":[""]})", "list"},
           {R"({"targets":"/a"})", "list"},
           {R"({"target":["/a"]})", "unknown"},
           {R"({"sources":["/a?b"],"derivatives":["x"]})", "%3F"},
           {many + "]}", "at most"}}) {
    const auto parsed = ParsePrewarm(body);
    ASSERT_FALSE(parsed.ok()) << body;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_NE(parsed.error().public_message.find(word), std::string::npos)
        << parsed.error().public_message;
  }
}

TEST(ParseNotification, TakesWhatWasCreated) {
  size_t ignored = 9;
  const auto uploads = ParseNotification(
      R"({"Records":[
        {"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a/b+c%2B.mp4"}}},
        {"eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"b"},"object":{"key":"d"}}},
        {"eventName":"s3:ObjectCreated:Copy","s3":{"object":{"key":"e"}}}]})",
      ignored);
  ASSERT_TRUE(uploads.ok());
  ASSERT_EQ(uploads->size(), 2u);
  EXPECT_EQ(uploads->at(0).bucket, "b");
  EXPECT_EQ(uploads->at(0).key, "a/b c+.mp4");
  EXPECT_EQ(uploads->at(1).bucket, "");
  EXPECT_EQ(uploads->at(1).key, "e");
  EXPECT_EQ(ignored, 1u);
}

}  // namespace
}  // namespace vr::admin
