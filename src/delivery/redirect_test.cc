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
