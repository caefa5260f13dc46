#include "http/url_signature.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

const SigningKeys kKeys{{"k1", "secret-one"}, {"k2", "secret-two"}};
constexpr int64_t kNow = 1'700'000'000;

std::string Split(const std::string& target, std::string* query) {
  const size_t mark = target.find('?');
  *query = target.substr(mark + 1);
  return target.substr(0, mark);
}

std::string Verdict(const std::string& target, int64_t now = kNow,
                    const SigningKeys& keys = kKeys) {
  std::string query;
  const std::string path = Split(target, &query);
  const Result<VerifiedUrl> verified = VerifyUrl(path, query, keys, now);
  return verified.ok() ? "ok " + verified->query : verified.error().reason;
}

TEST(UrlSignature, TheCanonicalQueryIsSortedAndStrictlyEncoded) {
  EXPECT_EQ(CanonicalQuery("").value(), "");
  EXPECT_EQ(CanonicalQuery("w=640&h=360").value(), "h=360&w=640");
  EXPECT_EQ(CanonicalQuery("b=2&a=3&a=1&a=2").value(), "a=1&a=2&a=3&b=2");
  EXPECT_EQ(CanonicalQuery("a&b=&&c=x").value(), "a=&b=&c=x");
  EXPECT_EQ(CanonicalQuery("q=a+b%20c%2bd").value(), "q=a%20b%20c%2Bd");
  EXPECT_EQ(CanonicalQuery("t=-._~!*'()%7e").value(), "t=-._~%21%2A%27%28%29~");
  EXPECT_EQ(CanonicalQuery("%77=1&w%3d=2").value(), "w=1&w%3D=2");
  EXPECT_EQ(CanonicalQuery("n=\xc3\xa9").value(), "n=%C3%A9");
  EXPECT_EQ(CanonicalQuery("w=1&vr-sig=x&vr-key=k&vr-exp=5").value(), "vr-exp=5&vr-key=k&w=1");
  EXPECT_EQ(CanonicalQuery("w=1&vr-sig=x&vr-key=k&vr-exp=5", false).value(), "w=1");
  EXPECT_FALSE(CanonicalQuery("w=%zz").ok());
}

// Computed with Python's hmac and base64 modules (tests/e2e/test_signing.py does it again).
TEST(UrlSignature, GoldenVectors) {
  EXPECT_EQ(SignatureOf("", "key"), "XV0TlWPJW1lnub2ajJsjOp3ttFByeUzSMtwbdIMmB9A");
  EXPECT_EQ(
      SignTarget("/videos/a.mp4?width=640&format=webm", "k1", "secret-one", 1'700'003'600).value(),
      "/videos/"
      "a.mp4?format=webm&vr-exp=1700003600&vr-key=k1&width=640&vr-sig="
      "4LYZTbnHNONYO3qEbVSZw3TtDJ6uhXx3cihdt10QYZc");
  EXPECT_EQ(SignTarget("/videos/a%20b.mp4", "k2", "secret-two", std::nullopt).value(),
            "/videos/a%20b.mp4?vr-key=k2&vr-sig=I1Ger3mlE_GHxFRpRGOLbRVCFzRBsDb2mtg5xaDcgMQ");
}

TEST(UrlSignature, WhatIsSignedVerifies) {
  for (const char* target :
       {"/a.mp4", "/a.mp4?", "/a.mp4?w=1", "/a.mp4?w=1&w=2&x=%26%3d+y", "/%2e/a%2Fb.mp4?q",
        "/cdn-cgi/media/width=3,mode=frame/https://e.example/a.mp4"}) {
    const auto is_signed = SignTarget(target, "k1", "secret-one", kNow + 1);
    ASSERT_TRUE(is_signed.ok()) << target;
    EXPECT_EQ(Verdict(*is_signed).substr(0, 2), "ok") << *is_signed;
    EXPECT_EQ(Verdict(*is_signed, kNow + 1), "SIGNATURE_EXPIRED");
    EXPECT_EQ(Verdict(*is_signed, kNow, {{"k1", "other"}}), "SIGNATURE_INVALID");
    EXPECT_EQ(Verdict(*is_signed, kNow, {{"k2", "secret-one"}}), "SIGNATURE_INVALID");
    EXPECT_EQ(Verdict(*is_signed, kNow, {}), "SIGNATURE_INVALID");
    const auto forever = SignTarget(*is_signed, "k2", "secret-two", std::nullopt);
    EXPECT_EQ(Verdict(*forever, kNow * 2).substr(0, 2), "ok") << *forever;
  }
}

TEST(UrlSignature, TheQueryThatComesOutIsTheOneThatWasSigned) {
  const std::string made = SignTarget("/a.mp4?w=2&w=1&h=3", "k1", "secret-one", kNow + 9).value();
  EXPECT_EQ(Verdict(made), "ok h=3&w=1&w=2");
  // Whoever changes the order of repeated names changes nothing.
  std::string query;
  const std::string path = Split(made, &query);
  const std::string turned =
      "w=2&w=1&" + query.substr(0, query.find("&w=1&w=2")) + query.substr(query.find("&vr-sig"));
  EXPECT_EQ(Verdict(path + "?" + turned), "ok h=3&w=1&w=2") << turned;
}

TEST(UrlSignature, AnyChangeIsRefused) {
  const std::string made = SignTarget("/v/a.mp4?w=64", "k1", "secret-one", kNow + 9).value();
  const size_t query = made.find('?') + 1;
  for (size_t i = 1; i < made.size(); ++i) {
    if (i + 1 == query) continue;
    std::string changed = made;
    changed[i] = changed[i] == 'x' ? 'y' : 'x';
    EXPECT_NE(Verdict(changed).substr(0, 2), "ok") << changed;
  }
  for (const char* more : {"&h=1", "&vr-exp=9999999999", "&vr-key=k2", "&vr-sig=", "&=", "&x"}) {
    EXPECT_EQ(Verdict(made + more), "SIGNATURE_INVALID") << more;
  }
  EXPECT_EQ(Verdict(made + "&"), "ok w=64") << "an empty piece says nothing";
  EXPECT_EQ(Verdict(made.substr(0, made.size() - 1)), "SIGNATURE_INVALID");
  EXPECT_EQ(Verdict(made + "="), "SIGNATURE_INVALID") << "one spelling of a signature only";
  EXPECT_EQ(Verdict("/v/a.mp4?w=64"), "SIGNATURE_REQUIRED");
  EXPECT_EQ(Verdict("/v/a.mp4?w=64&vr-key=k1"), "SIGNATURE_INVALID");
  EXPECT_EQ(Verdict("/v/a.mp4?w=64&vr-exp=1"), "SIGNATURE_INVALID");
  EXPECT_EQ(Verdict("/v/a.mp4?w=%zz&vr-sig=x"), "INVALID_URL");
}

TEST(UrlSignature, AnExpiryThatIsNoTimeIsRefusedAlthoughSigned) {
  for (const char* expiry : {"", "-1", "1e9", "99999999999999999999", "1700000009%20"}) {
    const std::string query =
        CanonicalQuery(std::string("vr-exp=") + expiry + "&vr-key=k1").value();
    const std::string sig = SignatureOf(StringToSign("/a.mp4", query), "secret-one");
    EXPECT_EQ(Verdict("/a.mp4?" + query + "&vr-sig=" + sig), "SIGNATURE_INVALID") << expiry;
  }
}

TEST(UrlSignature, OurNamesAreFoundInAnySpelling) {
  EXPECT_FALSE(HasSignature(""));
  EXPECT_FALSE(HasSignature("w=1&vr=2&xvr-sig=3&sig=%41"));
  EXPECT_TRUE(HasSignature("w=1&vr-sig=3"));
  EXPECT_TRUE(HasSignature("vr-exp"));
  EXPECT_TRUE(HasSignature("%76r-key=1"));
  EXPECT_TRUE(HasSignature("vr%2dsig=1"));
}

TEST(UrlSignature, OnlyTargetsAreSigned) {
  for (const char* target : {"", "a.mp4", "http://e.example/a", "/a b", "/a#b", "/a?x=%z"}) {
    const auto made = SignTarget(target, "k", "s", std::nullopt);
    ASSERT_FALSE(made.ok()) << target;
    EXPECT_EQ(made.error().reason, "INVALID_URL");
  }
}

}  // namespace
}  // namespace vr::http
