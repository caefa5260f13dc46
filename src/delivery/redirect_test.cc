#include "delivery/redirect.h"

#include <gtest/gtest.h>

#include "delivery/status.h"

namespace vr::delivery {
namespace {

Error Elsewhere(std::string location, std::string asked = {}, std::string path = {}) {
  Error error = Error(Code::kNotFound, "the source is elsewhere")
                    .WithReason("REDIRECT")
                    .WithFact("status", "301");
  if (!location.empty()) error.facts.emplace_back("location", std::move(location));
  if (!asked.empty()) {
    error.facts.emplace_back("asked", std::move(asked));
    error.facts.emplace_back("path", std::move(path));
  }
  return error;
}

std::string Mapped(std::string_view ours, std::string asked, std::string path) {
  return std::string(
      LocationOf(ForOurClients(Elsewhere("http://origin" + path, asked, path), ours)));
}

TEST(Redirect, APathAtTheOriginBecomesThePathOfOursThatLeadsThere) {
  EXPECT_EQ(Mapped("remote/a.mp4", "/a.mp4", "/b.mp4"), "/remote/b.mp4");
  EXPECT_EQ(Mapped("remote/x/a.mp4", "/videos/x/a.mp4", "/videos/y/b.mp4"), "/remote/y/b.mp4");
  EXPECT_EQ(Mapped("a.mp4", "/a.mp4", "/b.mp4"), "/b.mp4");
  EXPECT_EQ(Mapped("remote/a b.mp4", "/a%20b.mp4", "/c%20%3Fd.mp4"), "/remote/c%20%3Fd.mp4");
  EXPECT_EQ(Mapped("remote/aa.mp4", "/a.mp4", "/b.mp4"), "http://origin/b.mp4")
      << "half a segment is no common end";
  EXPECT_EQ(Mapped("remote/a.mp4", "/videos/a.mp4", "/films/a.mp4"), "http://origin/films/a.mp4")
      << "outside of what our path leads to";
}

TEST(Redirect, NoPathOfOursReadsLikeAnotherHost) {
  EXPECT_EQ(Mapped("a.mp4", "/a.mp4", "//evil.example/x.mp4"), "http://origin//evil.example/x.mp4");
  EXPECT_EQ(Mapped("a.mp4", "/a.mp4", "/%2Fevil.example/x.mp4"),
            "http://origin/%2Fevil.example/x.mp4");
  EXPECT_EQ(Mapped("r/a.mp4", "/a.mp4", "//x.mp4"), "/r//x.mp4");
}

class StaysWithinTest : public ::testing::Test {
 protected:
  static origin::OriginOptions Origin(std::string name, std::string matcher,
                                      std::vector<std::string> urls) {
    origin::OriginOptions options;
    options.name = std::move(name);
    options.matcher = std::move(matcher);
    options.capture_groups = {"path"};
    for (std::string& url : urls) {
      origin::SourceOptions source;
      source.type = origin::SourceType::kHttp;
      source.url = std::move(url);
      source.path = "${path}";
      source.redirects = origin::RedirectPolicy::kPass;
      options.sources.push_back(std::move(source));
    }
    return options;
  }
  bool Stays(std::string_view asked, std::string_view location) {
    std::vector<origin::OriginOptions> origins;
    origins.push_back(Origin("inner", "^/remote/inner/(.+)$", {"http://inner.example"}));
    origins.push_back(Origin("remote", "^/remote/(.+)$", {"http://o.example"}));
    origins.push_back(Origin("spare", "^/spare/(.+)$", {"http://a.example", "http://b.example"}));
    Snapshot config;
    config.origins = origin::OriginTable::Create(std::move(origins)).value();
    return StaysWithin(config, *config.origins->Match(asked), location);
  }
};

TEST_F(StaysWithinTest, WhereTheSameSourceAnswersAlone) {
  EXPECT_TRUE(Stays("/remote/a.mp4", "/remote/b.mp4"));
  EXPECT_TRUE(Stays("/remote/a.mp4", "/remote/deep/er%20/b.webm"));
  EXPECT_TRUE(Stays("/remote/inner/a.mp4", "/remote/inner/b.mp4"));
}

TEST_F(StaysWithinTest, NotWhereSomebodyElseMight) {
  for (const char* location :
       {"/remote/inner/b.mp4", "/spare/b.mp4", "/nowhere/b.mp4", "https://o.example/b.mp4", "",
        "/remote/b.html", "/remote/b", "/remote/%2e%2e/spare/b.mp4", "/remote/../spare/b.mp4",
        "/remote/b%zz.mp4", "/remote%2Finner/b.mp4"}) {
    EXPECT_FALSE(Stays("/remote/a.mp4", location)) << location;
  }
  EXPECT_FALSE(Stays("/remote/inner/a.mp4", "/remote/b.mp4"));
  EXPECT_FALSE(Stays("/spare/a.mp4", "/spare/b.mp4")) << "the other source may have another b.mp4";
}

TEST(Redirect, WhatLeadsAwayStaysAsItIs) {
  const Error away = ForOurClients(Elsewhere("https://cdn.example.com/b.mp4"), "remote/a.mp4");
  EXPECT_EQ(LocationOf(away), "https://cdn.example.com/b.mp4");
  EXPECT_EQ(StatusOf(away), 301);
}

TEST(Redirect, WhatMayNotBeToldIsAFailureOfTheSource) {
  const Error hidden = ForOurClients(Elsewhere("", "/videos/a.mp4", "/films/a.mp4"), "r/a.mp4");
  EXPECT_EQ(StatusOf(hidden), 502);
  EXPECT_EQ(LocationOf(hidden), "");
}

TEST(Redirect, TheVariantIsStillTheOneAskedForOnAPathOfOurs) {
  EXPECT_EQ(LocationFor("/remote/b.mp4", "w=640"), "/remote/b.mp4?w=640");
  EXPECT_EQ(LocationFor("/remote/b.mp4", ""), "/remote/b.mp4");
  EXPECT_EQ(LocationFor("https://cdn.example.com/b.mp4", "w=640"), "https://cdn.example.com/b.mp4");
}

TEST(Redirect, IsAnsweredAndRememberedAsItself) {
  const Error error = ForOurClients(Elsewhere("https://cdn.example.com/b.mp4"), "remote/a.mp4");
  cache::TtlOptions ttl;
  ttl.redirects = std::chrono::seconds(77);
  const http::Response response = ErrorResponse(error, ttl);
  EXPECT_EQ(response.status, 301);
  EXPECT_NE(response.fields.find("Cache-Control: public, max-age=77\r\n"), std::string::npos);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(response.body)) << "never a 200, no body";
  EXPECT_TRUE(IsRemembered(error, ttl));
  const auto form = RenderFailure(error);
  ASSERT_TRUE(form);
  EXPECT_EQ(form->status, 301);
  EXPECT_EQ(form->location, "https://cdn.example.com/b.mp4");
  EXPECT_EQ(form->body, "");
  ttl.redirects = std::chrono::seconds(0);
  EXPECT_FALSE(IsRemembered(error, ttl));
}

TEST(Redirect, OtherErrorsPassUnchanged) {
  const Error gone = Error(Code::kNotFound, "gone").WithReason("NOT_FOUND").WithFact("path", "x");
  EXPECT_EQ(ForOurClients(gone, "a.mp4").facts, gone.facts);
}

}  // namespace
}  // namespace vr::delivery
