#include "http/aws_sigv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "http/ascii.h"

namespace vr::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// 2013-05-24T00:00:00Z, the day of the examples in the Amazon S3 API Reference.
const WallTime kAmazonDay = FromUnixMillis(1'369'353'600'000);
/// 2026-02-03T04:05:06Z.
const WallTime kOurDay = FromUnixMillis(1'770'091'506'000);

AwsSigner Amazon() {
  return AwsSigner({"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""},
                   "us-east-1");
}
AwsSigner Ours(std::string token = {}) {
  return AwsSigner({"AKIAEXAMPLE00000TEST", "s3cr3t/Key+With=Specials", std::move(token)},
                   "eu-west-1");
}

AwsRequest AmazonRequest(std::string path) {
  AwsRequest request;
  request.host = "examplebucket.s3.amazonaws.com";
  request.path = std::move(path);
  return request;
}
AwsRequest OurRequest(const std::string& key) {
  AwsRequest request;
  request.host = "s3.eu-west-1.example:8443";
  request.path = "/bu.cket/" + key;
  return request;
}

std::string Value(const FieldList& fields, std::string_view name) {
  for (const auto& [n, v] : fields) {
    if (EqualsNoCase(n, name)) return v;
  }
  return "(none)";
}

/// What stands behind "Signature=".
std::string SignatureIn(const std::string& text) {
  const size_t at = text.rfind("Signature=");
  return at == std::string::npos ? "(none)" : text.substr(at + 10);
}

// The signatures that Amazon publishes with its examples.
TEST(AwsSigV4, PublishedSignaturesOfS3ComeOut) {
  AwsRequest get = AmazonRequest("/test.txt");
  get.fields = {{"Range", "bytes=0-9"}};
  const FieldList fields = Amazon().SignFields(get, kAmazonDay);
  EXPECT_EQ(Value(fields, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature="
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(Value(fields, "x-amz-date"), "20130524T000000Z");
  EXPECT_EQ(Value(fields, "x-amz-content-sha256"), AwsSigner::kNoBody);
  EXPECT_EQ(Value(fields, "x-amz-security-token"), "(none)");

  AwsRequest put = AmazonRequest("/test$file.text");
  put.method = "PUT";
  put.fields = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  EXPECT_EQ(
      SignatureIn(Value(
          Amazon().SignFields(put, kAmazonDay,
                              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
          "Authorization")),
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");

  AwsRequest lifecycle = AmazonRequest("/");
  lifecycle.query = {{"lifecycle", ""}};
  EXPECT_EQ(SignatureIn(Value(Amazon().SignFields(lifecycle, kAmazonDay), "Authorization")),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");

  AwsRequest list = AmazonRequest("/");
  list.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_EQ(SignatureIn(Value(Amazon().SignFields(list, kAmazonDay), "Authorization")),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");

  EXPECT_EQ(Amazon().Presign(AmazonRequest("/test.txt"), kAmazonDay, std::chrono::seconds(86400)),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
            "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
            "X-Amz-SignedHeaders=host&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

// Signed with botocore 1.29 (S3SigV4Auth, S3SigV4QueryAuth) for comparison.
TEST(AwsSigV4, KeysWithOddCharactersAreSignedAsBotocoreSignsThem) {
  const struct {
    const char *key, *encoded, *header, *presigned;
  } kCases[] = {
      {R"x(plain.mp4)x", "plain.mp4",
       "cc26a5534d5166ef330e64138424c32fa395c04a9307ddc700db5dccc516c571",
       "6f5683cf871a5c6de71685a16eac8714d23381fe95e675944218a82338203e98"},
      {R"x(a b+c.mp4)x", "a%20b%2Bc.mp4",
       "635d18950524432e4f7e09c5e0d0fbab5b45a8e05011f4a2ebd1b7fd00eefc32",
       "9296e025ff63d64ec214d143f4f6b183d1eb9088c89e09bdf11936c273e06f41"},
      {R"x(100%.mp4)x", "100%25.mp4",
       "b0e3f7ab31e5f55889fa98d0c913ffbc80c6f13f6d1e9f5fa79e4f12f3d1379e",
       "1376eb5c071e69cba95bbb75b13dbffcd11a5236960ec7774706d2d281f2b461"},
      {R"x(%2541)x", "%252541", "e58ceaf950519b09c89f1e68d84bc1705def5352a6e5df27bbe88d434dedc474",
       "28587eefef42fd268e30df22f99e353890a66e09b3c1e0f1007bfd53c408393d"},
      {R"x(~tilde-_.)x", "~tilde-_.",
       "5cf845915803134cc7ed3191270ad619fe0f195bc934c1122db2d69449aeeebe",
       "11f966cce7886c8d63390d500c3cf765139cb5bcfc641ee02a76cf09cdf6ed9d"},
      {R"x(k=v:w&x,y;z@!$'()*)x", "k%3Dv%3Aw%26x%2Cy%3Bz%40%21%24%27%28%29%2A",
       "d3dc7e50db173173fad579fdcb4aafac3ff93f41310518d44cfa8a12f430aace",
       "cacf7801a6ddb30d175b1128f21f6b5b2ebb44a92d4b832124e8826ac0ff6f78"},
      {R"x(?#[])x", "%3F%23%5B%5D",
       "7df6a4a287e6a0b2a1bb68142cf5b5954cc015a7f7461d23015cb9179616666a",
       "959518ceb8560f66afea670705de4744755e8a4c65a143053ba5113967bbc5be"},
      {R"x(é€🎬.mp4)x", "%C3%A9%E2%82%AC%F0%9F%8E%AC.mp4",
       "edb0739022af773c02ca288b425e736d711011944d2131ff351f415fc9ae888c",
       "2e232fcdbd82b02761f1707952455d1898e72d346dd897af5b11b8582d3601f7"},
      {R"x(a//b)x", "a//b", "e67ee9866a77942aa84fd61990d5e90f8a422d7910c6552fc386915342913d27",
       "13e85d54cfc4a6f3da4dd7e22df8828a18b7ae725a85cd3c831ec03a3f7c9159"},
      {R"x(/lead)x", "/lead", "dc30f884ec6870bba5e63ba653e4b8ceca3eeef60753d3e6495a8297a8d42f5b",
       "5f8a5fd7191130c6e85ba8ec77b2a003b3813ea4d5cf86eb7dbd061ed3fcb398"},
      {R"x(trail/)x", "trail/", "31cbb9c357b3fa75909bb4764eec0b6a29b30cf7852d7018d975eb4aa90cbbf9",
       "553962594454a6b2462f07e24e8d4d08bc6c422f3fa4546350bb4e08eaf22ee5"},
      {R"x(video:videos/s.mp4:w=640:h=360:q=high)x",
       "video%3Avideos/s.mp4%3Aw%3D640%3Ah%3D360%3Aq%3Dhigh",
       "0d8495fa1c9f2a08e6058a2ad027df36a755abf88bd57d2c7fb956d0d11d2c49",
       "991eb279c90027efeff7229fdcfd4badaa0ff626fe2620f2b9900dd852bc7880"},
      {R"x("<>\^`{|})x", "%22%3C%3E%5C%5E%60%7B%7C%7D",
       "442b3f1154179acf5b7adbbb1a1e52149f56de2dd50a26c9b0ca5060965a57c1",
       "838d9411ad43fe0cd6c0bf7a5c34d4fa68bcd76885a08bdb5daee3305b0fe6b2"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(AwsSigner::EncodePath(c.key), c.encoded);
    const FieldList fields = Ours().SignFields(OurRequest(c.key), kOurDay);
    EXPECT_EQ(SignatureIn(Value(fields, "Authorization")), c.header) << c.key;
    EXPECT_EQ(SignatureIn(Ours().Presign(OurRequest(c.key), kOurDay, std::chrono::seconds(900))),
              c.presigned)
        << c.key;
  }
}

TEST(AwsSigV4, ASessionTokenIsPartOfWhatIsSigned) {
  const std::string token = "tok/en+==";
  const FieldList fields = Ours(token).SignFields(OurRequest("plain.mp4"), kOurDay);
  EXPECT_EQ(Value(fields, "x-amz-security-token"), token);
  EXPECT_EQ(Value(fields, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE00000TEST/20260203/eu-west-1/s3/aws4_request, "
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature="
            "62c3e0c7990367b1f279dc133dbfd940242fffbbd3a6989391f8bfe638708327");
  EXPECT_EQ(Ours(token).Presign(OurRequest("plain.mp4"), kOurDay, std::chrono::seconds(900)),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE00000TEST%2F20260203%2F"
            "eu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20260203T040506Z&X-Amz-Expires=900&"
            "X-Amz-Security-Token=tok%2Fen%2B%3D%3D&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "535917b2544300de8ae31835c5e7f98281a6d64d4dbab5411331d7c3ccb9dd43");
}

TEST(AwsSigV4, FieldsAreSortedByNameAndTheirSpacesCollapsed) {
  AwsRequest request = OurRequest("plain.mp4");
  request.method = "PUT";
  request.query = {
      {"x-id", "~"}, {"uploads", ""}, {"prefix", "a b/"}, {"prefix", "A"}, {"list-type", "2"}};
  // '-' sorts before ':', so whole lines would sort the other way round.
  request.fields = {{"x-amz-meta-vt-b", "  two   inner \t spaces "},
                    {"X-Amz-Meta-VT", "1"},
                    {"Content-Type", "video/mp4"}};
  EXPECT_EQ(SignatureIn(Value(Ours().SignFields(request, kOurDay), "Authorization")),
            "f9c9f0869e972748aaec1c4299ccd311529f146fe72e0dd3759427d585f8f791");
  EXPECT_EQ(
      AwsSigner::CanonicalRequest(
          "GET", "/a b", AwsSigner::EncodeQuery({{"b", "2"}, {"a-", ""}, {"a", "1"}, {"a", "+"}}),
          {{"X-B", " b  b "}, {"host", "h"}, {"X-A-1", "1"}, {"X-A", "x"}, {"x-a", "y"}}, "H"),
      "GET\n/a%20b\na=%2B&a=1&a-=&b=2\nhost:h\nx-a:x,y\nx-a-1:1\nx-b:b b\n\n"
      "host;x-a;x-a-1;x-b\nH");
}

TEST(AwsSigV4, EverythingThatIsSignedChangesTheSignature) {
  const auto sign = [](const AwsSigner& signer, const AwsRequest& request, WallTime now) {
    return SignatureIn(Value(signer.SignFields(request, now), "Authorization"));
  };
  const AwsRequest request = OurRequest("a");
  std::set<std::string> seen = {sign(Ours(), request, kOurDay)};
  EXPECT_EQ(sign(Ours(), request, kOurDay), *seen.begin());
  AwsRequest other = request;
  other.method = "HEAD";
  seen.insert(sign(Ours(), other, kOurDay));
  other = request;
  other.host = "s3.eu-west-1.example";
  seen.insert(sign(Ours(), other, kOurDay));
  other = request;
  other.query = {{"a", ""}};
  seen.insert(sign(Ours(), other, kOurDay));
  seen.insert(sign(Ours("token"), request, kOurDay));
  seen.insert(sign(Ours(), request, kOurDay + std::chrono::seconds(1)));
  seen.insert(
      sign(AwsSigner({"AKIAEXAMPLE00000TEST", "another", ""}, "eu-west-1"), request, kOurDay));
  seen.insert(sign(AwsSigner({"AKIAEXAMPLE00000TEST", "s3cr3t/Key+With=Specials", ""}, "eu-west-2"),
                   request, kOurDay));
  EXPECT_EQ(seen.size(), 8u);
  for (const auto& [name, value] : Ours("the-token").SignFields(request, kOurDay))
    EXPECT_THAT(value, Not(HasSubstr("s3cr3t")));
}

}  // namespace
}  // namespace vr::http
