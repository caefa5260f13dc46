#include "variant/media_url.h"

#include <gtest/gtest.h>

#include "variant/key.h"

namespace vr::variant {
namespace {

using namespace std::chrono_literals;

std::string Read(std::string_view target, const Options& options = {}) {
  const size_t mark = target.find('?');
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  const auto url = ParseMediaUrl(target.substr(0, mark), query, options);
  if (!url.ok()) return "<" + url.error().reason + ">";
  return url->options + " " + (url->is_absolute() ? url->canonical() : url->path);
}

std::string KeyFor(std::string_view media_options, const Options& options = {},
                   std::string_view query = {}) {
  const auto parsed = ParseMediaOptions(media_options, "v/a.mp4", query, options);
  return parsed.ok() ? KeyOf(parsed->request) : "<" + parsed.error().reason + ">";
}

TEST(MediaUrl, IsKnownByItsBeginning) {
  for (const char* path : {"/cdn-cgi/media", "/cdn-cgi/media/", "/cdn-cgi/media/w=1/a.mp4"}) {
    EXPECT_TRUE(IsMediaUrl(path)) << path;
  }
  for (const char* path : {"/", "", "/cdn-cgi/", "/cdn-cgi/trace", "/cdn-cgi/mediax/w=1/a.mp4",
                           "/x/cdn-cgi/media/w=1/a.mp4", "/cdn-cgi/image/w=1/a.jpg"}) {
    EXPECT_FALSE(IsMediaUrl(path)) << path;
  }
}

TEST(MediaUrl, SourcesOfOurOwn) {
  const std::pair<const char*, const char*> table[] = {
      {"/cdn-cgi/media/width=640/videos/a.mp4", "width=640 videos/a.mp4"},
      {"/cdn-cgi/media/width=640//videos/a.mp4", "width=640 videos/a.mp4"},
      {"/cdn-cgi/media/width=640/videos//a.mp4/", "width=640 videos/a.mp4"},
      {"/cdn-cgi/media/width=640/a%20b.mp4", "width=640 a b.mp4"},
      {"/cdn-cgi/media/width=640/a%2520b.mp4", "width=640 a%20b.mp4"},
      {"/cdn-cgi/media/width=640%2Cheight=3/a.mp4", "width=640,height=3 a.mp4"},
      {"/cdn-cgi/media/width%3D640/a.mp4", "width=640 a.mp4"},
      {"/cdn-cgi/media//videos/a.mp4", " videos/a.mp4"},
      {"/cdn-cgi/media/,/videos/a.mp4", ", videos/a.mp4"},
      {"/cdn-cgi/media/nocache/a.mp4", "nocache a.mp4"},
      {"/cdn-cgi/media/debug/a.mp4", "debug a.mp4"},
      {"/cdn-cgi/media/x=1/a.mp4?width=3", "x=1 a.mp4"},
      {"/cdn-cgi/media/w=1/httpsfoo/a.mp4", "w=1 httpsfoo/a.mp4"},
      {"/cdn-cgi/media/w=1/x:y/a.mp4", "w=1 x:y/a.mp4"},
  };
  for (const auto& [target, want] : table) EXPECT_EQ(Read(target), want) << target;
}

TEST(MediaUrl, AbsoluteSources) {
  const std::pair<const char*, const char*> table[] = {
      {"https://h.example/a.mp4", "https://h.example/a.mp4"},
      {"https:/h.example/a.mp4", "https://h.example/a.mp4"},
      {"HTTPS://H.Example/A.mp4", "https://h.example/A.mp4"},
      {"https://h.example./a.mp4", "https://h.example/a.mp4"},
      {"http://h.example/a.mp4", "http://h.example/a.mp4"},
      {"https://h.example:443/a.mp4", "https://h.example/a.mp4"},
      {"https://h.example:80/a.mp4", "https://h.example:80/a.mp4"},
      {"http://h.example:080/a.mp4", "http://h.example/a.mp4"},
      {"https://h.example:/a.mp4", "https://h.example/a.mp4"},
      {"https://[2001:DB8::1]:8443/a.mp4", "https://[2001:db8::1]:8443/a.mp4"},
      {"https%3A%2F%2Fh.example%2Fa.mp4", "https://h.example/a.mp4"},
      {"https%3a//h.example/a.mp4", "https://h.example/a.mp4"},
      {"https://h.example//a//b.mp4", "https://h.example/a/b.mp4"},
      {"https://h.example/a%20b(1).mp4", "https://h.example/a%20b%281%29.mp4"},
      {"https://h.example/a%3Fb.mp4", "https://h.example/a%3Fb.mp4"},
      {"https://h.example/a?sig=a%2Fb&x=1", "https://h.example/a?sig=a%2Fb&x=1"},
      {"https%3A%2F%2Fh.example%2Fa%3Fsig%3D1?x=2", "https://h.example/a?sig=1&x=2"},
      {"https://h.example/v/cdn-cgi/media/a.mp4", "https://h.example/v/cdn-cgi/media/a.mp4"},
  };
  for (const auto& [source, want] : table) {
    EXPECT_EQ(Read("/cdn-cgi/media/w=9/" + std::string(source)), "w=9 " + std::string(want))
        << source;
  }
}

TEST(MediaUrl, WhatIsNoneSaysWhy) {
  const std::pair<const char*, const char*> table[] = {
      {"/cdn-cgi/media", "<NOT_FOUND>"},
      {"/cdn-cgi/media/", "<NOT_FOUND>"},
      {"/cdn-cgi/media/width=640", "<NOT_FOUND>"},
      {"/cdn-cgi/media/width=640/", "<INVALID_URL>"},
      {"/cdn-cgi/media/width=640//", "<INVALID_URL>"},
      {"/cdn-cgi/media/videos/a.mp4", "<INVALID_PARAMETER>"},
      {"/cdn-cgi/media/https://h.example/a.mp4", "<INVALID_PARAMETER>"},
      {"/cdn-cgi/media/width=%zz/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/../a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/x/%2e%2e/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/x/%252e%252e%252fa.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/a%00.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/a%zz.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/cdn-cgi/media/w=2/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1//cdn-cgi/media", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/%63dn-cgi/media/w=2/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example/cdn-cgi/media/w=2/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/ftp://h.example/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/file:///etc/passwd.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https:h.example/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example/", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https:///a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://:80/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://u@h.example/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://u:p@h.example/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example%40evil/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example\\@evil/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h%2eexample/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h..example./a.mp4", "w=1 https://h..example/a.mp4"},
      {"/cdn-cgi/media/w=1/https://h.example../a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example:0/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example:65536/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example:8a/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://[::1/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://[::1]x/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://[fe80::1%25eth0]/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h\xc3\xa9.example/a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example/x/../a.mp4", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https://h.example/a.mp4?x=\x7f", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https%3A//h.example/a.mp4%23x", "<INVALID_URL>"},
      {"/cdn-cgi/media/w=1/https%3A//h.example/a%0Ab.mp4", "<INVALID_URL>"},
  };
  for (const auto& [target, want] : table) EXPECT_EQ(Read(target), want) << target;
}

TEST(MediaUrl, OptionsAreThoseOfTheQuery) {
  const std::pair<const char*, const char*> table[] = {
      {"", "video:v/a.mp4"},
      {",,", "video:v/a.mp4"},
      {"width=640,height=360,fit=cover", "video:v/a.mp4:w=640:h=360:fit=cover"},
      {"w=640,h=360,fit=crop", "video:v/a.mp4:w=640:h=360:fit=cover"},
      {"mode=video,time=5s,duration=5s,width=500,height=500,fit=crop,audio=false",
       "video:v/a.mp4:w=500:h=500:fit=cover:t=5s:d=5s:a=false"},
      {"mode=frame,time=2,format=png", "frame:v/a.mp4:t=2s:f=png"},
      {"mode=spritesheet,imageCount=6,width=100", "spritesheet:v/a.mp4:w=100:count=6"},
      {"mode=audio,format=m4a", "audio:v/a.mp4:f=m4a"},
      {"mode=info", "info:v/a.mp4"},
      {"unknown=1,width=20,filename=x.mp4,debug=view", "video:v/a.mp4:w=20"},
      {"w=20,width=30,w=40", "video:v/a.mp4:w=30"},
      {"width=20,width=30", "video:v/a.mp4:w=30"},
      {"width=5", "video:v/a.mp4"},
      {"derivative=mobile", "video:v/a.mp4:derivative=mobile"},
      {"imwidth=855", "video:v/a.mp4:derivative=tablet"},
      {"crop=10:20:30:40", "video:v/a.mp4:crop=10,20,30,40"},
      {"q=high+", "video:v/a.mp4"},
      {"filename=%41.mp4,w=20", "video:v/a.mp4:w=20"},
  };
  for (const auto& [text, want] : table) EXPECT_EQ(KeyFor(text), want) << text;
}

TEST(MediaUrl, OfTheQueryOnlyTheFlagsCount) {
  const Options options;
  EXPECT_EQ(KeyFor("w=20", options, "w=30&h=40&derivative=mobile&mode=frame"),
            "video:v/a.mp4:w=20");
  const auto parsed = ParseMediaOptions("w=20", "a.mp4", "nocache&debug=view&filename=a", options);
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->flags.no_read);
  EXPECT_TRUE(parsed->flags.debug_view);
  EXPECT_EQ(parsed->filename, "");
  const auto inside = ParseMediaOptions("no-kv-cache=true,nocache", "a.mp4", "", options);
  EXPECT_TRUE(inside->flags.no_kv_cache);
  EXPECT_TRUE(inside->flags.no_read);
}

TEST(MediaUrl, LimitsAndStrictness) {
  Options options;
  options.limits.max_size = 2000;
  options.limits.max_time = 10min;
  options.limits.max_duration = 60s;
  EXPECT_EQ(KeyFor("width=2000,time=10m,duration=1m", options),
            "video:v/a.mp4:w=2000:t=600s:d=60s");
  const auto parsed = ParseMediaOptions("width=2001,time=601,duration=61s", "a.mp4", "", options);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(RenderWarnings(parsed->warnings),
            "width: must be a whole number 10-2000; time: must be at most 600s; duration: must be "
            "at most 60s");
  options.validation = Validation::kStrict;
  EXPECT_EQ(KeyFor("width=2001", options), "<INVALID_PARAMETER>");
}

TEST(MediaUrl, ASourceElsewhereNeverSharesAKeyWithAPath) {
  VariantRequest elsewhere;
  elsewhere.source_path = "https://h.example/a?b=1&c";
  EXPECT_EQ(KeyOf(elsewhere), "video:https%3A//h.example/a%3Fb%3D1%26c");
  for (const char* path : {"/https://h.example/a%3Fb=1&c", "/https%3A%2F%2Fh.example/a%3Fb=1&c"}) {
    const auto plain = Parse(path, "", Options());
    ASSERT_TRUE(plain.ok());
    EXPECT_NE(KeyOf(plain->request), KeyOf(elsewhere));
    EXPECT_NE(SourceTag(plain->request.source_path), SourceTag(elsewhere.source_path));
  }
  EXPECT_EQ(PathOfSource("https://h/a.mp4?x=.png"), "https://h/a.mp4");
  EXPECT_EQ(PathOfSource("a?b.mp4"), "a?b.mp4");
}

}  // namespace
}  // namespace vr::variant
