#include "delivery/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/manual_clock.h"
#include "delivery/request_log.h"
#include "http/testing/make_request.h"
#include "io/testing/run_sync.h"

namespace vr::delivery {
namespace {

using http::Request;
using http::Response;
using http::testing::MakeRequest;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CappedCacheControl, NothingIsFreshLongerThanTheSignature) {
  const auto capped = [](std::string_view value, int age, int remaining) {
    return CappedCacheControl(value, seconds(age), seconds(remaining));
  };
  EXPECT_EQ(capped("public, max-age=86400", 0, 60), "public, max-age=60, must-revalidate");
  EXPECT_EQ(capped("max-age=30", 0, 60), "max-age=30, must-revalidate");
  EXPECT_EQ(capped("max-age=86400", 100, 60), "max-age=160, must-revalidate")
      << "freshness counts from the age on";
  EXPECT_EQ(capped("s-maxage=99, Max-Age=5", 0, 7), "s-maxage=7, Max-Age=5, must-revalidate");
  EXPECT_EQ(capped("max-age=86400, stale-while-revalidate=60, stale-if-error=9, immutable", 0, 5),
            "max-age=5, must-revalidate");
  EXPECT_EQ(capped("max-age=99, must-revalidate", 0, 5), "max-age=5, must-revalidate");
  EXPECT_EQ(capped("max-age=99", 0, -5), "max-age=0, must-revalidate");
  EXPECT_EQ(capped("max-age=\"99\"", 0, 5), "max-age=5, must-revalidate");
  EXPECT_EQ(capped("max-age=99999999999999999999", 0, 5), "max-age=5, must-revalidate");
  EXPECT_EQ(capped("max-age=x", 0, 5), "max-age=0, must-revalidate");
  EXPECT_EQ(capped("", 0, 5), "no-cache");
  EXPECT_EQ(capped("public", 0, 5), "public, no-cache");
  EXPECT_EQ(capped("private=\"a, max-age=9\", max-age=9", 0, 5),
            "private=\"a, max-age=9\", max-age=5, must-revalidate");
  EXPECT_EQ(capped("no-store", 0, 5), "no-store");
  EXPECT_EQ(capped("no-cache, max-age=9", 0, 5), "no-cache, max-age=5");
}

TEST(CapLifetime, WhereverTheFieldsAre) {
  Response response;
  response.fields = "Age: 10\r\nX-A: 1\r\n";
  response.shared_fields = std::make_shared<const std::string>(
      "ETag: \"x\"\r\ncache-control: max-age=100\r\nCDN-Cache-Control: max-age=9999\r\n");
  CapLifetime(response, seconds(5));
  EXPECT_EQ(response.fields, "Age: 10\r\nX-A: 1\r\nCache-Control: max-age=15, must-revalidate\r\n");
  EXPECT_EQ(*response.shared_fields, "ETag: \"x\"\r\n");
}

Response Applied(CorsOptions options, std::string_view lines, std::string fields = {}) {
  Response response;
  response.fields = std::move(fields);
  Cors(std::move(options)).Apply(http::testing::MakeGet(lines), response);
  return response;
}

TEST(CorsTest, AListIsMatchedAndVaries) {
  CorsOptions options;
  options.allow_origins = {"https://a.example", "https://*.b.example", "http://localhost:3000"};
  options.expose_headers = {"ETag"};
  for (const char* origin : {"https://a.example", "https://x.b.example", "https://x.y.b.example",
                             "http://localhost:3000"}) {
    const Response response = Applied(options, std::string("Origin: ") + origin);
    EXPECT_EQ(response.fields, std::string("Vary: Origin\r\nAccess-Control-Allow-Origin: ") +
                                   origin + "\r\nAccess-Control-Expose-Headers: ETag\r\n");
  }
  for (const char* origin :
       {"http://a.example", "https://a.example.evil", "https://b.example", "https://xb.example",
        "https://evil/.b.example", "https://a.example:8443", "null", "https://.b.example"}) {
    EXPECT_EQ(Applied(options, std::string("Origin: ") + origin).fields, "Vary: Origin\r\n")
        << origin;
  }
  EXPECT_EQ(Applied(options, "").fields, "Vary: Origin\r\n") << "a cache must know it depends";
}

TEST(CorsTest, AnyOriginIsAStarAndDoesNotVary) {
  CorsOptions options;
  options.allow_origins = {"*"};
  options.expose_headers = {};
  EXPECT_EQ(Applied(options, "Origin: https://a").fields, "Access-Control-Allow-Origin: *\r\n");
  EXPECT_EQ(Applied(options, "").fields, "Access-Control-Allow-Origin: *\r\n");
}

TEST(CorsTest, WhatAnOriginSaidItselfIsLeftAlone) {
  CorsOptions options;
  options.allow_origins = {"*"};
  options.resource_policy = "cross-origin";
  const std::string said = "access-control-allow-origin: https://own\r\n";
  EXPECT_EQ(Applied(options, "Origin: https://a", said).fields,
            said + "Cross-Origin-Resource-Policy: cross-origin\r\n");
}

TEST(CorsTest, OffAddsNothing) {
  EXPECT_TRUE(Cors(CorsOptions()).is_off());
  EXPECT_EQ(Applied(CorsOptions(), "Origin: https://a").fields, "");
}

TEST(CorsTest, OriginPatterns) {
  for (const char* good : {"*", "null", "https://a.example", "http://127.0.0.1:8080",
                           "http://[::1]:80", "https://*.a.example", "app-x+y://host"}) {
    EXPECT_TRUE(IsOriginPattern(good)) << good;
  }
  for (const char* bad : {"", "a.example", "https://", "https://a/", "https://a.*", "https://*",
                          "://a", "https://a b", "https://a\r\nX: y"}) {
    EXPECT_FALSE(IsOriginPattern(bad)) << bad;
  }
}

/// Says what it was asked.
class Echo final : public http::Handler {
 public:
  std::optional<Response> TryNow(const Request& request) override {
    seen.push_back("now " + std::string(request.target));
    client = request.client();
    is_tls = request.is_tls;
    if (waits) return std::nullopt;
    return Answer(request);
  }
  Task<Response> Handle(Context, const Request& request) override {
    seen.push_back("later " + std::string(request.target));
    co_return Answer(request);
  }
  void Finished(const Request& request, const Response&, const http::Sent&) override {
    seen.push_back("finished " + std::string(request.target));
  }
  Response Answer(const Request& request) const {
    Response response;
    response.Add("Cache-Control", "max-age=1000");
    if (!location.empty()) {
      response.Add("Location", location);
      auto note = std::make_shared<RequestNote>();
      note->is_redirect_within = stays_within;
      response.note = std::move(note);
    }
    response.SetBody(std::string(request.path) + "?" + std::string(request.query));
    return response;
  }
  std::vector<std::string> seen;
  std::string client;
  bool is_tls = false;
  bool waits = false;
  std::string location;
  bool stays_within = false;
};

class AccessGateTest : public ::testing::Test {
 protected:
  void Use(const AccessOptions& access, const CorsOptions& cors = {}) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->access = MakeAccessPolicy(access, cors).value();
    holder_.Set(std::move(snapshot));
  }
  Request Get(std::string_view target, std::string_view lines = {}) {
    return MakeRequest("GET " + std::string(target) + " HTTP/1.1\nHost: a\n" + std::string(lines));
  }
  std::string Signed(std::string_view target, int64_t expires) {
    return http::SignTarget(target, "k1", "secret", expires).value();
  }
  testing::ManualClock clock_{FromUnixMillis(1'000'000'000)};
  SnapshotHolder holder_{std::make_shared<const Snapshot>()};
  Echo echo_, admin_;
  AccessGate gate_{holder_, echo_, nullptr, clock_};
  AccessOptions signing_{.signing_required = true, .signing_keys = {{"k1", "secret"}}};
};

TEST_F(AccessGateTest, WithoutRulesEverythingPasses) {
  const Request request = Get("/a?vr-sig=x", "Origin: https://b");
  const auto answer = gate_.TryNow(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->fields, "Cache-Control: max-age=1000\r\n");
  EXPECT_FALSE(request.carried);
}

TEST_F(AccessGateTest, ASignatureGoesNoFurther) {
  Use(signing_);
  const Request request = Get(Signed("/v/a.mp4?w=2&h=1", 1'000'060));
  const auto answer = gate_.TryNow(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(answer->fields, HasSubstr("max-age=60, must-revalidate"));
  gate_.Finished(request, *answer, {});
  EXPECT_THAT(echo_.seen,
              ::testing::ElementsAre("now /v/a.mp4?h=1&w=2", "finished /v/a.mp4?h=1&w=2"));
}

TEST_F(AccessGateTest, ARedirectThatStaysWithinIsSignedAsTheRequestWas) {
  signing_.signing_keys["k2"] = "other";
  Use(signing_);
  echo_.location = "/v/b.mp4?w=2&h=1";
  const auto location = [&](const std::string& target) {
    const Request request = Get(target);
    const auto answer = gate_.TryNow(request);
    EXPECT_EQ(answer->status, 200);
    const size_t at = answer->fields.find("Location: ") + 10;
    return answer->fields.substr(at, answer->fields.find("\r\n", at) - at);
  };
  echo_.stays_within = true;
  EXPECT_EQ(location(Signed("/v/a.mp4?w=2&h=1", 1'000'060)), Signed(echo_.location, 1'000'060));
  EXPECT_EQ(location(http::SignTarget("/v/a.mp4", "k2", "other", std::nullopt).value()),
            http::SignTarget(echo_.location, "k2", "other", std::nullopt).value());
  echo_.stays_within = false;
  EXPECT_EQ(location(Signed("/v/a.mp4", 1'000'060)), echo_.location);
  signing_.signing_required = false;
  Use(signing_);
  echo_.stays_within = true;
  EXPECT_EQ(location("/v/a.mp4"), echo_.location) << "nobody showed a signature";
}

TEST_F(AccessGateTest, WhatIsAnsweredLaterIsSignedTooWhileTheKeyIsThere) {
  Use(signing_);
  echo_.waits = true;
  echo_.location = "/v/b.mp4";
  echo_.stays_within = true;
  const auto answer_after = [&](const AccessOptions& reloaded) {
    const Request request = Get(Signed("/v/a.mp4", 1'000'060));
    EXPECT_FALSE(gate_.TryNow(request));
    Use(reloaded);
    return io::testing::RunSync(gate_.Handle(Context(), request));
  };
  EXPECT_THAT(answer_after(signing_).fields,
              HasSubstr("Location: " + Signed("/v/b.mp4", 1'000'060) + "\r\n"));
  const AccessOptions rotated{.signing_required = true, .signing_keys = {{"k9", "new"}}};
  EXPECT_THAT(answer_after(rotated).fields, HasSubstr("Location: /v/b.mp4\r\n"));
}

TEST_F(AccessGateTest, WhatCameThroughTlsStillDidWithoutItsSignature) {
  Use(signing_);
  Request request = Get(Signed("/v/a.mp4", 1'000'060));
  request.is_tls = true;
  ASSERT_TRUE(gate_.TryNow(request));
  EXPECT_TRUE(echo_.is_tls);
}

TEST_F(AccessGateTest, RefusalsSayWhyAndReachNobody) {
  Use(signing_);
  const auto code = [&](const std::string& target) {
    const Request request = Get(target);
    const auto answer = gate_.TryNow(request);
    EXPECT_EQ(answer->status, 403);
    EXPECT_THAT(answer->fields, HasSubstr("no-store"));
    return dynamic_cast<const RequestNote*>(answer->note.get())->reason;
  };
  EXPECT_EQ(code("/v/a.mp4"), "SIGNATURE_REQUIRED");
  EXPECT_EQ(code(Signed("/v/a.mp4", 1'000'000)), "SIGNATURE_EXPIRED");
  EXPECT_EQ(code(Signed("/v/a.mp4", 1'000'001) + "x"), "SIGNATURE_INVALID");
  EXPECT_TRUE(echo_.seen.empty());
  for (const char* open : {"/healthz", "/readyz", "/sse/job/1"}) {
    const Request request = Get(open);
    EXPECT_EQ(gate_.TryNow(request)->status, 200) << open;
  }
}

TEST_F(AccessGateTest, RefusalsOfMediaUrlsCarryTheirNumber) {
  Use(signing_);
  const std::string media = "/cdn-cgi/media/width=10/v/a.mp4";
  for (const std::string& target : {media, Signed(media, 1'000'000), Signed(media, 1'000'001) + "x",
                                    media + "?%zz", std::string("/cdn-cgi/media")}) {
    const Request request = Get(target);
    const auto answer = gate_.TryNow(request);
    EXPECT_GE(answer->status, 400);
    EXPECT_THAT(answer->fields, HasSubstr("Cf-Resized: err=9406\r\n")) << target;
  }
  for (const char* other : {"/v/a.mp4", "/cdn-cgi/mediaX/width=10/v/a.mp4"}) {
    const Request request = Get(other);
    EXPECT_THAT(gate_.TryNow(request)->fields, Not(HasSubstr("Cf-Resized"))) << other;
  }
  auto off = std::make_shared<Snapshot>();
  off->access = MakeAccessPolicy(signing_, {}).value();
  off->delivery.media_urls.enabled = false;
  holder_.Set(std::move(off));
  const Request request = Get(media);
  EXPECT_THAT(gate_.TryNow(request)->fields, Not(HasSubstr("Cf-Resized"))) << "a path like others";
}

TEST_F(AccessGateTest, WhatIsNotRequiredMustStillHold) {
  signing_.signing_required = false;
  Use(signing_);
  const Request plain = Get("/a?w=1");
  EXPECT_EQ(gate_.TryNow(plain)->status, 200);
  const Request wrong = Get("/a?w=1&vr-sig=x&vr-key=k1");
  EXPECT_EQ(gate_.TryNow(wrong)->status, 403);
  const Request hidden = Get("/a?w=1&%76r-sig=x&vr-key=k1");
  EXPECT_EQ(gate_.TryNow(hidden)->status, 403);
}

TEST_F(AccessGateTest, OnlyTrustedProxiesAreBelieved) {
  Use({.trusted_proxies = {"127.0.0.0/8"}});
  const Request request = Get("/a", "X-Forwarded-For: 6.6.6.6, 1.2.3.4");
  gate_.TryNow(request);
  EXPECT_EQ(echo_.client, "1.2.3.4");
  Use({.trusted_proxies = {"10.0.0.0/8"}});
  const Request direct = Get("/a", "X-Forwarded-For: 1.2.3.4");
  gate_.TryNow(direct);
  EXPECT_EQ(echo_.client, "127.0.0.1");
}

TEST_F(AccessGateTest, AdminRoutesGoToTheAdminHandler) {
  AccessGate gate(holder_, echo_, &admin_, clock_);
  Use(signing_);
  for (const char* path : {"/admin", "/admin/purge", "/client/v4/x"}) {
    const Request request = Get(path);
    const auto answer = gate.TryNow(request);
    ASSERT_TRUE(answer);
    gate.Finished(request, *answer, {});
  }
  EXPECT_EQ(admin_.seen.size(), 6u);
  EXPECT_TRUE(echo_.seen.empty());
  for (const char* path : {"/administration", "/client/v40", "/Admin"}) {
    const Request request = Get(path);
    EXPECT_EQ(gate.TryNow(request)->status, 403) << path;
  }
}

TEST_F(AccessGateTest, PreflightsAreAnsweredWithoutASignature) {
  Use(signing_, {.allow_origins = {"https://a.example"}});
  const Request request = MakeRequest(
      "OPTIONS /v/a.mp4?w=1 HTTP/1.1\nHost: a\nOrigin: https://a.example\n"
      "Access-Control-Request-Method: GET\nAccess-Control-Request-Headers: range, x-y");
  const auto answer = gate_.TryNow(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  EXPECT_THAT(answer->fields, HasSubstr("Access-Control-Allow-Origin: https://a.example\r\n"));
  EXPECT_THAT(answer->fields, HasSubstr("Access-Control-Allow-Headers: range, x-y\r\n"));
  EXPECT_THAT(answer->fields, HasSubstr("Access-Control-Allow-Methods: GET, HEAD\r\n"));
  const Request other = MakeRequest(
      "OPTIONS /v/a.mp4 HTTP/1.1\nHost: a\nOrigin: https://evil.example\n"
      "Access-Control-Request-Method: GET");
  EXPECT_THAT(gate_.TryNow(other)->fields, Not(HasSubstr("Access-Control-Allow")));
  const Request refused = Get("/v/a.mp4", "Origin: https://a.example");
  EXPECT_THAT(gate_.TryNow(refused)->fields,
              HasSubstr("Access-Control-Allow-Origin: https://a.example"))
      << "a script may read why";
}

TEST(AccessPolicyTest, IsNullWhenNothingIsAsked) {
  EXPECT_EQ(MakeAccessPolicy({}, {}).value(), nullptr);
  EXPECT_NE(MakeAccessPolicy({.signing_keys = {{"a", "b"}}}, {}).value(), nullptr);
  EXPECT_NE(MakeAccessPolicy({.productions = {.per_minute = 1}}, {}).value(), nullptr);
  EXPECT_NE(MakeAccessPolicy({}, {.resource_policy = "same-site"}).value(), nullptr);
  EXPECT_FALSE(MakeAccessPolicy({.signing_required = true}, {}).ok());
  EXPECT_FALSE(MakeAccessPolicy({.trusted_proxies = {"x"}}, {}).ok());
}

}  // namespace
}  // namespace vr::delivery
