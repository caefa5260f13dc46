#include "origin/origin_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vr::origin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SourceOptions File(std::string root, std::string path = {}, int priority = 0) {
  SourceOptions s;
  s.root = std::move(root);
  s.path = std::move(path);
  s.priority = priority;
  return s;
}
SourceOptions Http(std::string url, std::string path = {}, int priority = 0) {
  SourceOptions s;
  s.type = SourceType::kHttp;
  s.url = std::move(url);
  s.path = std::move(path);
  s.priority = priority;
  return s;
}
OriginOptions Origin(std::string name, std::string matcher, std::vector<std::string> groups,
                     std::vector<SourceOptions> sources) {
  OriginOptions o;
  o.name = std::move(name);
  o.matcher = std::move(matcher);
  o.capture_groups = std::move(groups);
  o.sources = std::move(sources);
  return o;
}
std::unique_ptr<const OriginTable> Table(std::vector<OriginOptions> origins) {
  auto table = OriginTable::Create(std::move(origins));
  if (!table.ok()) {
    for (const auto& [field, text] : table.error().facts) ADD_FAILURE() << field << ": " << text;
    return nullptr;
  }
  return std::move(*table);
}
/// The path that one file origin with this matcher and template makes of `path`; "-" for no match.
std::string Path(const std::string& matcher, std::vector<std::string> groups,
                 const std::string& text, std::string_view path) {
  auto table = Table({Origin("o", matcher, std::move(groups), {File("/srv", text)})});
  if (!table) return "!";
  auto resolved = table->Match(path);
  return resolved ? resolved->locations.at(0).path : "-";
}

TEST(OriginTable, FirstMatchWins) {
  auto table =
      Table({Origin("videos", "^/videos/(.+)$", {"path"}, {File("/srv/videos/", "${path}")}),
             Origin("all", ".*", {}, {File("/srv")})});
  auto a = table->Match("/videos/a/b.mp4");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->origin_name, "videos");
  EXPECT_EQ(a->origin_index, 0u);
  EXPECT_EQ(a->locations.at(0).type, "file");
  EXPECT_EQ(a->locations.at(0).base, "/srv/videos");
  EXPECT_EQ(a->locations.at(0).path, "a/b.mp4");
  auto b = table->Match("/videos");
  ASSERT_TRUE(b);
  EXPECT_EQ(b->origin_name, "all");
  EXPECT_EQ(b->locations.at(0).path, "videos");
  EXPECT_EQ(table->origin(1).name, "all");
  EXPECT_FALSE(Table({Origin("v", "^/videos/", {}, {File("/srv")})})->Match("/audio/x"));
}

TEST(OriginTable, LocationsComeByPriorityEachWithItsOwnTemplate) {
  auto table = Table({Origin("o", "^/v/([^/]+)$", {"id"},
                             {Http("https://b.example/x/", "deep/${id}", 2), File("/srv", "$1", 0),
                              Http("http://a.example", "", 0)})});
  auto r = table->Match("/v/a.mp4");
  ASSERT_TRUE(r);
  ASSERT_EQ(r->locations.size(), 3u);
  EXPECT_EQ(r->locations[0].path, "a.mp4");
  EXPECT_EQ(r->locations[0].source_index, 1u);
  EXPECT_EQ(r->locations[1].path, "v/a.mp4");
  EXPECT_EQ(r->locations[1].base, "http://a.example");
  EXPECT_EQ(r->locations[2].path, "deep/a.mp4");
  EXPECT_EQ(r->locations[2].base, "https://b.example/x");
  EXPECT_EQ(r->locations[2].source_index, 0u);
}

TEST(OriginTable, IdentityNamesEveryLocationUnambiguously) {
  const auto identity = [](std::vector<SourceOptions> s, std::string_view path) {
    return Table({Origin("o", ".*", {}, std::move(s))})->Match(path)->identity;
  };
  const std::string base = identity({File("/srv")}, "/a");
  EXPECT_EQ(base, identity({File("/srv/")}, "//a/"));
  EXPECT_NE(base, identity({File("/srv")}, "/b"));
  EXPECT_NE(base, identity({File("/srv2")}, "/a"));
  EXPECT_NE(base, identity({File("/srv"), File("/srv", "", 1)}, "/a"));
  EXPECT_NE(identity({File("/srv"), Http("http://x")}, "/a"),
            identity({Http("http://x"), File("/srv")}, "/a"));
  EXPECT_NE(identity({File("/srv/a", "b")}, "/q"), identity({File("/srv", "a/b")}, "/q"));
}

TEST(OriginTable, TemplatesSubstituteGroupsDefaultsAndThePath) {
  EXPECT_EQ(
      Path("^/(\\w+)/(.+)\\.(mp4|mov)$", {"dir", "id", "ext"}, "x-${dir}/$2.${ext}", "/a/b.c.mov"),
      "x-a/b.c.mov");
  EXPECT_EQ(Path("^/(\\w+)/(.+)$", {}, "${2}/$1", "/a/b"), "b/a");
  EXPECT_EQ(Path("^/(a)(b)?", {"a", "b"}, "${a}-${b:none}", "/a"), "a-none");
  EXPECT_EQ(Path("^/(a)(b)?", {"a", "b"}, "${a}-${b}", "/a"), "a-");
  EXPECT_EQ(Path("^/(a)(b)?", {"a", "b"}, "${a}-${b:none}", "/ab"), "a-b");
  EXPECT_EQ(Path(".*", {}, "p/${request_path}", "/a/b"), "p/a/b");
  EXPECT_EQ(Path(".*", {}, "$$1/$0", "/a"), "$1/a");
  EXPECT_EQ(Path("(?P<year>\\d+)", {}, "${year}", "/in/2024/x"), "2024");
  EXPECT_EQ(Path("^/a(1)(2)(3)(4)(5)(6)(7)(8)(9)(x)", {}, "$10/$1", "/a123456789x"), "x/1");
  EXPECT_EQ(Path(".*", {}, "", "/"), "");
}

TEST(OriginTable, FileNamesArriveAsTheyAre) {  // R-133
  for (const char* path : {"/a.b.c.MP4",
                           "/V\xc3\xad"
                           "d\xc3\xa9o.mp4",
                           "/100%.mp4", "/a b+c&d=e.mp4", "/a%20b.mp4", "/..a/b", "/a../b", "/...",
                           "/a:b@c.mp4", "/.hidden", "/%zz"}) {
    EXPECT_EQ(Path("^/(.*)$", {"p"}, "${p}", path), path + 1) << path;
  }
}

TEST(OriginTable, SlashesAreNormalizedBeforeMatching) {  // R-82
  for (const char* path : {"/a/b", "a/b", "//a//b", "/a/b/", "///a/b///"}) {
    EXPECT_EQ(Path("^/a/(b)$", {"x"}, "x//${x}/", path), "x/b") << path;
  }
}

TEST(OriginTable, NoPathClimbs) {  // R-107
  using namespace std::string_view_literals;
  for (std::string_view path : {
           "/.."sv,
           "/../etc/passwd"sv,
           "/a/../b"sv,
           "/a/.."sv,
           "/./a"sv,
           "/a/."sv,
           ".."sv,
           "."sv,
           "../a"sv,
           "/%2e%2e/a"sv,
           "/%2E%2e/a"sv,
           "/.%2e/a"sv,
           "/%2e./a"sv,
           "/%2e"sv,
           "/a%2f..%2fb"sv,
           "/a%2F%2e%2e"sv,
           "/%252e%252e/a"sv,
           "/%25252e%25252e%25252fa"sv,
           "/%25%32%65%25%32%65/a"sv,
           "/a\0b"sv,
           "/a%00b"sv,
           "/a%2500.mp4"sv,
           "/..\\a"sv,
           "/a\\..\\b"sv,
           "/a%5c..%5cb"sv,
           "\\..\\a"sv,
           "/..%2f"sv,
           "/..%5c"sv,
           "/%2525252525252525252525252541"sv,
           "/a/..;/b"sv,
           "/..;x=y/b"sv,
           "/a/..%3bx/b"sv,
           "/a/.;"sv,
           "/\xc0\xae\xc0\xae/b"sv,
           "/%c0%ae%c0%ae/b"sv,
           "/..%c0%afb"sv,
           "/..\xe0\x80\xaf"sv,
           "/\xf0\x80\x80\xae."sv,
       }) {
    EXPECT_EQ(Path(".*", {}, "", path), "-") << path;
  }
}

TEST(OriginTable, NoSubstitutionClimbs) {
  EXPECT_EQ(Path("^/(.)(.)(.*)$", {}, "$1$2/x", "/..a"), "-");
  EXPECT_EQ(Path("^/(\\.+)a", {}, "$1/secret", "/..a"), "-");
  EXPECT_EQ(Path("^/(.*)x(.*)$", {}, "$1$2/a", "/%2xe%2e"), "-");
  EXPECT_EQ(Path("^/(.*)x(.*)$", {}, "$1$2", "/a%0x0"), "-");
  EXPECT_EQ(Path("^/(.)(.*)$", {}, ".$1/${2}", "/.b"), "-");
}

TEST(OriginTable, InvalidUtf8IsSimplyNoMatchForADot) {
  EXPECT_EQ(Path("^/(.+)$", {}, "$1", "/\xff\xfe"), "-");
}

TEST(OriginTable, HostileExpressionsTakeLinearTime) {  // R-106
  auto table = Table({Origin("o", "^/(a*)*(a*)*(a|aa)+$", {}, {File("/srv")})});
  EXPECT_FALSE(table->Match("/" + std::string(100'000, 'a') + "b"));
}

std::string Problems(std::vector<OriginOptions> origins) {
  std::string out;
  for (const Problem& p : OriginTable::Check(origins))
    out += p.field + " | " + p.found + " | " + p.allowed + "\n";
  EXPECT_EQ(OriginTable::Create(origins).ok(), out.empty());
  return out;
}

TEST(OriginTableProblems, NameFieldValueAndWhatIsAllowed) {
  EXPECT_EQ(Problems({Origin("a", ".*", {}, {File("/srv")})}), "");
  EXPECT_THAT(Problems({Origin("a", "^/(", {}, {File("/srv")})}),
              HasSubstr("/origins/0/matcher | ^/( | "));
  EXPECT_THAT(Problems({Origin("a", "(?=x)", {}, {File("/srv")})}),
              HasSubstr("/origins/0/matcher"));
  EXPECT_THAT(Problems({Origin("a", "(a)\\1", {}, {File("/srv")})}),
              HasSubstr("/origins/0/matcher"));
  EXPECT_THAT(Problems({Origin("a", "", {}, {File("/srv")})}),
              HasSubstr("/origins/0/matcher | nothing"));
  EXPECT_THAT(Problems({Origin("", ".*", {}, {File("/srv")})}), HasSubstr("/origins/0/name"));
  EXPECT_THAT(Problems({Origin("a", "x", {}, {File("/s")}), Origin("a", "x", {}, {File("/s")})}),
              HasSubstr("/origins/1/name | a"));
  EXPECT_THAT(Problems({Origin("a", "(x)", {"b", "c"}, {File("/srv")})}),
              HasSubstr("/origins/0/captureGroups | 2 names | at most as many names as the matcher "
                        "has groups: 1"));
  EXPECT_THAT(Problems({Origin("a", "(x)(y)", {"b", "b"}, {File("/srv")})}),
              HasSubstr("captureGroups/1 | b"));
  EXPECT_THAT(Problems({Origin("a", "(x)", {"request_path"}, {File("/srv")})}),
              HasSubstr("captureGroups/0"));
  EXPECT_THAT(Problems({Origin("a", "(x)", {"1a"}, {File("/srv")})}),
              HasSubstr("captureGroups/0 | 1a"));
  EXPECT_THAT(Problems({Origin("a", ".*", {}, {})}), HasSubstr("/origins/0/sources"));
}

TEST(OriginTableProblems, UnknownPlaceholdersAreErrors) {
  for (const char* text :
       {"${nope}", "$2", "${2}", "$x", "a$", "${", "${id", "${}", "${:d}", "$9999", "${-1}"}) {
    EXPECT_THAT(Problems({Origin("a", "(x)", {"id"}, {File("/srv", text)})}),
                HasSubstr("/origins/0/sources/0/path | "))
        << text;
  }
  EXPECT_THAT(Problems({Origin("a", "(x)", {"id"}, {File("/srv", "q/${nope}/z")})}),
              HasSubstr("/origins/0/sources/0/path | ${nope} | "));
}

TEST(OriginTableProblems, WhatOtherEnginesCanIsSaidWithWhatToDo) {
  const auto about = [](const std::string& matcher) {
    return Problems({Origin("a", matcher, {}, {File("/srv")})});
  };
  for (const char* matcher : {"^/(?!m/).+", "^/(?=v).+", "^/(?<=x)y", "^/(?<!x)y"})
    EXPECT_THAT(about(matcher), HasSubstr("no look-around: put an origin for")) << matcher;
  for (const char* matcher : {"^/(.)/\\1$", "^/(?P<a>.)/\\k<a>$"})
    EXPECT_THAT(about(matcher), HasSubstr("no back-references: put an origin for")) << matcher;
  for (const char* matcher : {"^/(x", "^/\\y", "^/[z-a]"})
    EXPECT_THAT(about(matcher), Not(HasSubstr("put an origin"))) << matcher;
}

TEST(OriginTableProblems, SourcesAreChecked) {
  const auto one = [](SourceOptions s) {
    return Problems({Origin("a", ".*", {}, {std::move(s)})});
  };
  EXPECT_THAT(one(File("")), HasSubstr("/sources/0/root"));
  for (const char* url :
       {"", "ftp://x", "example.com", "http://", "http:///x", "http://:80", "http://h/a?b",
        "http://h#x", "http://h/${id}", "http://h/a b", "http://h/../x", "http://h/%2e%2e/x"}) {
    EXPECT_THAT(one(Http(url)), HasSubstr("/sources/0/url")) << url;
  }
  EXPECT_EQ(one(Http("http://[::1]:8080/prefix/")), "");
  const std::string leaked = one(Http("http://user:secret@h/"));
  EXPECT_THAT(leaked, HasSubstr("/sources/0/url"));
  EXPECT_EQ(leaked.find("secret"), std::string::npos);
  SourceOptions s = Http("http://h");
  s.auth.type = AuthType::kBearer;
  EXPECT_THAT(one(s), HasSubstr("/auth/token"));
  s.auth.token = "a\r\nX: secret";
  EXPECT_THAT(one(s), HasSubstr("/auth/token"));
  EXPECT_EQ(one(s).find("secret"), std::string::npos);
  s.auth = {};
  s.headers = {{"Range", "bytes=0-1"}};
  EXPECT_THAT(one(s), HasSubstr("/headers"));
  s.headers = {{"X-Key", "k\n"}};
  EXPECT_THAT(one(s), HasSubstr("/headers/X-Key"));
  s.headers.clear();
  s.query = {{"to ken", "a&b"}};
  EXPECT_EQ(one(s), "");
  s.query = {{"", "x"}};
  EXPECT_THAT(one(s), HasSubstr("/query"));
  s.query = {{"key", "secret\n"}};
  EXPECT_THAT(one(s), HasSubstr("/query/key"));
  EXPECT_EQ(one(s).find("secret"), std::string::npos);
  SourceOptions s3;
  s3.type = SourceType::kS3;
  EXPECT_THAT(one(s3), HasSubstr("/bucket"));
  s3.bucket = "B";
  EXPECT_THAT(one(s3), HasSubstr("/bucket"));
  s3.place.emplace();
  EXPECT_EQ(one(s3), "");
}

TEST(OriginTable, AnS3SourcesIdentityIsItsPlaceAndNotItsCredentials) {
  SourceOptions s3;
  s3.type = SourceType::kS3;
  s3.bucket = "B";
  s3.place = BucketOptions{.endpoint = "https://S3.example.com:443/", .bucket = "videos"};
  s3.place->secret_key = "s-bucket";
  const auto resolve = [](const SourceOptions& source) {
    return *Table({Origin("a", ".*", {}, {source})})->Match("/x/a b.mp4");
  };
  const Resolved first = resolve(s3);
  EXPECT_EQ(first.locations[0].type, "s3");
  EXPECT_EQ(first.locations[0].base, "https://s3.example.com/videos");
  EXPECT_EQ(first.locations[0].path, "x/a b.mp4");
  SourceOptions same = s3;
  same.bucket = "another-name";
  same.place->secret_key = "rotated";
  same.place->addressing = S3Addressing::kVirtual;
  same.place->signing = S3Signing::kPresigned;
  EXPECT_EQ(resolve(same).identity, first.identity);
  SourceOptions other = s3;
  other.place->bucket = "videos2";
  EXPECT_NE(resolve(other).identity, first.identity);
  // A bucket that is a directory is that directory.
  s3.place = BucketOptions{.root = "/srv/videos/"};
  EXPECT_EQ(resolve(s3).locations[0].type, "file");
  EXPECT_EQ(resolve(s3).identity, resolve(File("/srv/videos")).identity);
}

}  // namespace
}  // namespace vr::origin
