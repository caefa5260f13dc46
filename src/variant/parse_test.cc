#include "variant/parse.h"

#include <gtest/gtest.h>

#include <map>

#include "variant/key.h"
#include "variant/values.h"

namespace vr::variant {
namespace {

using namespace std::chrono_literals;

Parsed Ask(std::string_view query, const Options& options = {}) {
  auto parsed = Parse("/videos/sample.mp4", query, options);
  EXPECT_TRUE(parsed.ok()) << query;
  return parsed.ok() ? *std::move(parsed) : Parsed();
}
std::string Key(std::string_view query, const Options& options = {}) {
  return KeyOf(Ask(query, options).request);
}
std::string Warnings(std::string_view query, const Options& options = {}) {
  return RenderWarnings(Ask(query, options).warnings);
}
std::string PathOf(std::string_view raw) {
  auto path = ParsePath(raw);
  return path.ok() ? *path : "<" + path.error().reason + ">";
}

// ---- paths

TEST(ParsePath, CanonicalForms) {
  const std::pair<const char*, const char*> table[] = {
      {"/videos/sample.mp4", "videos/sample.mp4"},
      {"videos/sample.mp4", "videos/sample.mp4"},
      {"///videos//sample.mp4/", "videos/sample.mp4"},
      {"/videos/sample.mp4///", "videos/sample.mp4"},
      {"/videos%2Fsample.mp4", "videos/sample.mp4"},
      {"/videos%2f%2fsample.mp4%2F", "videos/sample.mp4"},
      {"/%76ideos/s%61mple.mp4", "videos/sample.mp4"},
      {"/a%20b.mp4", "a b.mp4"},
      {"/a+b.mp4", "a+b.mp4"},
      {"/a%2520b.mp4", "a%20b.mp4"},
      {"/100%25.mp4", "100%.mp4"},
      {"/caf%C3%A9.mp4", "caf\xc3\xa9.mp4"},
      {"/bad%ff%fe.mp4", "bad\xff\xfe.mp4"},
      {"/x:w=1.mp4", "x:w=1.mp4"},
      {"/...", "..."},
      {"/.hidden/..a/b..", ".hidden/..a/b.."},
      {"/a;b=c/d.mp4", "a;b=c/d.mp4"},
      {"/a\\b.mp4", "a\\b.mp4"},
      {"/", ""},
      {"", ""},
  };
  for (const auto& [raw, want] : table) EXPECT_EQ(PathOf(raw), want) << raw;
}

TEST(ParsePath, RefusesDotSegmentsInEveryEncoding) {
  const char* const table[] = {
      "/..",
      "/.",
      "/../a",
      "/a/..",
      "/a/../b",
      "/a/./b",
      "/a/.",
      "/./a",
      "..",
      ".",
      "../a",
      "//..//a",
      "/%2e",
      "/%2e%2e",
      "/%2E%2E/a",
      "/a/%2e%2e/b",
      "/a/.%2e/b",
      "/a/%2e./b",
      "/a%2f..%2fb",
      "/a%2F%2E%2E%2Fb",
      "/..%2f",
      "/%2f..",
      "/a/..%2f..%2fetc/passwd",
      "/%252e%252e/a",
      "/a/%252e%252e%252fb",
      "/%25252e%25252e/a",
      "/.%252e/a",
      "/%252e/a",
      "/..\\a",
      "/a\\..\\b",
      "/..%5ca",
      "/a%5c..%5cb",
      "/a%5C%2e%2e%5Cb",
      "/a%255c..%255cb",
      "\\..\\a",
      "/%c0%ae%c0%ae/a",
      "/a/%C0%AE%C0%AE/b",
      "/%c0%ae./a",
      "/a%c0%af..%c0%afb",
      "/..%c1%9ca",
      "/%e0%80%ae%e0%80%ae/a",
      "/%f0%80%80%ae%f0%80%80%ae/a",
      "/%25c0%25ae%25c0%25ae/a",
      "/..;/a",
      "/..;x=1/a",
      "/a/.;/b",
      "/%2e%2e%3b/a",
      "/..%253b/a",
      "/%2525252525252525252525252525252525252e",
  };
  static_assert(std::size(table) >= 40);
  for (const char* raw : table) EXPECT_EQ(PathOf(raw), "<INVALID_URL>") << raw;
}

TEST(ParsePath, RefusesBadEscapesAndControlBytes) {
  for (const char* raw :
       {"/%", "/a%", "/a%4", "/a%zz", "/a%4g.mp4", "/a%%41", "/a%-1", "/%u0041", "/a%00.mp4",
        "/a%0a", "/a%0d%0aX: y", "/a%1f", "/a%7f", "/a\tb", "/a\nb"}) {
    EXPECT_EQ(PathOf(raw), "<INVALID_URL>") << raw;
  }
  EXPECT_EQ(PathOf(std::string_view("/a\0b", 4)), "<INVALID_URL>");
  EXPECT_EQ(PathOf("/" + std::string(4096, 'a')), std::string(4096, 'a'));
  EXPECT_EQ(PathOf("/" + std::string(4097, 'a')), "<INVALID_URL>");
}

TEST(IsVideoPath, GoesByTheLastExtensionInAnyCase) {
  const Options options;
  for (const char* path :
       {"a.mp4", "A.MP4", "dir.x/a.b.c.Mp4", "a..mov", ".mp4", "x/a.3GP", "a.gif"}) {
    EXPECT_TRUE(IsVideoPath(path, options.video_formats)) << path;
  }
  for (const char* path :
       {"", "mp4", "a.mp4x", "a.mp", "a.", "a.mp4/b", "a.mp4.txt", "a.jpg", "a.mp4 "}) {
    EXPECT_FALSE(IsVideoPath(path, options.video_formats)) << path;
  }
}

// ---- values

TEST(ParseTime, IsTotal) {
  const std::pair<const char*, Time> good[] = {{"90", 90s},
                                               {"90s", 90s},
                                               {"1.5s", 1500ms},
                                               {"500ms", 500ms},
                                               {"2m", 120s},
                                               {"1m30s", 90s},
                                               {"1h2m3s", 3723s},
                                               {"0h2s", 2s},
                                               {"2", 2s},
                                               {"002", 2s},
                                               {"0", 0s},
                                               {"0.5", 500ms},
                                               {"5m", 300s},
                                               {"1h", 3600s},
                                               {"0.5s", 500ms},
                                               {"1.5m", 90s},
                                               {"1m90s", 150s},
                                               {"1s500ms", 1500ms},
                                               {"1h500ms", 3600500ms},
                                               {"1.0000000000000002", 1s},
                                               {"0.000001", Time(1)},
                                               {"0.0000009", Time(0)},
                                               {"1.5ms", Time(1500)},
                                               {"90S", 90s},
                                               {"1M30S", 90s},
                                               {"100h", 360000s},
                                               {"360000", 360000s}};
  for (const auto& [text, want] : good) {
    const auto time = ParseTime(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(*time, want) << text;
  }
  for (const char* text : {"",
                           " ",
                           "s",
                           "ms",
                           "-1",
                           "+1",
                           "1 s",
                           " 1",
                           "1s ",
                           "1x",
                           ".5",
                           "5.",
                           "1..5",
                           "1.5.5",
                           "1e3",
                           "0x10",
                           "30s1m",
                           "1m1m",
                           "1m30",
                           "1.5m30s",
                           "1h 2m",
                           "1:30",
                           "00:01:30",
                           "inf",
                           "nan",
                           "100h1s",
                           "360001",
                           "99999999999999999999",
                           "9999999999h",
                           "1ms1s",
                           "s1",
                           "1sm",
                           "1d",
                           "1;2",
                           "1,5"}) {
    EXPECT_FALSE(ParseTime(text)) << text;
  }
}

TEST(Parse, EveryOptionReachesItsField) {
  const auto o = Ask("width=640&height=360&format=webm&quality=high&compression=low&fit=cover&time="
                     "1m&duration=2.5&"
                     "audio=false&fps=29.97&speed=1.25&rotate=90&crop=100:50:1:2&bitrate=2.5M")
                     .request;
  EXPECT_EQ(o.mode, Mode::kVideo);
  EXPECT_EQ(o.own, o.resolved);
  EXPECT_EQ(o.own.width, 640u);
  EXPECT_EQ(o.own.height, 360u);
  EXPECT_EQ(o.own.format, Format::kWebm);
  EXPECT_EQ(o.own.quality, (Quality{Level::kHigh, 0}));
  EXPECT_EQ(o.own.compression, Level::kLow);
  EXPECT_EQ(o.own.fit, Fit::kCover);
  EXPECT_EQ(o.own.time, Time(60s));
  EXPECT_EQ(o.own.duration, Time(2500ms));
  EXPECT_EQ(o.own.audio, false);
  EXPECT_EQ(o.own.fps, Decimal{29'970'000});
  EXPECT_EQ(o.own.speed, Decimal{1'250'000});
  EXPECT_EQ(o.own.rotate, Decimal{90'000'000});
  EXPECT_EQ(o.own.crop, (Crop{100, 50, 1, 2}));
  EXPECT_EQ(o.own.bitrate, 2'500'000u);
  const auto sheet = Ask("mode=spritesheet&imageCount=9&columns=3&rows=3&interval=10").request;
  EXPECT_EQ(sheet.mode, Mode::kSpritesheet);
  EXPECT_EQ(sheet.own.image_count, 9u);
  EXPECT_EQ(sheet.own.columns, 3u);
  EXPECT_EQ(sheet.own.rows, 3u);
  EXPECT_EQ(sheet.own.interval, Time(10s));
}

TEST(Parse, AliasesAndSpellingsShareAKey) {
  const std::pair<const char*, const char*> table[] = {
      {"w=640", "width=640"},
      {"h=360", "height=360"},
      {"w=640&h=360&obj-fit=crop", "width=640&height=360&fit=cover"},
      {"w=640&h=360&fit=fill", "width=640&height=360&fit=contain"},
      {"w=640&h=360&fit=COVER", "width=640&height=360&fit=cover"},
      {"f=h264", "format=mp4"},
      {"imformat=webm", "format=vp9"},
      {"f=HEVC", "format=h265"},
      {"mode=frame&f=jpeg", "mode=FRAME&format=jpg"},
      {"q=HIGH", "quality=high"},
      {"q=080", "quality=80"},
      {"c=low", "compression=Low"},
      {"mode=frame&start=2", "mode=frame&time=2s"},
      {"time=0h2s", "time=2"},
      {"dur=90", "duration=1m30s"},
      {"mute=true", "audio=false"},
      {"mute=TRUE", "audio=False"},
      {"mute=false", ""},
      {"impolicy=mobile", "derivative=mobile"},
      {"w=320&imdensity=2", "width=320&dpr=2"},
      {"w=320&dpr=2", "w=640"},
      {"w=0640", "w=640"},
      {"br=1", ""},
      {"bitrate=2M", "bitrate=2000k"},
      {"bitrate=2000000", "bitrate=2.0m"},
      {"rotate=-90", "rotate=270"},
      {"rotate=450", "rotate=90.0"},
      {"fps=25.000", "fps=25"},
      {"h=360&w=640", "w=640&h=360"},
      {"%77=640", "w=640"},
      {"w=%36%34%30", "w=640"},
      {"w=640&utm_source=x&utm_campaign=y&foo=bar&foo&&=&=x", "w=640"},
      {"w=640&filename=clip.mp4", "w=640"},
      {"w=640&loop=true&autoplay=true&muted=true&preload=none", "w=640"},
      {"w=640&debug=true", "w=640"},
      {"w=640&debug=view&no-kv-cache=true&nocache&bypass=1", "w=640"},
      {"w=640&imwidth=900&imheight=2&im-viewwidth=1000&im-density=3", "w=640"},
      {"WIDTH=640", ""},
      // Saying a default, or what has no effect, is saying nothing.
      {"audio=true", ""},
      {"q=auto&c=auto&fit=contain&t=0", ""},
      {"time=0&speed=1.0&rotate=360&mode=video", ""},
      {"fit=cover", ""},
      {"w=640&fit=cover", "w=640"},
      {"w=640&fit=pad", "w=640"},
      {"dpr=2", ""},
      {"mode=spritesheet&imageCount=20", "mode=spritesheet"},
      {"format=m4a", "format=m4a&mode=audio"},
  };
  for (const auto& [a, b] : table) {
    EXPECT_EQ(Key(a), Key(b)) << a;
    EXPECT_EQ(Ask(a).request, Ask(b).request) << a;
  }
}

TEST(Parse, DifferentQuestionsHaveDifferentKeys) {
  const char* const table[] = {"",
                               "w=640",
                               "h=640",
                               "w=641",
                               "w=640&h=360",
                               "w=640&fit=scale-down",
                               "w=640&h=360&fit=cover",
                               "w=640&h=360&fit=pad",
                               "w=640&h=360&fit=scale-down",
                               "f=mp4",
                               "f=webm",
                               "f=h265",
                               "f=av1",
                               "f=gif",
                               "f=webp",
                               "q=low",
                               "q=medium",
                               "q=high",
                               "q=1",
                               "q=100",
                               "c=low",
                               "c=high",
                               "time=1",
                               "time=2",
                               "time=0.5",
                               "duration=1",
                               "duration=2",
                               "audio=false",
                               "fps=25",
                               "fps=24",
                               "speed=2",
                               "speed=0.5",
                               "rotate=90",
                               "rotate=180",
                               "crop=10:10:0:0",
                               "crop=10:10:0:1",
                               "bitrate=1M",
                               "bitrate=800k",
                               "mode=frame",
                               "mode=frame&time=1",
                               "mode=frame&time=2",
                               "mode=frame&f=jpg",
                               "mode=frame&f=png",
                               "mode=frame&f=webp",
                               "mode=audio",
                               "mode=audio&f=mp3",
                               "mode=audio&f=opus",
                               "mode=audio&time=1",
                               "mode=spritesheet",
                               "mode=spritesheet&imageCount=10",
                               "mode=spritesheet&columns=5",
                               "mode=spritesheet&rows=5",
                               "mode=spritesheet&interval=5",
                               "mode=spritesheet&columns=5&imageCount=20",
                               "mode=spritesheet&f=vtt",
                               "derivative=mobile",
                               "derivative=tablet",
                               "derivative=thumbnail",
                               "derivative=mobile&q=high",
                               "derivative=mobile&mode=frame"};
  std::map<std::string, const char*> seen;
  for (const char* query : table) {
    const auto [at, fresh] = seen.emplace(Key(query), query);
    EXPECT_TRUE(fresh) << query << " and " << at->second << " share " << at->first;
  }
}

TEST(Parse, CanonicalNameBeatsAliasAndTheLastValueWins) {
  EXPECT_EQ(Ask("width=640&w=320").request.own.width, 640u);
  EXPECT_EQ(Ask("w=320&width=640").request.own.width, 640u);
  EXPECT_EQ(Ask("w=320&w=330").request.own.width, 330u);
  EXPECT_EQ(Ask("width=640&w=320&width=650").request.own.width, 650u);
  EXPECT_EQ(Ask("f=webm&imformat=gif").request.own.format, Format::kGif);
  EXPECT_EQ(Ask("imformat=gif&f=webm").request.own.format, Format::kWebm);
  EXPECT_EQ(Ask("mute=true&audio=true").request.own.audio, std::nullopt);
  EXPECT_EQ(Warnings("width=x&w=320"), "width: must be a whole number 10-8192");
  EXPECT_EQ(Warnings("width=x&width=320"), "");
}

TEST(Parse, InvalidValuesAreDroppedWithAReason) {
  const char* const table[] = {
      "width=9", "width=8193", "width=", "width=-640", "width=640px", "width=6.4",
      "width=99999999999999999999", "width", "h=0", "fit=stretch", "format=exe", "quality=0",
      "quality=101", "quality=best", "compression=9", "time=abc", "time=-1", "time=", "duration=0",
      "duration=0s", "duration=1m1m", "audio=yes", "audio=1", "mute=", "fps=0", "fps=-1",
      "fps=1001", "fps=x", "speed=0.24", "speed=4.01", "rotate=left", "crop=1:2:3", "crop=0:2:3:4",
      "crop=1:2:3:4:5", "crop=1:2:3:-4", "bitrate=0", "bitrate=2G", "bitrate=M", "bitrate=2MM",
      "mode=movie", "derivative=nope", "derivative=", "derivative=Mobile", "dpr=0", "dpr=x",
      "imwidth=0", "im-density=0", "filename=../x", "filename=a.b.c", "filename=", "filename=.a",
      "filename=a.", "filename=a%0d%0ab", "loop=maybe", "preload=all", "debug=maybe",
      "no-kv-cache=x", "width=%zz", "width=64%", "mode=spritesheet&imageCount=0",
      "mode=spritesheet&interval=0",
      // right in themselves, wrong in this mode
      "format=png", "format=vtt", "mode=frame&format=mp4", "mode=video&format=m4a",
      "mode=audio&format=webp", "mode=frame&duration=2", "mode=frame&audio=false",
      "mode=frame&fps=2", "mode=audio&width=640", "imageCount=9", "columns=3"};
  Options strict;
  strict.validation = Validation::kStrict;
  for (const char* query : table) {
    const Parsed parsed = Ask(query);
    EXPECT_EQ(parsed.warnings.size(), 1u) << query << ": " << RenderWarnings(parsed.warnings);
    VariantRequest bare;
    bare.mode = parsed.request.mode;
    bare.source_path = "videos/sample.mp4";
    EXPECT_EQ(parsed.request, bare) << query;

    const auto refused = Parse("/videos/sample.mp4", query, strict);
    ASSERT_FALSE(refused.ok()) << query;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_EQ(refused.error().reason, "INVALID_PARAMETER");
    ASSERT_EQ(refused.error().facts.size(), 1u);
    EXPECT_EQ(refused.error().facts[0].first, parsed.warnings[0].param);
    EXPECT_EQ(refused.error().facts[0].second, parsed.warnings[0].reason);
  }
}

TEST(Parse, ReportsEveryReasonUnderTheNameThatWasUsed) {
  EXPECT_EQ(Warnings("w=5&fit=x&time=1s"),
            "w: must be a whole number 10-8192; fit: must be contain, scale-down, cover or pad");
  EXPECT_EQ(Warnings("mode=frame&mute=true"), "mute: has no effect in mode frame");
  EXPECT_EQ(Warnings("imformat=png"), "imformat: not a format of mode video");
  EXPECT_EQ(Warnings(""), "");
  Options strict;
  strict.validation = Validation::kStrict;
  const auto refused = Parse("/a.mp4", "w=5&h=5&unknown=5", strict);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().facts.size(), 2u);
  EXPECT_TRUE(Parse("/a.mp4", "w=50&utm_x=5&audio=true&mode=video", strict).ok());
}

TEST(Parse, WarningsNeverCarryTheClientsBytes) {
  for (const Warning& w :
       Ask("width=%0d%0aX:%20y&mode=%00&derivative=%22&filename=%0a&f=%ff").warnings) {
    for (const char c : w.param + w.reason) {
      EXPECT_TRUE(c >= 0x20 && c < 0x7f);
      EXPECT_NE(c, '"');
    }
  }
}

TEST(Parse, LimitsAreConfigurable) {
  Options options;
  options.limits.max_size = 1000;
  EXPECT_EQ(Ask("w=1000", options).request.own.width, 1000u);
  EXPECT_EQ(Warnings("w=1001", options), "w: must be a whole number 10-1000");
  EXPECT_EQ(Ask("w=800&dpr=3", options).request.own.width, 1000u);
}

TEST(Parse, DprMultipliesTheCallersSizes) {
  EXPECT_EQ(Key("w=320&h=180&dpr=1.5"), Key("w=480&h=270"));
  EXPECT_EQ(Key("w=333&dpr=1.5"), Key("w=500"));  // 499.5
  EXPECT_EQ(Key("w=8000&dpr=2"), Key("w=8192"));
  EXPECT_EQ(Key("w=10&dpr=0.1"), Key("w=10"));
  EXPECT_EQ(Key("derivative=mobile&dpr=2"), Key("derivative=mobile"));
  EXPECT_EQ(Key("w=320&dpr=1"), Key("w=320"));
}

// ---- modes and derivatives

TEST(Parse, M4aAloneMeansAudio) {
  EXPECT_EQ(Ask("format=m4a").request.mode, Mode::kAudio);
  EXPECT_EQ(Ask("f=m4a").warnings.size(), 0u);
  EXPECT_EQ(Ask("format=m4a&mode=video").request.mode, Mode::kVideo);
  EXPECT_EQ(Ask("format=png").request.mode, Mode::kVideo);
  EXPECT_EQ(Ask("format=jpg").request.mode, Mode::kVideo);
}

TEST(Parse, ADerivativesOwnOptionsReplaceTheCallers) {
  const auto thumbnail = Ask("derivative=thumbnail&w=100&time=9&f=jpg&mode=video&q=high").request;
  EXPECT_EQ(thumbnail.mode, Mode::kFrame);
  EXPECT_EQ(thumbnail.derivative, "thumbnail");
  EXPECT_EQ(KeyOf(thumbnail), "frame:videos/sample.mp4:derivative=thumbnail:q=high");
  EXPECT_EQ(thumbnail.resolved.width, 640u);
  EXPECT_EQ(thumbnail.resolved.height, 360u);
  EXPECT_EQ(thumbnail.resolved.fit, Fit::kCover);
  EXPECT_EQ(thumbnail.resolved.format, Format::kPng);
  EXPECT_EQ(thumbnail.resolved.time, Time(2s));
  EXPECT_EQ(thumbnail.resolved.quality, (Quality{Level::kHigh, 0}));
  // The shipped mobile sets fit=contain: a default, but the preset's word all the same.
  EXPECT_EQ(Key("derivative=mobile&fit=cover"), "video:videos/sample.mp4:derivative=mobile");
  EXPECT_EQ(Key("derivative=mobile&audio=true"), "video:videos/sample.mp4:derivative=mobile");
  EXPECT_EQ(Key("derivative=mobile&audio=false"),
            "video:videos/sample.mp4:derivative=mobile:a=false");
  EXPECT_EQ(Key("derivative=mobile&mode=frame&time=3"),
            "frame:videos/sample.mp4:derivative=mobile:t=3s");
}

TEST(Parse, AnUnknownDerivativeIsIgnoredOrRefused) {
  EXPECT_EQ(Key("derivative=nope&w=640"), Key("w=640"));
  EXPECT_EQ(Warnings("derivative=nope"), "derivative: unknown derivative");
  Options strict;
  strict.validation = Validation::kStrict;
  EXPECT_FALSE(Parse("/a.mp4", "derivative=nope", strict).ok());
}

TEST(Parse, OnlyAnEmptyQuestionIsTheOriginal) {
  for (const char* query :
       {"", "audio=true", "utm_x=1", "debug=true", "fit=cover", "mode=video", "w=5"}) {
    EXPECT_TRUE(Ask(query).request.is_original()) << query;
  }
  for (const char* query :
       {"f=mp4", "w=640", "mode=frame", "mode=audio", "derivative=mobile", "q=low"}) {
    EXPECT_FALSE(Ask(query).request.is_original()) << query;
  }
}

TEST(Parse, AnOriginsDefaultsFillWhatIsOpenAndNeverTheKey) {
  auto request = Ask("w=640").request;
  const std::string key = KeyOf(request);
  const Hash128 digest = DigestOf(request, "s", "r");
  ApplyOriginDefaults(request, Quality{Level::kMedium, 0}, Level::kHigh);
  EXPECT_EQ(request.resolved.quality, (Quality{Level::kMedium, 0}));
  EXPECT_EQ(request.resolved.compression, Level::kHigh);
  EXPECT_EQ(KeyOf(request), key);
  EXPECT_NE(DigestOf(request, "s", "r"), digest);
  auto explicit_one = Ask("w=640&q=low").request;
  ApplyOriginDefaults(explicit_one, Quality{Level::kMedium, 0}, Level::kAuto);
  EXPECT_EQ(explicit_one.resolved.quality, (Quality{Level::kLow, 0}));
  auto original = Ask("").request;
  ApplyOriginDefaults(original, Quality{Level::kMedium, 0}, Level::kHigh);
  EXPECT_TRUE(original.is_original());
}

// ---- what never reaches the key

TEST(Parse, FlagsComeOutBesideTheRequest) {
  const auto flags = [](std::string_view query) { return Ask(query).flags; };
  EXPECT_EQ(flags(""), Flags());
  EXPECT_TRUE(flags("debug=true").debug);
  EXPECT_TRUE(flags("debug=TRUE").debug);
  EXPECT_TRUE(flags("debug").debug);
  EXPECT_FALSE(flags("debug=false").debug);
  EXPECT_TRUE(flags("debug=view").debug_view);
  EXPECT_FALSE(flags("debug=view").debug);
  EXPECT_TRUE(flags("no-kv-cache=true").no_kv_cache);
  EXPECT_FALSE(flags("no-kv-cache=false").no_kv_cache);
  for (const char* query :
       {"nocache", "nocache=", "nocache=true", "nocache=1699", "bypass", "bypass=true"}) {
    EXPECT_TRUE(flags(query).no_read) << query;
  }
  EXPECT_FALSE(flags("nocache=false").no_read);
  Options options;
  options.bypass_parameters = {"fresh", "width"};
  EXPECT_TRUE(Ask("fresh", options).flags.no_read);
  EXPECT_FALSE(Ask("nocache", options).flags.no_read);
  EXPECT_TRUE(Ask("width=640", options).flags.no_read);
  EXPECT_EQ(Ask("width=640", options).request.own.width, 640u);
}

TEST(Parse, FilenameFollowsItsGrammar) {
  for (const char* name : {"a", "clip.mp4", "my_clip-1.MP4", "-.-"}) {
    EXPECT_EQ(Ask("filename=" + std::string(name)).filename, name);
  }
  const std::string longest(120, 'x');
  EXPECT_EQ(Ask("filename=" + longest).filename, longest);
  for (const std::string& name :
       {longest + "x", std::string("a.b.c"), std::string("a%20b"), std::string("a%22"),
        std::string("a;b"), std::string("caf%C3%A9"), std::string("a%00")}) {
    EXPECT_EQ(Ask("filename=" + name).filename, "") << name;
    EXPECT_EQ(Ask("filename=" + name).warnings.size(), 1u) << name;
  }
}

TEST(Parse, PlaybackAndResponsiveHintsAreKeptApart) {
  const Parsed parsed =
      Ask("loop=true&autoplay=false&muted=TRUE&preload=Metadata&imwidth=855&im-density=1.5");
  EXPECT_EQ(parsed.playback.loop, true);
  EXPECT_EQ(parsed.playback.autoplay, false);
  EXPECT_EQ(parsed.playback.muted, true);
  EXPECT_EQ(parsed.playback.preload, "metadata");
  EXPECT_EQ(parsed.responsive.width, 855u);
  EXPECT_EQ(parsed.responsive.density, Decimal{1'500'000});
  EXPECT_EQ(parsed.request.derivative, "desktop");  // 855 x 1.5
  EXPECT_EQ(parsed.request.own, MediaOptions());
}

TEST(Parse, APresetsPlaybackHintsComeFirstAndChangeNoKey) {
  Options options;
  const std::string key = KeyOf(Parse("/a.mp4", "derivative=mobile", options)->request);
  const Hash128 digest =
      DigestOf(Parse("/a.mp4", "derivative=mobile", options)->request, "file:/a", "r");
  options.derivatives["mobile"].playback = {true, std::nullopt, false, "none"};
  const auto parsed =
      Parse("/a.mp4", "derivative=mobile&loop=false&autoplay=true&preload=auto", options);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->playback, (PlaybackHints{true, true, false, "none"}));
  EXPECT_TRUE(parsed->warnings.empty());
  EXPECT_EQ(KeyOf(parsed->request), key);
  EXPECT_EQ(DigestOf(parsed->request, "file:/a", "r"), digest);
  // Chosen by the screen, the same.
  EXPECT_EQ(Parse("/a.mp4", "imwidth=100", options)->playback.preload, "none");
  EXPECT_EQ(Parse("/a.mp4", "derivative=tablet", options)->playback, PlaybackHints());
}

TEST(FindParam, KnowsEveryNameOfTheContract) {
  for (const char* name :
       {"mode",        "width",      "w",         "height",   "h",        "fit",
        "obj-fit",     "format",     "f",         "imformat", "quality",  "q",
        "compression", "c",          "time",      "start",    "duration", "dur",
        "audio",       "mute",       "fps",       "speed",    "rotate",   "crop",
        "bitrate",     "imageCount", "columns",   "rows",     "interval", "derivative",
        "impolicy",    "dpr",        "imdensity", "imwidth",  "imheight", "im-viewwidth",
        "im-density",  "filename",   "loop",      "autoplay", "muted",    "preload",
        "debug",       "no-kv-cache"}) {
    const ParamName* found = FindParam(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->name, name);
  }
  for (const char* name :
       {"", "x", "W", "Width", "imagecount", "widthh", "no-kv-cach", "a-very-long-parameter"}) {
    EXPECT_EQ(FindParam(name), nullptr) << name;
  }
}

// ---- what the configuration lets nobody ask for

TEST(Allowed, OnlyPresets) {
  Options options;
  options.presets_only = true;
  EXPECT_EQ(Key("derivative=mobile", options), Key("derivative=mobile"));
  EXPECT_EQ(Key("impolicy=mobile&filename=a.mp4&loop=true&imwidth=500&debug=view", options),
            Key("derivative=mobile"));
  EXPECT_TRUE(Ask("", options).request.is_original()) << "another setting's matter";
  for (const char* query :
       {"width=100", "w=100", "derivative=mobile&q=90", "derivative=mobile&dpr=2", "mode=frame",
        "f=webm", "mute=true", "time=1", "%77idth=100", "derivative=nosuch", "w=nonsense",
        "mode=info", "imageCount=2&derivative=thumbnail"}) {
    const auto parsed = Parse("/videos/sample.mp4", query, options);
    ASSERT_FALSE(parsed.ok()) << query;
    EXPECT_EQ(parsed.error().reason, "INVALID_PARAMETER") << query;
    EXPECT_FALSE(parsed.error().facts.empty()) << query;
  }
}

TEST(Allowed, AListOfParameters) {
  Options options;
  options.allowed_parameters = {"width", "derivative"};
  EXPECT_EQ(Key("w=100&h=50&q=90", options), Key("w=100"));
  EXPECT_EQ(Warnings("w=100&h=50&filename=a", options),
            "h: is not allowed here; filename: is not allowed here");
  EXPECT_EQ(Key("derivative=thumbnail", options), Key("derivative=thumbnail"))
      << "what a preset sets is the operator's";
  options.validation = Validation::kStrict;
  const auto parsed = Parse("/videos/sample.mp4", "h=50", options);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().reason, "INVALID_PARAMETER");
  EXPECT_TRUE(Parse("/videos/sample.mp4", "w=50&other=1", options).ok());
}

TEST(Allowed, SoManyParametersAndNoMore) {
  std::string query = "w=100";
  for (int i = 1; i < 100; ++i) query += "&x";
  EXPECT_TRUE(Parse("/a.mp4", query, {}).ok());
  EXPECT_EQ(Parse("/a.mp4", query + "&", {}).error().reason, "INVALID_PARAMETER");
}

TEST(Allowed, NamesOfParameters) {
  for (const char* name : {"width", "time", "derivative", "im-viewwidth", "dpr"}) {
    EXPECT_TRUE(IsParameterName(name)) << name;
  }
  for (const char* name : {"", "w", "start", "impolicy", "Width", "vr-sig"}) {
    EXPECT_FALSE(IsParameterName(name)) << name;
  }
}

}  // namespace
}  // namespace vr::variant
