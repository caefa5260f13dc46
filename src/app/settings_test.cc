#include "app/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <set>
#include <sstream>

#include "app/config_command.h"

namespace vr::app {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::filesystem::path ProjectFile(const std::string& name) {
  // Not __FILE__: that is relative to the build directory when a compiler cache rewrites paths.
  return std::filesystem::path(VR_SOURCE_DIR) / name;
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Lines(const std::vector<config::Problem>& problems) {
  std::vector<std::string> out;
  for (const config::Problem& p : problems) out.push_back(p.ToString());
  return out;
}

std::vector<std::string> Pointers(const std::vector<config::Problem>& problems) {
  std::vector<std::string> out;
  for (const config::Problem& p : problems) out.push_back(p.pointer);
  return out;
}

LoadOutcome LoadWith(std::string_view text, std::map<std::string, std::string> environment = {},
                     std::vector<Sources::Flag> flags = {}) {
  Sources sources;
  sources.environment = std::move(environment);
  sources.flags = std::move(flags);
  return LoadText(text, "f", sources);
}

constexpr std::string_view kOneOrigin =
    R"("origins": [{"name": "a", "matcher": "^/(.+)$", "sources": [{"type": "file", "root": "/srv"}]}])";

std::string WithOrigin(std::string_view rest) {
  return "{" + std::string(kOneOrigin) + ", " + std::string(rest) + "}";
}

// The example of the configuration contract, word for word but for the "…" it abbreviates with.
constexpr std::string_view kContract = R"({
  "listen": "0.0.0.0:8080",                      // main listener; "[::]:8080" too
  "publicUrl": "https://media.example.com",      // for absolute links (SSE); else from the request
  "tls": { "certificate": "…", "key": "…" },     // optional
  "admin": { "listen": "127.0.0.1:9090", "token": "${ADMIN_TOKEN}", "onMainListener": false },  // true: also under /admin and /client/v4 of the main one
  "data": "./var",                               // embedded store, staging, spools
  "origins": [
    { "name": "videos",
      "matcher": "^/videos/(.+)$",               // RE2 on the decoded path
      "captureGroups": ["path"],
      "sources": [
        { "type": "file", "root": "/srv/videos", "path": "${path}", "priority": 0 },
        { "type": "http", "url": "https://origin.example.com", "path": "videos/${path}", "priority": 1,
          "auth": { "type": "bearer", "token": "${ORIGIN_TOKEN}" } },
        { "type": "s3", "bucket": "VIDEOS", "path": "${path}", "priority": 2 } ],
      "ttl": { "ok": 86400, "redirects": 3600, "clientError": 60, "serverError": 10 },
      "cacheTags": ["customer-1"], "quality": "auto", "compression": "auto" },
    { "name": "pages", "matcher": "^/", "mode": "passthrough",      // plain RFC 9111 shared cache, never transformed
      "sources": [ { "type": "http", "url": "http://127.0.0.1:8000" } ] } ],
  "buckets": { "VIDEOS": { "endpoint": "https://s3.example.com", "bucket": "videos", "region": "auto", "accessKey": "${AK}", "secretKey": "${SK}" } },
  "derivatives": { "mobile": { "width": 854, "height": 640, "fit": "contain" }, "thumbnail": { "mode": "frame", "width": 640, "height": 360, "fit": "cover", "format": "png", "time": "2s" } },
  "responsive": { "breakpoints": [ { "maxWidth": 854, "derivative": "mobile" } ], "defaultDerivative": "desktop" },
  "passthrough": { "formats": ["mp4","webm","mov","mkv","avi","m4v","3gp","ogv","ts","flv","mpeg","gif"] },   // what counts as video
  "validation": "lenient",                       // or "strict"
  "cache": {
    "enableKVCache": true,
    "kvTtl": { "ok": 86400, "redirects": 3600, "clientError": 60, "serverError": 10 },
    "kvNamespace": { "binding": "VIDEO_TRANSFORMATIONS_CACHE", "id": "0f2ac74b498b48028cb68387c421e279" },
    "edge": { "maxBytes": "256MiB", "maxObjectInMemory": "1MiB" },   // maxBytes 0 switches the edge off
    "kv": { "backend": "embedded", "maxBytes": "50GiB", "durability": "body" },
    "staleWhileRevalidate": 60, "staleIfError": 86400, "sourceCheckInterval": 60,
    "bypassQueryParameters": ["nocache", "bypass"], "allowPublicBypass": true },
  "transform": { "workers": 0, "maxSourceBytes": "6GiB", "maxPixels": 35000000, "maxDuration": "4h", "timeout": "10m", "asyncThreshold": "60s", "queue": 256 },
  "access": { "signing": { "required": false, "keys": { "k1": "${SIGN_K1}" } }, "presetsOnly": false, "allowedSources": ["*.example.com"], "allowPrivateAddresses": false },
  "debug": { "enabled": false, "allowedAddresses": ["127.0.0.1"] },
  "log": { "level": "info", "format": "json" }
})";

const std::map<std::string, std::string>& ContractEnvironment() {
  static const std::map<std::string, std::string> environment = {{"ADMIN_TOKEN", "s-admin"},
                                                                 {"ORIGIN_TOKEN", "s-origin"},
                                                                 {"AK", "key-id"},
                                                                 {"SK", "s-bucket"},
                                                                 {"SIGN_K1", "s-sign"}};
  return environment;
}

TEST(Settings, TheContractsExampleLoads) {
  const LoadOutcome outcome = LoadWith(kContract, ContractEnvironment());
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  EXPECT_THAT(Pointers(outcome.warnings), ElementsAre("/access/signing/keys/k1"))
      << "the test's secret is short";
  const Settings& s = *outcome.settings;
  EXPECT_EQ(s.server.listen, "0.0.0.0:8080");
  EXPECT_EQ(s.admin.token, "s-admin");
  EXPECT_EQ(s.kv.data_dir, "./var/kv/0f2ac74b498b48028cb68387c421e279");
  EXPECT_EQ(s.cache.staging_dir, "./var/staging");
  EXPECT_EQ(s.fetch.spool_dir, "./var/spool");
  ASSERT_EQ(s.origins.size(), 2u);
  EXPECT_EQ(s.origins[0].matcher, "^/videos/(.+)$");
  EXPECT_THAT(s.origins[0].capture_groups, ElementsAre("path"));
  ASSERT_EQ(s.origins[0].sources.size(), 3u);
  ASSERT_TRUE(s.origins[0].sources[2].place);
  EXPECT_EQ(s.origins[0].sources[2].place->secret_key, "s-bucket");
  EXPECT_EQ(s.origins[0].sources[0].path, "${path}");
  EXPECT_EQ(s.origins[0].sources[1].auth.token, "s-origin");
  EXPECT_EQ(s.origins[0].sources[1].priority, 1);
  EXPECT_EQ(s.origins[0].ttl.ok, 86400s);
  EXPECT_EQ(s.origins[0].quality, "auto");
  EXPECT_THAT(s.origins[0].cache_tags, ElementsAre("customer-1"));
  EXPECT_EQ(s.variant.derivatives, variant::ShippedDerivatives());
  EXPECT_EQ(s.variant.responsive.breakpoints.size(), 1u);
  EXPECT_EQ(s.kv.max_bytes, 50ull << 30);
  EXPECT_EQ(s.transform.max_duration, 4h);
  EXPECT_EQ(s.fetch.max_source_bytes, 6ull << 30);
  EXPECT_EQ(s.transform.timeout, 10min);
  EXPECT_THAT(s.delivery.debug_addresses, ElementsAre("127.0.0.1"));
}

TEST(Settings, SegmentsAreOnUnlessSwitchedOff) {
  const auto with = [](std::string_view transform) {
    return LoadWith(WithOrigin("\"transform\": " + std::string(transform)));
  };
  const LoadOutcome unsaid = with("{}"), chosen = with(R"({ "segments": "auto" })"),
                    off = with(R"({ "segments": "off" })"), wrong = with(R"({ "segments": 4 })");
  ASSERT_TRUE(unsaid.settings && chosen.settings && off.settings);
  EXPECT_TRUE(unsaid.settings->transform.segments);
  EXPECT_TRUE(chosen.settings->transform.segments);
  EXPECT_FALSE(off.settings->transform.segments);
  EXPECT_FALSE(wrong.settings);
}

TEST(Settings, TheSampleFileLoadsWithoutAWord) {
  Sources sources;
  sources.file = ProjectFile("config/example.jsonc");
  const LoadOutcome outcome = Load(sources);
  EXPECT_THAT(Lines(outcome.problems), IsEmpty());
  EXPECT_THAT(Lines(outcome.warnings), IsEmpty());
  ASSERT_TRUE(outcome.settings);
  EXPECT_EQ(outcome.settings->variant.derivatives.size(), 6u);
}

TEST(Settings, EverythingWrongIsSaidAtOnce) {
  const LoadOutcome outcome = LoadWith(R"({
  "listen": "8080",
  "lisen": "x",
  "origins": [
    { "name": "a", "matcher": "^/", "sources": [ { "type": "file" }, { "type": "http", "url": "ftp://x" } ] },
    { "name": "a", "sources": [], "quality": 101 },
    { "name": "b", "matcher": "^/b", "sources": [ { "type": "file", "root": "/x", "url": "http://x", "redirects": "pass" } ] }
  ],
  "derivatives": { "mobile": { "width": 5, "fit": "stretch", "audio": "perhaps" }, "bad name": {} },
  "responsive": { "breakpoints": [ { "maxWidth": 900, "derivative": "mobil" }, { "maxWidth": 800, "derivative": "mobile" } ] },
  "cache": { "kvTtl": { "ok": "abc", "redirects": -1 }, "edge": { "maxBytes": "1MiB", "maxObjectInMemory": "2MiB" } },
  "debug": { "allowedAddresses": ["localhost"] },
  "log": { "level": "loud" }
})");
  EXPECT_FALSE(outcome.settings);
  EXPECT_THAT(
      Lines(outcome.problems),
      ElementsAre(
          "f:2:13: /listen: found \"8080\", allowed: \"address:port\", \"[IPv6]:port\"",
          "f:3:3: /lisen: found the unknown key \"lisen\", allowed: did you mean \"listen\"?",
          "f:5:50: /origins/0/sources/0/root: found nothing, allowed: a directory's path (type "
          "\"file\" needs one)",
          "f:5:95: /origins/0/sources/1/url: found \"ftp://x\", allowed: "
          "\"http://host[:port][/path]\" or https, without "
          "user, query and fragment",
          "f:6:5: /origins/1/matcher: found nothing, allowed: a regular expression (RE2) for the "
          "decoded path (required)",
          "f:6:15: /origins/1/name: found \"a\", allowed: a unique name",
          "f:6:31: /origins/1/sources: found no sources, allowed: a list of at least one",
          "f:6:46: /origins/1/quality: found 101, allowed: low, medium, high, auto or 1-100",
          "f:7:90: /origins/2/sources/0/url: found a value, allowed: none, it belongs to type "
          "\"http\"",
          "f:7:115: /origins/2/sources/0/redirects: found a value, allowed: none, it belongs to "
          "type \"http\"",
          "f:9:41: /derivatives/mobile/width: found 5, allowed: a whole number 10-8192",
          "f:9:51: /derivatives/mobile/fit: found \"stretch\", allowed: contain, scale-down, cover "
          "or pad",
          "f:9:71: /derivatives/mobile/audio: found \"perhaps\", allowed: true or false",
          "f:9:96: /derivatives/bad name: found a problem, allowed: a name is 1-100 of A-Z a-z 0-9 "
          "- _ .",
          "f:10:69: /responsive/breakpoints/0/derivative: found \"mobil\", allowed: a name of "
          "\"derivatives\": bad name, "
          "desktop, mobile, tablet, thumbnail",
          "f:10:94: /responsive/breakpoints/1/maxWidth: found 800, allowed: more than the 900 "
          "before it",
          "f:11:31: /cache/kvTtl/ok: found \"abc\", allowed: whole seconds 0..31536000 or \"30s\", "
          "\"10m\", \"2h\", \"7d\"",
          "f:11:51: /cache/kvTtl/redirects: found -1, allowed: whole seconds 0..31536000 or "
          "\"30s\", \"10m\", \"2h\", "
          "\"7d\"",
          "f:11:108: /cache/edge/maxObjectInMemory: found 2MiB, allowed: at most "
          "cache.edge.maxBytes",
          "f:12:35: /debug/allowedAddresses/0: found \"localhost\", allowed: an IPv4 or IPv6 "
          "address",
          "f:13:21: /log/level: found \"loud\", allowed: \"debug\", \"info\", \"warn\", \"error\", "
          "\"off\""));
}

TEST(Settings, OriginsThatCannotWorkAreRefusedOrShadowsPointedOut) {
  const LoadOutcome bad = LoadWith(R"({"origins": [
    {"name": "a", "matcher": "^/(x", "sources": [{"type": "file", "root": "/x"}]},
    {"name": "b", "matcher": "^/b/(.+)$", "captureGroups": ["path", "more"], "sources": [{"type": "file", "root": "/x"}]},
    {"name": "c", "matcher": "^/c/(.+)$", "captureGroups": ["path"],
     "sources": [{"type": "file", "root": "/x", "path": "${paht}"}]}]})");
  EXPECT_FALSE(bad.settings);
  EXPECT_THAT(Pointers(bad.problems), ElementsAre("/origins/0/matcher", "/origins/1/captureGroups",
                                                  "/origins/2/sources/0/path"));

  const auto origins = [](std::vector<std::string> matchers) {
    std::string text;
    for (const std::string& m : matchers) {
      text += (text.empty() ? "" : ",") + std::string(R"({"name": "o)") +
              std::to_string(text.size()) + R"(", "matcher": ")" + m +
              R"(", "sources": [{"type": "file", "root": "/x"}]})";
    }
    return LoadWith("{\"origins\": [" + text + "]}");
  };
  const auto shadows = [&](std::vector<std::string> matchers) {
    std::vector<config::Problem> warnings = origins(std::move(matchers)).warnings;
    std::erase_if(warnings, [](const config::Problem& w) {
      return w.ToString().find("take first") == std::string::npos;
    });
    return Pointers(warnings);
  };
  EXPECT_THAT(shadows({"^/videos/(.+)$", "^/shorts/(.+)$", "^/"}), IsEmpty());
  EXPECT_THAT(shadows({".*", "^/shorts/(.+)$"}), ElementsAre("/origins/1/matcher"));
  EXPECT_THAT(shadows({"^/a/", "^/a/b/(.+)$", "^/c"}), ElementsAre("/origins/1/matcher"));
  // As the public resizer ships it: the authenticated videos are taken by the origin before.
  EXPECT_THAT(
      shadows({"^/([^.]+)\\\\.(mp4|webm|mov)", "^/([^.]+)", "^/secure/([^.]+)\\\\.(mp4|webm)"}),
      ElementsAre("/origins/2/matcher"));
  EXPECT_THAT(shadows({"^/[^.]+\\\\.mp4$", "^/[^.]+\\\\.(mp4|webm)$"}), IsEmpty());

  // Origins that transform get videos only: what is no video is left for one that passes through.
  const auto mixed = [&](std::vector<std::pair<std::string, bool>> list) {
    std::string text;
    for (const auto& [matcher, passes] : list) {
      text += (text.empty() ? "" : ",") + std::string(R"({"name": "o)") +
              std::to_string(text.size()) + R"(", "matcher": ")" + matcher + R"(", "mode": ")" +
              (passes ? "passthrough" : "transform") +
              R"(", "sources": [{"type": "http", "url": "http://o.example"}]})";
    }
    LoadOutcome outcome = LoadWith("{\"origins\": [" + text + "]}");
    EXPECT_TRUE(outcome.settings);
    std::erase_if(outcome.warnings, [](const config::Problem& w) {
      return w.ToString().find("take first") == std::string::npos;
    });
    return Pointers(outcome.warnings);
  };
  constexpr bool kPasses = true, kTransforms = false;
  EXPECT_THAT(mixed({{".*", kTransforms}, {".*", kPasses}}), IsEmpty());
  EXPECT_THAT(mixed({{"^/([^.]+)", kTransforms}, {"^/", kPasses}}), IsEmpty());
  EXPECT_THAT(mixed({{"^/", kTransforms}, {"^/assets/", kPasses}}), IsEmpty());
  EXPECT_THAT(mixed({{"^/", kTransforms}, {"^/a/.+\\\\.html$", kPasses}}), IsEmpty());
  // But a video goes to neither of these second ones.
  EXPECT_THAT(mixed({{"^/", kTransforms}, {"^/a/.+\\\\.(mp4|webm)$", kPasses}}),
              ElementsAre("/origins/1/matcher"));
  EXPECT_THAT(mixed({{"^/", kPasses}, {"^/videos/", kTransforms}}),
              ElementsAre("/origins/1/matcher"));
  EXPECT_THAT(mixed({{".*", kTransforms}, {"^/", kPasses}, {"^/assets/", kPasses}}),
              ElementsAre("/origins/2/matcher"));
  EXPECT_THAT(mixed({{".*", kPasses}, {".*", kPasses}}), ElementsAre("/origins/1/matcher"));
}

/// Warnings of one origin: matcher, names of groups, path of its only source, further keys.
std::vector<std::string> WarningsOf(const std::string& matcher, const std::string& groups = "",
                                    const std::string& path = "", const std::string& more = "") {
  const std::string text =
      R"({"origins": [{"name": "a", "matcher": ")" + matcher + R"(", "captureGroups": [)" + groups +
      R"(], "sources": [{"type": "file", "root": "/x", "path": ")" + path + R"("}])" + more + "}]}";
  const LoadOutcome outcome = LoadWith(text);
  EXPECT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  std::vector<std::string> out;
  for (const config::Problem& warning : outcome.warnings) out.push_back(warning.ToString());
  return out;
}

TEST(Settings, OriginsThatDoNotWhatTheirAuthorMeantAreWarnedOf) {
  using testing::AllOf;
  const std::string good = R"((?i)^/videos/(.+)\\.(mp4|webm)$)";
  for (const auto& [matcher, groups, path] :
       std::vector<std::array<std::string, 3>>{{"^/videos/(.+)$", R"("path")", "${path}"},
                                               {"^/videos/", "", ""},
                                               {"^/", "", "x/${request_path}"},
                                               {".*", "", ""},
                                               {good, R"("id", "ext")", "${id}.${ext}"},
                                               {good, R"("id", "ext")", ""},
                                               {good, "", "$1.mp4"},
                                               {"^/intro[.]mp4$", "", "x/intro.mp4"},
                                               {R"(^/m/([^/]+)/original/(.+)$)", "", "$1/$2"}}) {
    EXPECT_THAT(WarningsOf(matcher, groups, path), IsEmpty()) << matcher << " " << path;
  }
  const auto warns = [](const std::string& pointer, const std::string& what) {
    return ElementsAre(AllOf(HasSubstr(": " + pointer + ": found "), HasSubstr(what)));
  };
  const std::string m = "/origins/0/matcher";
  EXPECT_THAT(WarningsOf(R"((?i)^/v/(.+)\\.(m3u8|mpd)$)"), warns(m, "not there: m3u8, mpd"));
  EXPECT_THAT(WarningsOf(R"((?i)^/v/(.+)\\.(?:mp4|wmv)$)"), warns(m, "not there: wmv"));
  EXPECT_THAT(WarningsOf(R"((?i)^/v/(.+)\\.(mp4|webm))"), warns(m, "\".mp4xyz\" matches too"));
  EXPECT_THAT(WarningsOf(R"((?i)^/v/(.+)\\.mp4)"), warns(m, "\".mp4xyz\" matches too"));
  EXPECT_THAT(WarningsOf(R"(^/v/(.+\\.(mov|mp4))$)"), warns(m, "\".MOV\" counts as video"));
  EXPECT_THAT(WarningsOf(R"((?i)^/v/([^.]+)\\.(mp4)$)"), warns(m, "ends at the first dot"));
  EXPECT_THAT(WarningsOf(R"(^/([^.]+))"), warns(m, "ends at the first dot"));
  EXPECT_THAT(WarningsOf("^videos/(.+)$"), warns(m, "paths begin with \"/\""));
  const std::string p = "/origins/0/sources/0/path";
  EXPECT_THAT(WarningsOf(good, R"("id")", "x/${id}"), warns(p, "becomes \"x/a\""));
  EXPECT_THAT(WarningsOf("^/v/(.+)$", "", "x/one.mp4"), warns(p, "this one source"));
  EXPECT_THAT(WarningsOf("^/v/", "", "x/one.mp4"), warns(p, "this one source"));
  EXPECT_THAT(WarningsOf("^/v/", "", "x/$$1.mp4"), warns(p, "this one source"));
  EXPECT_THAT(WarningsOf(good, R"("id", "ext")", "${id}.mp4"),
              warns("/origins/0/captureGroups/1", "as ${ext}"));
  EXPECT_THAT(WarningsOf(good, R"("id", "ext")", "${1:x}.$2"), IsEmpty());
}

TEST(Settings, TheShippedExampleHasNothingToWarnOf) {
  const LoadOutcome outcome = LoadWith(ReadAll(ProjectFile("config/example.jsonc")));
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  EXPECT_THAT(Lines(outcome.warnings), IsEmpty());
}

TEST(Settings, CacheControlBelongsToOriginsThatTransform) {
  const auto load = [](const std::string& more) {
    return LoadWith(R"({"origins": [{"name": "a", "matcher": "^/", "cacheControl": "private",
                        "sources": [{"type": "http", "url": "http://x"}])" +
                    more + "}]}");
  };
  EXPECT_TRUE(load("").settings);
  EXPECT_THAT(Pointers(load("").warnings), IsEmpty());
  EXPECT_THAT(Pointers(load(R"(, "mode": "passthrough")").problems),
              ElementsAre("/origins/0/cacheControl"));
}

TEST(Settings, WhatPassesThroughComesByHttp) {
  const auto load = [](const std::string& source) {
    return LoadWith(R"({"buckets": {"B": {"endpoint": "http://h", "bucket": "b", "signing": "none"},
                                    "D": {"root": "/srv"}},
                        "origins": [{"name": "a", "matcher": "^/", "mode": "passthrough",
                                     "sources": [)" +
                    source + "]}]}");
  };
  EXPECT_TRUE(load(R"({"type": "http", "url": "http://x"})").settings);
  EXPECT_TRUE(load(R"({"type": "s3", "bucket": "B"})").settings);
  EXPECT_THAT(Pointers(load(R"({"type": "s3", "bucket": "D"})").problems),
              ElementsAre("/origins/0/sources/0/bucket"));
  EXPECT_THAT(Pointers(load(R"({"type": "file", "root": "/srv"})").problems),
              ElementsAre("/origins/0/sources/0/type"));
}

TEST(Settings, DamagedSyntaxIsReportedWithoutItsConsequences) {
  EXPECT_THAT(Lines(LoadWith("{\"listen\": \"x\" \"data\": 5").problems),
              ElementsAre("f:1:16: /: found \"\\\"\", allowed: \",\" or \"}\"",
                          "f:1:25: /: found the end of the text, allowed: \"}\" to close what was "
                          "opened in line 1"));
  EXPECT_THAT(Lines(LoadWith("[]").problems),
              ElementsAre("f:1:1: /: found an array, allowed: an object { ... }"));
  Sources nowhere;
  nowhere.file = "/nonexistent/x.jsonc";
  EXPECT_THAT(
      Lines(Load(nowhere).problems),
      ElementsAre(HasSubstr("/nonexistent/x.jsonc: /: found a file that cannot be opened")));
  nowhere.file = "/";
  EXPECT_THAT(Lines(Load(nowhere).problems), ElementsAre(HasSubstr("found a directory")));
}

TEST(Settings, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string file =
      WithOrigin(R"("cache": {"edge": {"maxBytes": "64MiB"}}, "listen": "0.0.0.0:1")");
  const std::map<std::string, std::string> environment = {
      {"VIDEO_RESIZER_CACHE__EDGE__MAXBYTES", "32MiB"}};
  const Sources::Flag flag{"--set cache.edge.maxBytes", {"cache", "edge", "maxBytes"}, "16MiB"};
  EXPECT_EQ(LoadWith(WithOrigin(R"("data": "x")")).settings->cache.edge.max_bytes, 256u << 20);
  EXPECT_EQ(LoadWith(file).settings->cache.edge.max_bytes, 64u << 20);
  EXPECT_EQ(LoadWith(file, environment).settings->cache.edge.max_bytes, 32u << 20);
  EXPECT_EQ(LoadWith(file, environment, {flag}).settings->cache.edge.max_bytes, 16u << 20);
  EXPECT_EQ(LoadWith(file, environment, {flag}).settings->server.listen, "0.0.0.0:1");
  EXPECT_THAT(Lines(LoadWith(file, {}, {{"--listen", {"listen"}, "nonsense"}}).problems),
              ElementsAre("flag --listen: /listen: found \"nonsense\", allowed: \"address:port\", "
                          "\"[IPv6]:port\""));
}

TEST(Settings, R104_FalseInTheEnvironmentIsFalse) {
  const std::string file = WithOrigin(R"("cache": {"enableKVCache": true, "kvTtl": {"ok": 5}})");
  for (const char* no : {"false", "0", "FALSE", "no", "off"}) {
    const LoadOutcome outcome = LoadWith(file, {{"CACHE_ENABLE_KV", no}});
    ASSERT_TRUE(outcome.settings);
    EXPECT_FALSE(outcome.settings->cache.enable_kv) << no;
  }
  EXPECT_TRUE(
      LoadWith(file, {{"CACHE_ENABLE_KV", "false"}, {"VIDEO_RESIZER_CACHE__ENABLEKVCACHE", "true"}})
          .settings->cache.enable_kv);
  EXPECT_THAT(Lines(LoadWith(file, {{"CACHE_ENABLE_KV", "nope"}}).problems),
              ElementsAre("environment CACHE_ENABLE_KV: /cache/enableKVCache: found \"nope\", "
                          "allowed: true or false"));
  EXPECT_FALSE(LoadWith(WithOrigin(R"("cache": {"enableKVCache": "false"})")).settings);
}

TEST(Settings, TheCacheContractsVariablesSetTheTtls) {
  const LoadOutcome outcome = LoadWith(WithOrigin(R"("cache": {"kvTtl": {"ok": 5}})"),
                                       {{"CACHE_KV_TTL_OK", "100"},
                                        {"CACHE_KV_TTL_REDIRECTS", "2h"},
                                        {"CACHE_KV_TTL_CLIENT_ERROR", "0"},
                                        {"CACHE_KV_TTL_SERVER_ERROR", "1m"}});
  ASSERT_TRUE(outcome.settings);
  EXPECT_EQ(outcome.settings->cache.ttl.ok, 100s);
  EXPECT_EQ(outcome.settings->cache.ttl.redirects, 2h);
  EXPECT_EQ(outcome.settings->cache.ttl.client_error, 0s);
  EXPECT_EQ(outcome.settings->cache.ttl.server_error, 60s);
}

TEST(Settings, UnknownVariablesOfOurPrefixAreReported) {
  const LoadOutcome outcome = LoadWith(WithOrigin(R"("data": "x")"),
                                       {{"VIDEO_RESIZER_LISTN", "x"},
                                        {"VIDEO_RESIZER_CACHE__EDGE__MAXBYTE", "1"},
                                        {"VIDEO_RESIZER_ORIGINS__0__SOURCES__0__ROOT", "/y"}});
  EXPECT_THAT(Lines(outcome.problems),
              testing::UnorderedElementsAre("environment VIDEO_RESIZER_LISTN: /listn: found the "
                                            "unknown setting \"listn\", allowed: did you mean "
                                            "\"listen\"?",
                                            "environment VIDEO_RESIZER_CACHE__EDGE__MAXBYTE: "
                                            "/cache/edge/maxbyte: found the unknown setting "
                                            "\"maxbyte\", allowed: did you mean \"maxBytes\"?"));
}

TEST(Settings, OriginsCanComeFromTheEnvironmentAlone) {
  const LoadOutcome outcome =
      LoadWith("{}", {{"VIDEO_RESIZER_ORIGINS__0__NAME", "a"},
                      {"VIDEO_RESIZER_ORIGINS__0__MATCHER", "^/(?P<all>.+)$"},
                      {"VIDEO_RESIZER_ORIGINS__0__SOURCES__0__TYPE", "file"},
                      {"VIDEO_RESIZER_ORIGINS__0__SOURCES__0__ROOT", "/srv"},
                      {"VIDEO_RESIZER_DERIVATIVES__TINY__WIDTH", "120"}});
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  EXPECT_EQ(outcome.settings->origins.at(0).sources.at(0).root, "/srv");
  EXPECT_EQ(outcome.settings->variant.derivatives.at("tiny").options.width, 120u);
}

TEST(Settings, PresetsReplaceShippedOnesAsAWholeAndNullRemoves) {
  const LoadOutcome outcome =
      LoadWith(WithOrigin(R"("derivatives": {"mobile": {"width": 100}, "tablet": null},
                    "responsive": {"breakpoints": [], "defaultDerivative": ""})"));
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  const auto& table = outcome.settings->variant.derivatives;
  EXPECT_EQ(table.at("mobile").options.width, 100u);
  EXPECT_FALSE(table.at("mobile").options.height);
  EXPECT_FALSE(table.contains("tablet"));
  EXPECT_TRUE(table.contains("desktop"));
}

TEST(Settings, AQueryOfASourceIsReadCheckedAndMasked) {
  const std::map<std::string, std::string> environment = {{"SIG", "s-signature"}};
  const auto source = [&](std::string_view rest) {
    return LoadWith(R"({"origins": [{"name": "a", "matcher": "^/", "sources": [{)" +
                        std::string(rest) + "}]}]}",
                    environment);
  };
  const LoadOutcome good =
      source(R"("type": "http", "url": "http://h", "query": {"b": "${SIG}", "a": "1"})");
  ASSERT_TRUE(good.settings) << testing::PrintToString(Lines(good.problems));
  EXPECT_THAT(Lines(good.warnings), IsEmpty());
  EXPECT_THAT(good.settings->origins[0].sources[0].query,
              ElementsAre(testing::Pair("a", "1"), testing::Pair("b", "s-signature")));
  EXPECT_THAT(PrintEffective(*good.settings), testing::Not(HasSubstr("s-signature")));
  EXPECT_THAT(Pointers(source(R"("type": "file", "root": "/x", "query": {"a": "1"})").problems),
              ElementsAre("/origins/0/sources/0/query"));
  const LoadOutcome bad = source(R"("type": "http", "url": "http://h", "query": {"": "1"})");
  EXPECT_THAT(Pointers(bad.problems), ElementsAre("/origins/0/sources/0/query"));
}

TEST(Settings, PresetsHavePlaybackHintsAndTagsAPrefix) {
  const LoadOutcome outcome = LoadWith(WithOrigin(R"("cache": {"tagPrefix": "video-prod-"},
      "derivatives": {"mobile": {"width": 100, "loop": true, "muted": false, "preload": "none"}})"));
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  EXPECT_EQ(outcome.settings->variant.tag_prefix, "video-prod-");
  EXPECT_EQ(outcome.settings->variant.derivatives.at("mobile").playback,
            (variant::PlaybackHints{true, std::nullopt, false, "none"}));
  const std::string printed = PrintEffective(*outcome.settings);
  for (const char* text : {R"("loop": true)", R"("muted": false)", R"("preload": "none")",
                           R"("tagPrefix": "video-prod-")"}) {
    EXPECT_THAT(printed, HasSubstr(text));
  }
  EXPECT_THAT(printed, testing::Not(HasSubstr("autoplay")));
  for (const char* prefix : {"", "a b", "a,b"}) {
    EXPECT_THAT(
        Pointers(LoadWith(WithOrigin(R"("cache": {"tagPrefix": ")" + std::string(prefix) + "\"}"))
                     .problems),
        ElementsAre("/cache/tagPrefix"));
  }
  EXPECT_THAT(
      Lines(
          LoadWith(WithOrigin(R"("derivatives": {"x": {"loop": 1, "preload": "all"}})")).problems),
      ElementsAre(HasSubstr("allowed: true or false"),
                  HasSubstr("allowed: none, metadata or auto")));
}

TEST(Settings, BucketsOfEveryFormLoadAndPrintToTheSame) {
  const LoadOutcome outcome = LoadWith(
      R"({"origins": [{"name": "a", "matcher": "^/", "sources": [
            {"type": "s3", "bucket": "R2"}, {"type": "s3", "bucket": "OPEN"}, {"type": "s3", "bucket": "DIR"}]}],
          "buckets": {
            "R2": {"endpoint": "https://id.r2.cloudflarestorage.com/", "bucket": "videos", "accessKey": "${AK}",
                   "secretKey": "${SK}", "sessionToken": "${ST}", "signing": "presigned", "presignExpires": "2m"},
            "OPEN": {"endpoint": "https://s3.eu-west-1.amazonaws.com", "bucket": "open-data", "addressing": "virtual",
                     "signing": "none"},
            "DIR": {"root": "/srv/videos"}}})",
      {{"AK", "key-id"}, {"SK", "s-bucket"}, {"ST", "s-token"}});
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  EXPECT_THAT(Lines(outcome.warnings), IsEmpty());
  const auto& sources = outcome.settings->origins[0].sources;
  EXPECT_EQ(sources[0].place->session_token, "s-token");
  EXPECT_EQ(sources[0].place->presign_expires, 120s);
  EXPECT_EQ(sources[1].place->signing, origin::S3Signing::kNone);
  EXPECT_EQ(sources[2].place->root, "/srv/videos");
  const std::string printed = PrintEffective(*outcome.settings);
  for (const char* secret : {"s-bucket", "s-token"})
    EXPECT_THAT(printed, testing::Not(HasSubstr(secret)));
  std::string text = printed;
  for (const std::string mask = "\"********\""; text.find(mask) != std::string::npos;)
    text.replace(text.find(mask), mask.size(), "\"${SK}\"");
  const LoadOutcome again = LoadWith(text, {{"SK", "s-bucket"}});
  ASSERT_TRUE(again.settings) << testing::PrintToString(Lines(again.problems));
  EXPECT_EQ(PrintEffective(*again.settings), printed);
}

TEST(Settings, WrongBucketsAreToldAtTheirPlace) {
  const std::string server = R"("endpoint": "https://s3.example.com", "bucket": "videos")";
  const std::string keys = R"(, "accessKey": "a", "secretKey": "${SK}")";
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"", {"/buckets/B/endpoint"}},
      {R"("bucket": "videos")" + keys, {"/buckets/B/endpoint"}},
      {R"("endpoint": "https://s3.example.com")" + keys, {"/buckets/B/bucket"}},
      {R"("endpoint": "s3.example.com", "bucket": "videos")" + keys, {"/buckets/B/endpoint"}},
      {R"("endpoint": "https://s3.example.com/videos", "bucket": "videos")" + keys,
       {"/buckets/B/endpoint"}},
      {R"("endpoint": "https://videos.s3.example.com", "bucket": "videos")" + keys,
       {"/buckets/B/endpoint"}},
      {R"("endpoint": "https://s3.example.com:x", "bucket": "videos")" + keys,
       {"/buckets/B/endpoint"}},
      {R"("endpoint": "https://s3.example.com", "bucket": "a/b")" + keys, {"/buckets/B/bucket"}},
      {server, {"/buckets/B/accessKey", "/buckets/B/secretKey"}},
      {server + R"(, "accessKey": "a")", {"/buckets/B/secretKey"}},
      {server + R"(, "accessKey": "a/b", "secretKey": "${SK}")", {"/buckets/B/accessKey"}},
      {server + R"(, "accessKey": "a", "secretKey": "${EMPTY}")", {"/buckets/B/secretKey"}},
      {server + keys + R"(, "signing": "none")", {"/buckets/B/accessKey", "/buckets/B/secretKey"}},
      {server + keys + R"(, "signing": "query")", {"/buckets/B/signing"}},
      {server + keys + R"(, "presignExpires": 60)", {"/buckets/B/presignExpires"}},
      {server + keys + R"(, "signing": "presigned", "presignExpires": "8d")",
       {"/buckets/B/presignExpires"}},
      {server + keys + R"(, "root": "/srv")",
       {"/buckets/B/endpoint", "/buckets/B/bucket", "/buckets/B/accessKey",
        "/buckets/B/secretKey"}},
      {R"("root": "")", {"/buckets/B/root"}},
      {R"("endpoint": "http://127.0.0.1:9000", "bucket": "videos", "addressing": "virtual")" + keys,
       {"/buckets/B/addressing"}},
      {R"("endpoint": "https://s3.example.com", "bucket": "Videos_1", "addressing": "virtual")" +
           keys,
       {"/buckets/B/addressing"}},
  };
  for (const auto& [text, pointers] : cases) {
    const LoadOutcome outcome = LoadWith(WithOrigin("\"buckets\": {\"B\": {" + text + "}}"),
                                         {{"SK", "s-bucket"}, {"EMPTY", ""}});
    EXPECT_FALSE(outcome.settings) << text;
    EXPECT_EQ(Pointers(outcome.problems), pointers) << text;
    for (const std::string& line : Lines(outcome.problems))
      EXPECT_THAT(line, testing::Not(HasSubstr("s-bucket")));
  }
  const LoadOutcome unknown = LoadWith(
      R"({"origins": [{"name": "a", "matcher": "^/", "sources": [{"type": "s3", "bucket": "X"}]}]})");
  EXPECT_THAT(Pointers(unknown.problems), ElementsAre("/origins/0/sources/0/bucket"));
  const LoadOutcome inline_secret = LoadWith(
      WithOrigin("\"buckets\": {\"B\": {" + server +
                 R"(, "accessKey": "a", "secretKey": "s-bucket", "sessionToken": "s-t"}})"));
  EXPECT_TRUE(inline_secret.settings);
  EXPECT_THAT(Pointers(inline_secret.warnings),
              ElementsAre("/buckets/B/secretKey", "/buckets/B/sessionToken"));
}

TEST(Settings, AccessIsCheckedBetweenItsFields) {
  const std::string key = "0123456789abcdef";
  EXPECT_THAT(
      Pointers(LoadWith(WithOrigin(R"("access": {"signing": {"required": true}})")).problems),
      ElementsAre("/access/signing/keys"));
  const LoadOutcome weak =
      LoadWith(WithOrigin(R"("access": {"signing": {"keys": {"k": "${K}"}}})"), {{"K", "short"}});
  EXPECT_THAT(Pointers(weak.warnings), ElementsAre("/access/signing/keys/k"));
  EXPECT_THAT(Lines(weak.warnings), ElementsAre(testing::Not(HasSubstr("short\""))));
  EXPECT_THAT(Pointers(LoadWith(WithOrigin(R"("admin": {"onMainListener": true})")).warnings),
              ElementsAre("/admin/onMainListener"));
  const LoadOutcome good =
      LoadWith(WithOrigin(R"("admin": {"onMainListener": true, "token": "${K}"},
                    "access": {"signing": {"required": true, "keys": {"k": "${K}"}}, "presetsOnly": true,
                               "allowedParameters": ["width"], "trustedProxies": ["10.0.0.0/8", "::1"],
                               "proxyHeader": "Forwarded", "productionLimit": {"perMinute": 5}},
                    "cors": {"allowOrigins": ["*"], "resourcePolicy": "cross-origin"})"),
               {{"K", key}});
  ASSERT_TRUE(good.settings) << testing::PrintToString(Lines(good.problems));
  EXPECT_THAT(good.warnings, IsEmpty());
  EXPECT_EQ(good.settings->cors.resource_policy, "cross-origin");
  EXPECT_TRUE(good.settings->variant.presets_only);
  for (const auto& [text, pointer] : std::vector<std::pair<std::string, std::string>>{
           {R"("access": {"allowedParameters": ["w"]})", "/access/allowedParameters/0"},
           {R"("access": {"trustedProxies": ["10.0.0.0/33"]})", "/access/trustedProxies/0"},
           {R"("cors": {"allowOrigins": ["example.com"]})", "/cors/allowOrigins/0"},
           {R"("cors": {"resourcePolicy": "any"})", "/cors/resourcePolicy"},
           {R"("cors": {"exposeHeaders": ["a b"]})", "/cors/exposeHeaders/0"}}) {
    EXPECT_THAT(Pointers(LoadWith(WithOrigin(text)).problems), ElementsAre(pointer)) << text;
  }
}

TEST(Settings, PrintedSettingsHoldNoSecretAndLoadToTheSame) {
  const LoadOutcome outcome = LoadWith(kContract, ContractEnvironment());
  ASSERT_TRUE(outcome.settings);
  const std::string printed = PrintEffective(*outcome.settings);
  for (const char* secret : {"s-admin", "s-origin", "s-bucket", "s-sign"}) {
    EXPECT_THAT(printed, testing::Not(HasSubstr(secret)));
  }
  EXPECT_THAT(printed, HasSubstr("\"token\": \"********\""));

  const LoadOutcome plain = LoadWith(WithOrigin(R"(
      "derivatives": {"x": {"mode": "frame", "width": 64, "quality": 80, "time": "1m0.5s", "format": "jpg", "audio": false,
                            "crop": "10:20:30:40", "fps": 29.97, "rotate": 90, "bitrate": "2M", "compression": "low"},
                      "mobile": null, "tablet": {"height": 20}},
      "responsive": {"breakpoints": [{"maxWidth": 100, "derivative": "x"}]},
      "cache": {"edge": {"maxBytes": 12345678}, "kvTtl": {"ok": "1h30m"}}, "http": {"idleTimeout": 7}, "data": "/a/$${b}")"));
  ASSERT_TRUE(plain.settings) << testing::PrintToString(Lines(plain.problems));
  const std::string once = PrintEffective(*plain.settings);
  const LoadOutcome again = LoadWith(once);
  ASSERT_TRUE(again.settings) << testing::PrintToString(Lines(again.problems));
  EXPECT_EQ(PrintEffective(*again.settings), once);
  EXPECT_EQ(again.settings->variant.derivatives, plain.settings->variant.derivatives);
  EXPECT_EQ(again.settings->data, "/a/${b}");
}

TEST(Settings, DefaultsPrintAndLoadToTheDefaults) {
  const std::string defaults = PrintEffective(Settings());
  const LoadOutcome outcome = LoadWith(defaults);
  ASSERT_TRUE(outcome.settings) << testing::PrintToString(Lines(outcome.problems));
  EXPECT_EQ(PrintEffective(*outcome.settings), defaults);
  EXPECT_THAT(Pointers(outcome.warnings), ElementsAre("/origins"));
}

TEST(Settings, EachKvNamespaceHasAStoreOfItsOwn) {
  const auto store = [](const std::string& cache) {
    const LoadOutcome outcome =
        LoadWith(WithOrigin("\"data\": \"/d\", \"cache\": {" + cache + "}"));
    return outcome.settings ? outcome.settings->kv.data_dir : Lines(outcome.problems).at(0);
  };
  EXPECT_EQ(store(""), "/d");
  EXPECT_EQ(store(R"("kvNamespace": {})"), "/d");
  EXPECT_EQ(store(R"("kvNamespace": {"binding": "", "id": ""})"), "/d");
  EXPECT_EQ(store(R"("kvNamespace": {"binding": "CACHE"})"), "/d/kv/CACHE");
  EXPECT_EQ(store(R"("kvNamespace": {"binding": "CACHE", "id": "0a1b"})"), "/d/kv/0a1b");
  // A name becomes a directory's: nothing may climb.
  for (const char* bad : {"..", ".", "a/b", "a b", "\u00e4"}) {
    EXPECT_THAT(store("\"kvNamespace\": {\"id\": \"" + std::string(bad) + "\"}"),
                HasSubstr("/cache/kvNamespace/id: found"));
  }
  Settings running;
  Settings wanted;
  wanted.kv_namespace = KvNamespace{.binding = "", .id = "x"};
  EXPECT_THAT(NeedsRestart(running, wanted), ElementsAre("cache.kvNamespace"));
}

TEST(Settings, CapacityIsReadAndCheckedBetweenItsFields) {
  const LoadOutcome good = LoadWith(R"({"origins": [
    {"name": "a", "matcher": "^/(.+)$", "kvMaxBytes": "1GiB", "sources": [{"type": "file", "root": "/srv"}]},
    {"name": "p", "matcher": "^/", "mode": "passthrough", "sources": [{"type": "http", "url": "http://o.example"}]}],
    "cache": {"kv": {"maxBytes": "2GiB", "maxEntries": 1000, "highWatermark": 80, "lowWatermark": 70,
                     "eviction": "s3-fifo", "minUses": 2, "maxUnused": "30d"},
              "adaptiveTtl": {"enabled": true, "minFactor": 0.5, "maxFactor": 8, "popularUses": 20},
              "purgeRules": [{"olderThan": "90d", "tag": "old"}, {"olderThan": "1h", "origin": "a"}, {"olderThan": "365d"}],
              "purgeInterval": "10m"}})");
  ASSERT_TRUE(good.settings) << testing::PrintToString(Lines(good.problems));
  const cache::KeeperOptions& keeper = good.settings->cache.keeper;
  EXPECT_EQ(keeper.max_bytes, 2ull << 30);
  EXPECT_EQ(keeper.max_entries, 1000u);
  EXPECT_EQ(keeper.high_watermark, 80u);
  EXPECT_EQ(keeper.low_watermark, 70u);
  EXPECT_EQ(keeper.eviction, "s3-fifo");
  EXPECT_EQ(keeper.min_uses, 2u);
  EXPECT_EQ(keeper.max_unused, 30 * 24h);
  EXPECT_TRUE(keeper.adaptive_ttl.enabled);
  EXPECT_EQ(keeper.adaptive_ttl.min_factor, 0.5);
  EXPECT_EQ(keeper.adaptive_ttl.max_factor, 8);
  EXPECT_EQ(keeper.adaptive_ttl.popular_uses, 20u);
  ASSERT_EQ(keeper.purge_rules.size(), 3u);
  EXPECT_EQ(keeper.purge_rules[0].tag, "old");
  EXPECT_EQ(keeper.purge_rules[1].origin, "a");
  EXPECT_EQ(keeper.purge_rules[2].older_than, 365 * 24h);
  EXPECT_EQ(keeper.purge_interval, 10min);
  EXPECT_THAT(keeper.origins, ElementsAre(std::pair<const std::string, uint64_t>("a", 1 << 30)))
      << "what passes through is not in the store";
  EXPECT_EQ(keeper.state_file, "./var/capacity.state");

  const LoadOutcome bad = LoadWith(WithOrigin(R"("cache": {
    "kv": {"highWatermark": 80, "lowWatermark": 80, "eviction": "lfu"},
    "adaptiveTtl": {"minFactor": 2},
    "purgeRules": [{"tag": "x"}, {"olderThan": "1d", "tag": "x", "origin": "a"}]})"));
  EXPECT_THAT(
      Pointers(bad.problems),
      ElementsAre("/cache/kv/lowWatermark", "/cache/kv/eviction", "/cache/adaptiveTtl/minFactor",
                  "/cache/purgeRules/0/olderThan", "/cache/purgeRules/1/olderThan"));

  const LoadOutcome odd = LoadWith(R"({"origins": [
    {"name": "a", "matcher": "^/(.+)$", "kvMaxBytes": "1TiB", "sources": [{"type": "file", "root": "/srv"}]}],
    "cache": {"purgeRules": [{"olderThan": "1d", "origin": "b"}]}})");
  EXPECT_TRUE(odd.settings);
  EXPECT_THAT(Pointers(odd.warnings),
              testing::IsSupersetOf({"/origins/0/kvMaxBytes", "/cache/purgeRules/0/origin"}));
}

TEST(Settings, NeedsRestartNamesWhatRunningPartsWereMadeBy) {
  Settings running;
  EXPECT_THAT(NeedsRestart(running, running), IsEmpty());
  Settings wanted = running;
  wanted.server.listen = "0.0.0.0:1";
  wanted.admin.token = "other";
  wanted.cache.ttl.ok = 5s;
  wanted.cache.edge.max_bytes = 1;
  EXPECT_THAT(NeedsRestart(running, wanted), ElementsAre("listen", "admin", "cache.edge"));
}

TEST(Settings, TlsNeedsItsFilesAndTheRestHasDefaults) {
  const LoadOutcome good = LoadWith(WithOrigin(R"("tls": {"certificate": "/c.pem", "key": "/k.pem"},
                             "http2": {"maxConcurrentStreams": 7})"));
  ASSERT_TRUE(good.settings) << testing::PrintToString(Lines(good.problems));
  EXPECT_EQ(good.settings->tls->files.certificate, "/c.pem");
  EXPECT_EQ(good.settings->tls->files.key, "/k.pem");
  EXPECT_EQ(good.settings->tls->handshake_timeout, 10s);
  EXPECT_EQ(good.settings->server.max_concurrent_streams, 7);
  EXPECT_TRUE(good.settings->enable_http2);
  EXPECT_THAT(Pointers(LoadWith(WithOrigin(R"("tls": {"certificate": "/c.pem"})")).problems),
              ElementsAre("/tls/key"));
}

TEST(Settings, OnlyWhetherThereIsTlsNeedsARestart) {
  Settings running;
  Settings wanted = running;
  wanted.tls.emplace();
  EXPECT_THAT(NeedsRestart(running, wanted), ElementsAre("tls"));
  running.tls.emplace();
  wanted.tls->files.certificate = "/new.pem";
  EXPECT_THAT(NeedsRestart(running, wanted), IsEmpty());
  wanted.tls->handshake_timeout = 1s;
  wanted.enable_http2 = false;
  EXPECT_THAT(NeedsRestart(running, wanted), ElementsAre("tls.handshakeTimeout", "http2"));
}

TEST(Settings, AnalyticsIsOnAndHasItsBounds) {
  LoadOutcome outcome = LoadWith(WithOrigin(R"("data": "/d")"));
  ASSERT_TRUE(outcome.settings);
  EXPECT_TRUE(outcome.settings->analytics.enabled);
  EXPECT_EQ(outcome.settings->analytics.interval, 10s);
  EXPECT_EQ(outcome.settings->analytics.dir, "/d/analytics");
  outcome = LoadWith(WithOrigin(
      R"("analytics": {"enabled": false, "interval": "1m", "keepHours": 48, "keepDays": 30})"));
  ASSERT_TRUE(outcome.settings);
  EXPECT_FALSE(outcome.settings->analytics.enabled);
  EXPECT_EQ(outcome.settings->analytics.interval, 60s);
  EXPECT_EQ(outcome.settings->analytics.keep_hours, 48u);
  EXPECT_EQ(outcome.settings->analytics.keep_days, 30u);
  EXPECT_THAT(NeedsRestart(Settings(), *outcome.settings), testing::Contains("analytics"));
  outcome = LoadWith(WithOrigin(
      R"("analytics": {"interval": "0s", "keepHours": 23, "keepDays": 4000, "keepMinutes": 1})"));
  EXPECT_THAT(Pointers(outcome.problems),
              ElementsAre("/analytics/interval", "/analytics/keepHours", "/analytics/keepDays",
                          "/analytics/keepMinutes"));
}

TEST(Settings, PrewarmNamesDerivativesThatThereAre) {
  const LoadOutcome good = LoadWith(WithOrigin(R"("prewarm": {
    "derivatives": ["mobile", "thumbnail"], "onUpload": ["tablet"], "hotRequests": 100,
    "hotWindow": "10m", "uploadPath": "/${bucket}/${key}", "queue": 5, "concurrency": 2, "together": 1})"));
  ASSERT_THAT(Lines(good.problems), IsEmpty());
  EXPECT_THAT(Lines(good.warnings), IsEmpty());
  const cache::PrewarmOptions& prewarm = good.settings->prewarm;
  EXPECT_THAT(prewarm.derivatives, ElementsAre("mobile", "thumbnail"));
  EXPECT_THAT(prewarm.on_upload, ElementsAre("tablet"));
  EXPECT_EQ(prewarm.hot_requests, 100u);
  EXPECT_EQ(prewarm.hot_window, 10min);
  EXPECT_EQ(prewarm.upload_path, "/${bucket}/${key}");
  EXPECT_EQ(prewarm.queue, 5u);
  EXPECT_EQ(prewarm.concurrency, 2u);
  EXPECT_EQ(prewarm.together, 1u);
  EXPECT_THAT(NeedsRestart(Settings(), *good.settings),
              testing::Not(testing::Contains(HasSubstr("prewarm"))));
  const LoadOutcome bad = LoadWith(WithOrigin(R"("prewarm": {
    "derivatives": ["mobil"], "onUpload": ["tablet", "tabled"], "uploadPath": "/videos/"})"));
  EXPECT_THAT(Pointers(bad.problems),
              ElementsAre("/prewarm/derivatives/0", "/prewarm/onUpload/1", "/prewarm/uploadPath"));
  EXPECT_THAT(Pointers(LoadWith(WithOrigin(R"("prewarm": {"hotRequests": 9})")).warnings),
              ElementsAre("/prewarm/hotRequests"));
}

// --- docs/configuration.md and the keys there are ---

std::string Cell(const config::KeyInfo& key) {
  std::string allowed = key.allowed;
  for (size_t at = 0; (at = allowed.find('|', at)) != std::string::npos; at += 2)
    allowed.replace(at, 1, "\\|");
  std::string value = key.required                ? "required"
                      : key.default_value.empty() ? "none"
                                                  : "`" + key.default_value + "`";
  return "| `" + key.path + "` | " + key.type + " | " + value + " | " + allowed + " |";
}

TEST(ConfigurationReference, HasExactlyTheKeysThereAre) {
  const std::string docs = ReadAll(ProjectFile("docs/configuration.md"));
  ASSERT_FALSE(docs.empty());
  std::set<std::string> documented;
  std::istringstream lines(docs);
  for (std::string line; std::getline(lines, line);) {
    if (line.compare(0, 3, "| `") == 0) documented.insert(line.substr(3, line.find('`', 3) - 3));
  }
  std::set<std::string> existing;
  for (const config::KeyInfo& key : DescribeKeys()) {
    existing.insert(key.path);
    EXPECT_THAT(docs, HasSubstr(Cell(key)))
        << "docs/configuration.md lacks this row or says something else";
  }
  EXPECT_EQ(documented, existing);
}

TEST(ConfigurationReference, EveryDefaultIsAccepted) {
  for (const config::KeyInfo& key : DescribeKeys()) {
    if (key.default_value.empty() || key.path.find_first_of("[*") != std::string::npos) continue;
    std::string text = key.default_value;
    std::string rest = key.path;
    while (true) {
      const size_t dot = rest.rfind('.');
      text = "{\"" + rest.substr(dot == std::string::npos ? 0 : dot + 1) + "\": " + text + "}";
      if (dot == std::string::npos) break;
      rest.erase(dot);
    }
    const LoadOutcome outcome = LoadWith(text);
    if (key.path.starts_with("tls.")) continue;  // needs certificate and key
    EXPECT_THAT(Lines(outcome.problems), IsEmpty()) << text;
  }
}

}  // namespace
}  // namespace vr::app
