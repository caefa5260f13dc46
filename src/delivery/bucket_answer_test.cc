#include "delivery/bucket_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vr::delivery {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

http::ResponseHead Head(int status, http::FieldList fields = {}) {
  http::ResponseHead head;
  head.status = status;
  head.fields = std::move(fields);
  head.content_length = 300;
  return head;
}

TEST(BucketAnswer, ObjectsAndConditionsAreNoRefusals) {
  for (const int status : {200, 206, 304, 412, 416}) EXPECT_FALSE(IsBucketRefusal(Head(status)));
  for (const int status : {301, 307, 400, 403, 404, 405, 410, 429, 500, 501, 503}) {
    EXPECT_TRUE(IsBucketRefusal(Head(status))) << status;
  }
}

TEST(BucketAnswer, OfARefusalOnlyTheCodeIsTold) {
  const std::string xml =
      "<Error><Code>AccessDenied</Code><Message>secret</Message><BucketName>b</BucketName></Error>";
  const Error denied = BucketRefusal(Head(403), xml);
  EXPECT_EQ(denied.reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(denied.code, Code::kUnavailable);
  EXPECT_THAT(denied.facts, ElementsAre(Pair("upstream", "403 AccessDenied")));
  EXPECT_EQ(denied.ToLogString().find("secret"), std::string::npos);
  const Error missing = BucketRefusal(Head(404), "<Error><Code>NoSuchKey</Code></Error>");
  EXPECT_EQ(missing.reason, "NOT_FOUND");
  EXPECT_EQ(missing.code, Code::kNotFound);
  EXPECT_EQ(BucketRefusal(Head(404), "").reason, "NOT_FOUND") << "HEAD has no body";
  EXPECT_EQ(BucketRefusal(Head(404), "<Error><Code>NoSuchBucket</Code></Error>").reason,
            "ALL_SOURCES_FAILED");
  EXPECT_EQ(BucketRefusal(Head(301, {{"Location", "http://x/"}}), "").reason, "ALL_SOURCES_FAILED");
}

TEST(BucketAnswer, FieldsOfTheServerStayWithUs) {
  const http::ResponseHead head = CleanBucketHead(Head(200, {{"ETag", "\"a\""},
                                                             {"x-amz-request-id", "1"},
                                                             {"X-Amz-Id-2", "2"},
                                                             {"x-amz-meta-title", "t"},
                                                             {"x-rgw-object-type", "Normal"},
                                                             {"Server", "AmazonS3"},
                                                             {"Set-Cookie", "a=b"},
                                                             {"Content-Encoding", "aws-chunked"},
                                                             {"Content-Type", "text/css"}}));
  EXPECT_THAT(head.fields, ElementsAre(Pair("ETag", "\"a\""), Pair("x-amz-meta-title", "t"),
                                       Pair("Content-Type", "text/css")));
  EXPECT_EQ(head.content_length, 300u);
  EXPECT_THAT(CleanBucketHead(Head(200, {{"content-encoding", "aws-chunked,gzip"}})).fields,
              ElementsAre(Pair("content-encoding", "gzip")));
}

TEST(BucketAnswer, AFailedConditionHasNoBody) {
  const http::ResponseHead head = CleanBucketHead(
      Head(416, {{"Content-Type", "application/xml"}, {"Content-Range", "bytes */9"}}));
  EXPECT_THAT(head.fields, ElementsAre(Pair("Content-Range", "bytes */9")));
  EXPECT_EQ(head.content_length, 0u);
}

TEST(BucketAnswer, APartMustBeOfWhatIfRangeNames) {
  const http::ResponseHead part =
      Head(206, {{"ETag", "\"a\""}, {"Last-Modified", "Fri, 27 Nov 2026 09:00:00 GMT"}});
  EXPECT_TRUE(FitsIfRange(part, ""));
  EXPECT_TRUE(FitsIfRange(part, "\"a\""));
  EXPECT_FALSE(FitsIfRange(part, "\"b\""));
  EXPECT_FALSE(FitsIfRange(part, "W/\"a\""));
  EXPECT_TRUE(FitsIfRange(part, "Fri, 27 Nov 2026 09:00:00 GMT"));
  EXPECT_FALSE(FitsIfRange(part, "Fri, 27 Nov 2026 09:00:01 GMT"));
  EXPECT_FALSE(FitsIfRange(part, "nonsense"));
  EXPECT_TRUE(FitsIfRange(Head(200), "\"b\"")) << "the whole is always right";
}

}  // namespace
}  // namespace vr::delivery
