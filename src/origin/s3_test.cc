#include "origin/s3.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/testing/manual_clock.h"
#include "http/ascii.h"

namespace vr::origin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using vr::testing::ManualClock;

BucketOptions Bucket(std::string endpoint = "https://s3.example.com") {
  BucketOptions bucket;
  bucket.endpoint = std::move(endpoint);
  bucket.bucket = "videos";
  bucket.access_key = "AKIDTEST";
  bucket.secret_key = "s3cr3t";
  return bucket;
}

std::string Value(const http::FieldList& fields, std::string_view name) {
  for (const auto& [n, v] : fields) {
    if (http::EqualsNoCase(n, name)) return v;
  }
  return "";
}

TEST(S3, AnObjectsUrlIsStrictlyEncodedInBothAddressings) {
  const ManualClock clock;
  const auto url = [&](const BucketOptions& bucket, std::string_view key) {
    return MakeS3Target(bucket, key, clock).url;
  };
  EXPECT_EQ(url(Bucket(), "a b/c+d=%41é.mp4"),
            "https://s3.example.com/videos/a%20b/c%2Bd%3D%2541%C3%A9.mp4");
  EXPECT_EQ(url(Bucket("http://[::1]:9000/gate%20way/"), "a"),
            "http://[::1]:9000/gate%20way/videos/a");
  EXPECT_EQ(url(Bucket("https://S3.Example.com:443"), "a?b#c"),
            "https://s3.example.com/videos/a%3Fb%23c");
  BucketOptions bucket = Bucket("https://s3.eu-west-1.amazonaws.com:8443/");
  bucket.addressing = S3Addressing::kVirtual;
  EXPECT_EQ(url(bucket, "a/b"), "https://videos.s3.eu-west-1.amazonaws.com:8443/a/b");
}

TEST(S3, EachRequestIsSignedForItsOwnMoment) {
  ManualClock clock(FromUnixMillis(1'770'091'506'000));
  const HttpTarget target = MakeS3Target(Bucket(), "a", clock);
  ASSERT_TRUE(target.signer);
  const auto first = target.signer->Sign(http::Method::kGet);
  EXPECT_EQ(Value(first.fields, "x-amz-date"), "20260203T040506Z");
  EXPECT_EQ(first.query, "");
  clock.Advance(std::chrono::seconds(61));
  const auto second = target.signer->Sign(http::Method::kGet);
  EXPECT_EQ(Value(second.fields, "x-amz-date"), "20260203T040607Z");
  EXPECT_NE(Value(first.fields, "Authorization"), Value(second.fields, "Authorization"));
  EXPECT_NE(Value(second.fields, "Authorization"),
            Value(target.signer->Sign(http::Method::kHead).fields, "Authorization"));
}

TEST(S3, PresignedAndPublicRequestsCarryNoFields) {
  const ManualClock clock;
  BucketOptions bucket = Bucket();
  bucket.signing = S3Signing::kPresigned;
  bucket.presign_expires = std::chrono::seconds(77);
  bucket.session_token = "tok+en";
  const auto proof = MakeS3Target(bucket, "a", clock).signer->Sign(http::Method::kGet);
  EXPECT_TRUE(proof.fields.empty());
  EXPECT_THAT(proof.query, HasSubstr("&X-Amz-Expires=77&X-Amz-Security-Token=tok%2Ben&"));
  bucket.signing = S3Signing::kNone;
  EXPECT_EQ(MakeS3Target(bucket, "a", clock).signer, nullptr);
}

TEST(S3, NeitherUrlNorKeyHoldsASecretAndOtherCredentialsShareNothing) {
  const ManualClock clock;
  const HttpTarget target = MakeS3Target(Bucket(), "a", clock);
  for (const std::string& text : {target.url, target.key}) {
    EXPECT_THAT(text, Not(HasSubstr("s3cr3t")));
    EXPECT_THAT(text, Not(HasSubstr("AKIDTEST")));
  }
  std::set<std::string> keys = {target.key};
  BucketOptions other = Bucket();
  other.secret_key = "another";
  keys.insert(MakeS3Target(other, "a", clock).key);
  other = Bucket();
  other.session_token = "t";
  keys.insert(MakeS3Target(other, "a", clock).key);
  other.signing = S3Signing::kNone;
  keys.insert(MakeS3Target(other, "a", clock).key);
  keys.insert(MakeS3Target(Bucket(), "b", clock).key);
  EXPECT_EQ(keys.size(), 5u);
}

TEST(S3, AutoRegionIsReadFromTheEndpointsName) {
  const std::pair<const char*, const char*> cases[] = {
      {"https://s3.eu-west-1.amazonaws.com", "eu-west-1"},
      {"https://s3.dualstack.ap-south-1.amazonaws.com", "ap-south-1"},
      {"https://s3-us-west-2.amazonaws.com", "us-west-2"},
      {"https://s3.amazonaws.com", "us-east-1"},
      {"https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"},
      {"https://s3.us-west-004.backblazeb2.com", "us-west-004"},
      {"https://0123.r2.cloudflarestorage.com", "auto"},
      {"https://storage.googleapis.com", "auto"},
      {"http://127.0.0.1:7480", "us-east-1"},
      {"https://s3.example.com", "us-east-1"},
  };
  for (const auto& [endpoint, region] : cases)
    EXPECT_EQ(S3Region(Bucket(endpoint)), region) << endpoint;
  BucketOptions bucket = Bucket("https://s3.eu-west-1.amazonaws.com");
  bucket.region = "garage";
  EXPECT_EQ(S3Region(bucket), "garage");
}

http::ResponseHead Head(int status, http::FieldList fields = {}) {
  http::ResponseHead head;
  head.status = status;
  head.fields = std::move(fields);
  return head;
}
std::string Xml(const std::string& code, const std::string& more = "") {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code +
         "</Code><Message>AKIDTEST s3cr3t</Message>" + more + "<RequestId>1</RequestId></Error>";
}

TEST(S3, RefusalsAreReadByTheirErrorCode) {
  const auto check = [](const http::ResponseHead& head, const std::string& body, Code code,
                        const std::string& upstream, const std::string& detail = "") {
    const Error error = S3Refusal(head, body);
    EXPECT_EQ(error.code, code) << upstream;
    ASSERT_EQ(error.facts.size(), 1u);
    EXPECT_EQ(error.facts[0].first, "upstream");
    EXPECT_EQ(error.facts[0].second, upstream);
    EXPECT_THAT(error.detail, HasSubstr(detail));
    for (const std::string& text : {error.detail, error.public_message, error.facts[0].second}) {
      EXPECT_THAT(text, Not(HasSubstr("s3cr3t")));
      EXPECT_THAT(text, Not(HasSubstr("elsewhere.example")));
    }
  };
  check(Head(404), Xml("NoSuchKey"), Code::kNotFound, "404 NoSuchKey");
  check(Head(404), "", Code::kNotFound, "404");
  check(Head(404), Xml("NoSuchBucket"), Code::kUnavailable, "404 NoSuchBucket", "addressing");
  check(Head(403), Xml("AccessDenied"), Code::kPermissionDenied, "403 AccessDenied", "list");
  check(Head(403), Xml("SignatureDoesNotMatch", "<StringToSign>s3cr3t</StringToSign>"),
        Code::kPermissionDenied, "403 SignatureDoesNotMatch", "secretKey");
  check(Head(403), Xml("RequestTimeTooSkewed"), Code::kPermissionDenied, "403 RequestTimeTooSkewed",
        "clock");
  check(Head(403), "<html>go away", Code::kUnavailable, "403");
  check(Head(503), Xml("SlowDown"), Code::kUnavailable, "503 SlowDown");
  check(Head(400), Xml("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
        Code::kUnavailable, "400 AuthorizationHeaderMalformed", "region eu-west-1");
  check(Head(301, {{"x-amz-bucket-region", "eu-north-1"}}),
        Xml("PermanentRedirect", "<Endpoint>elsewhere.example</Endpoint>"), Code::kUnavailable,
        "301 PermanentRedirect", "region eu-north-1");
  check(Head(307, {{"Location", "https://elsewhere.example/"}}), "", Code::kUnavailable, "307",
        "another endpoint");
  check(Head(416), Xml("InvalidRange"), Code::kUnsupported, "416 InvalidRange");
  // What is no word of S3's is not repeated.
  for (const char* code :
       {"s3cr3t", "a b", "", "Aé", "AnEndlessNameAnEndlessNameAnEndlessNameAnEndlessName"}) {
    check(Head(500), Xml(code), Code::kUnavailable, "500");
  }
  check(Head(500), "<Code>Unfinished", Code::kUnavailable, "500");
  check(Head(301, {{"x-amz-bucket-region", "s3cr3t/evil"}}), Xml("PermanentRedirect"),
        Code::kUnavailable, "301 PermanentRedirect");
}

}  // namespace
}  // namespace vr::origin
