#include "http/location.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

constexpr char kAsked[] = "http://origin:8000/videos/a%20b.mp4?token=x";

TEST(Location, IsResolvedAgainstWhatWasAsked) {
  for (const char* reference :
       {"c.mp4", "/videos/c.mp4", "//origin:8000/videos/c.mp4", "http://ORIGIN:8000/videos/c.mp4",
        "./x/../c.mp4", "http://user:secret@origin:8000/videos/c.mp4#part"}) {
    const auto redirect = ReadRedirect(kAsked, reference);
    ASSERT_TRUE(redirect) << reference;
    EXPECT_TRUE(redirect->is_other_path) << reference;
    EXPECT_EQ(redirect->asked_path, "/videos/a%20b.mp4");
    EXPECT_EQ(redirect->path, "/videos/c.mp4") << reference;
  }
  for (const char* same_path_or_not_ours : {"c.mp4?v=2", "a%20b.mp4", "https://origin/c.mp4"}) {
    EXPECT_FALSE(ReadRedirect(kAsked, same_path_or_not_ours)->is_other_path);
  }
}

TEST(Location, OfAnotherPlaceIsAbsolute) {
  const auto away = ReadRedirect(kAsked, "https://user:secret@cdn.example.com/c.mp4?v=2#end");
  ASSERT_TRUE(away);
  EXPECT_FALSE(away->is_other_path);
  EXPECT_FALSE(away->is_private);
  EXPECT_EQ(away->url, "https://cdn.example.com/c.mp4?v=2");
  EXPECT_FALSE(ReadRedirect(kAsked, "http://origin:8001/c.mp4")->is_other_path) << "port";
}

TEST(Location, SaysWhetherItNamesAPlaceInside) {
  for (const char* inside : {"http://127.0.0.1/a", "http://10.1.2.3/a", "http://[::1]:80/a",
                             "http://localhost/a", "http://x.localhost/a", "http://169.254.1.1/"}) {
    const auto redirect = ReadRedirect(kAsked, inside);
    ASSERT_TRUE(redirect) << inside;
    EXPECT_TRUE(redirect->is_private) << inside;
  }
  EXPECT_FALSE(ReadRedirect(kAsked, "http://93.184.216.34/a")->is_private);
}

TEST(Location, NothingButHttpIsPassedOn) {
  for (const char* bad :
       {"javascript:alert(1)", "file:///etc/passwd", "ftp://x/y", "http://", "data:text/html,x"}) {
    EXPECT_FALSE(ReadRedirect(kAsked, bad)) << bad;
  }
}

TEST(Location, WithoutAHostTheFirstSegmentIsOneAndIsLookedUpLikeAnyName) {
  // As browsers read it, too. What comes of it depends on the name service.
  const auto parts = ResolveUrl(kAsked, "https:///a");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->host, "a");
  EXPECT_EQ(ReadRedirect(kAsked, "https:///a")->url, "https://a/");
}

TEST(Location, FromHttpsToHttpIsADowngrade) {
  const auto parts = [](const char* url) { return *ResolveUrl({}, url); };
  EXPECT_TRUE(IsDowngrade(parts("https://a/x"), parts("http://a/x")));
  EXPECT_TRUE(IsDowngrade(parts("HTTPS://a/x"), parts("http://b/x")));
  EXPECT_FALSE(IsDowngrade(parts("http://a/x"), parts("https://a/x")));
  EXPECT_FALSE(IsDowngrade(parts("https://a/x"), parts("https://b/x")));
  EXPECT_FALSE(IsDowngrade(parts("http://a/x"), parts("http://b/x")));
}

TEST(Location, CannotBreakAFieldLine) {
  for (const char* odd : {"/a b.mp4", "/a\tb", "/\xc3\xa9.mp4", "/a\r\nSet-Cookie: x"}) {
    const auto redirect = ReadRedirect(kAsked, odd);
    if (!redirect) continue;  // refused is fine too
    for (const std::string& text : {redirect->url, redirect->path}) {
      for (const char c : text) EXPECT_TRUE(c > ' ' && c < 0x7f) << odd << " -> " << text;
    }
  }
}

}  // namespace
}  // namespace vr::http
