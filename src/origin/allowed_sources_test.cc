#include "origin/allowed_sources.h"

#include <gtest/gtest.h>

namespace vr::origin {
namespace {

TEST(AllowedSources, Entries) {
  for (const char* good :
       {"example.com", "*.example.com", "example.com:8443", "example.com/videos",
        "*.example.com:80/a/b/", "http://example.com", "https://example.com", "http://*.x.y",
        "http://127.0.0.1:9000/v", "[::1]:80", "http://[2001:db8::1]", "EXAMPLE.com"}) {
    EXPECT_TRUE(AllowedSources::IsEntry(good)) << good;
  }
  for (const char* bad :
       {"", "*", "*.", "a.*", "*.*.com", "example.com:", "example.com:x", "example.com:0",
        "ftp://example.com", "user@example.com", "a b", "example.com/..", "example.com/%2e%2e/a",
        "example.com?x", "example.com/a*", ".example.com", "example.com.", "[::1", "a:1:2"}) {
    EXPECT_FALSE(AllowedSources::IsEntry(bad)) << bad;
  }
}

TEST(AllowedSources, HostPortSchemeAndPath) {
  const AllowedSources list({"example.com", "*.cdn.example", "files.example/videos/a",
                             "port.example:8443", "http://plain.example", "no good"});
  struct Row {
    const char* url;
    bool allowed;
  };
  const Row rows[] = {
      {"https://example.com/a.mp4", true},
      {"https://EXAMPLE.com/a.mp4", true},
      {"https://example.com./a.mp4", true},
      {"https://example.com:443/a.mp4", true},
      {"https://example.com:8443/a.mp4", false},
      {"http://example.com/a.mp4", false},
      {"https://www.example.com/a.mp4", false},
      {"https://example.com.evil/a.mp4", false},
      {"https://notexample.com/a.mp4", false},
      {"https://evil/example.com", false},
      {"https://example.com@evil/a.mp4", false},
      {"https://evil#example.com", false},
      {"https://evil?example.com", false},
      {"https://x.cdn.example/a.mp4", true},
      {"https://y.x.cdn.example/a.mp4", true},
      {"https://cdn.example/a.mp4", false},
      {"https://evilcdn.example/a.mp4", false},
      {"https://files.example/videos/a", true},
      {"https://files.example/videos/a/b.mp4?x", true},
      {"https://files.example/videos/ab.mp4", false},
      {"https://files.example/videos/a/../b.mp4", false},
      {"https://files.example/videos/a/%2e%2e/b.mp4", false},
      {"https://files.example/videos/a/%252e%252e/b.mp4", false},
      {"https://files.example/videos/%61/b.mp4", true},
      {"https://files.example/", false},
      {"https://port.example:8443/a", true},
      {"https://port.example/a", false},
      {"http://plain.example/a", true},
      {"https://plain.example/a", true},
      {"http://plain.example:81/a", false},
      {"ftp://example.com/a", false},
      {"file:///example.com/a", false},
      {"//example.com/a", false},
      {"", false},
  };
  for (const Row& row : rows) EXPECT_EQ(list.AllowUrl(row.url), row.allowed) << row.url;
  EXPECT_TRUE(AllowedSources({"no good"}).empty());
}

}  // namespace
}  // namespace vr::origin
