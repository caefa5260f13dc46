#include "variant/key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "variant/negotiate.h"
#include "variant/parse.h"

namespace vr::variant {
namespace {

VariantRequest Ask(std::string_view path, std::string_view query, const Options& options = {}) {
  auto parsed = Parse(path, query, options);
  EXPECT_TRUE(parsed.ok()) << path << '?' << query;
  return parsed.ok() ? parsed->request : VariantRequest();
}
std::string Key(std::string_view path, std::string_view query = {}) {
  return KeyOf(Ask(path, query));
}

// docs/formats/cache-key.md. A change here makes every stored entry unreachable.
TEST(KeyOf, GoldenKeys) {
  struct Row {
    const char *path, *query, *key;
  };
  const Row table[] = {
      // The four examples of the contract.
      {"/videos/sample.mp4", "", "video:videos/sample.mp4"},
      {"/videos/sample.mp4", "derivative=mobile", "video:videos/sample.mp4:derivative=mobile"},
      {"/videos/sample.mp4", "w=640&h=360&f=mp4&q=high",
       "video:videos/sample.mp4:w=640:h=360:f=mp4:q=high"},
      {"/videos/sample.mp4", "mode=frame&f=jpg&w=320&time=2",
       "frame:videos/sample.mp4:w=320:t=2s:f=jpg"},
      // Every option at its place.
      {"/a.mp4",
       "bitrate=800k&crop=100:50:1:2&rotate=90&speed=1.25&fps=29.97&audio=false&duration=2.5&time="
       "1m&fit=cover&"
       "compression=low&quality=55&format=webm&height=360&width=640",
       "video:a.mp4:w=640:h=360:f=webm:q=55:c=low:fit=cover:t=60s:d=2.5s:a=false:fps=29.97:spd=1."
       "25:rot=90:"
       "crop=100,50,1,2:br=800000"},
      {"/a.mp4", "mode=frame&w=10&h=20&time=500ms&f=png&q=low&c=high&fit=pad&rotate=0.5",
       "frame:a.mp4:w=10:h=20:t=0.5s:f=png:q=low:c=high:fit=pad:rot=0.5"},
      {"/a.mp4", "mode=spritesheet&imageCount=9&columns=3&rows=3&interval=1.5&time=3&f=vtt",
       "spritesheet:a.mp4:f=vtt:t=3s:count=9:cols=3:rows=3:int=1.5s"},
      {"/a.mp4", "mode=audio&f=mp3&bitrate=128k&duration=1h",
       "audio:a.mp4:f=mp3:d=3600s:br=128000"},
      {"/a.mp4", "format=m4a", "audio:a.mp4:f=m4a"},
      {"/a.mp4", "mode=frame&time=0.000001", "frame:a.mp4:t=0.000001s"},
      // Paths.
      {"/a b.mp4", "", "video:a%20b.mp4"},
      {"/a%20b.mp4", "", "video:a%20b.mp4"},
      {"/a%2520b.mp4", "", "video:a%2520b.mp4"},
      {"/a-b.mp4", "", "video:a-b.mp4"},
      {"/x:w=1", "", "video:x%3Aw%3D1"},
      {"/x", "w=10", "video:x:w=10"},
      {"/caf%C3%A9~_.MP4", "", "video:caf%C3%A9~_.MP4"},
      {"/bad%ff", "", "video:bad%FF"},
      {"/", "", "video:"},
      // Presets.
      {"/a.mp4", "derivative=thumbnail&w=99&q=high", "frame:a.mp4:derivative=thumbnail:q=high"},
      {"/a.mp4", "impolicy=tablet&mute=true&f=webm",
       "video:a.mp4:derivative=tablet:f=webm:a=false"},
  };
  for (const Row& row : table) EXPECT_EQ(Key(row.path, row.query), row.key);
}

TEST(KeyOf, ALongKeyIsCutAndCompletedByItsHash) {
  const std::string longest(394, 'p');  // "video:" + 394 = 400
  EXPECT_EQ(Key("/" + longest), "video:" + longest);
  const std::string path(395, 'p');
  EXPECT_EQ(Key("/" + path),
            "video:" + std::string(300, 'p') +
                ":sha256=37bbbc4b50e9f7bdbaa591d2ffcffba5f1d7b3ac24a2aaf6e5fc3759a7c8e9da");
  const std::string a = Key("/" + path, "w=640"), b = Key("/" + path, "w=641");
  EXPECT_NE(a, b);
  EXPECT_EQ(a.substr(0, 306), b.substr(0, 306));
  EXPECT_EQ(a.size(), 6 + 300 + 8 + 64u);
  EXPECT_TRUE(Key("/" + path, "mode=spritesheet")
                  .starts_with("spritesheet:" + std::string(300, 'p') + ":sha256="));
}

TEST(KeyOf, APresetsNameCannotForgeAnOption) {
  VariantRequest forged;
  forged.source_path = "a.mp4";
  forged.derivative = "x:w=640";
  EXPECT_EQ(KeyOf(forged), "video:a.mp4:derivative=x%3Aw%3D640");
}

TEST(TagsOf, NameSourceDerivativeFormatAndMode) {
  EXPECT_EQ(
      TagsOf(Ask("/videos/a b.mp4", "derivative=thumbnail"), {"customer-1", "video-mode-frame"}),
      (std::vector<std::string>{"video-videos/a%20b.mp4", "video-derivative-thumbnail",
                                "video-format-png", "video-mode-frame", "customer-1"}));
  EXPECT_EQ(TagsOf(Ask("/a.mp4", ""), {}),
            (std::vector<std::string>{"video-a.mp4", "video-format-mp4", "video-mode-video"}));
  EXPECT_EQ(TagsOf(Ask("/a.mp4", "mode=frame"), {})[1], "video-format-jpg");
  EXPECT_EQ(TagsOf(Ask("/a.mp4", "mode=audio"), {})[1], "video-format-m4a");
}

TEST(TagsOf, AnotherPrefixStandsInPlaceOfOurs) {
  EXPECT_EQ(
      TagsOf(Ask("/videos/a.mp4", "derivative=mobile"), {"customer-1"}, "video-prod-"),
      (std::vector<std::string>{"video-prod-videos/a.mp4", "video-prod-derivative-mobile",
                                "video-prod-format-mp4", "video-prod-mode-video", "customer-1"}));
  EXPECT_EQ(SourceTag("mode-video", "x-"), "x-%6Dode-video");
}

TEST(SourceTag, IsInjectiveAndApartFromOtherTags) {
  const std::vector<std::string> paths = {
      "a/b.mp4",        "a-b.mp4",    "a_b.mp4",      "a%2Fb.mp4", "a b.mp4",      "a%20b.mp4",
      "A-b.mp4",        "mode-video", "%6Dode-video", "mode",      "derivative-x", "format-m",
      "format-mp4.mp4", "a,b",        "a\xff",        "a%FF"};
  std::set<std::string> tags;
  for (const std::string& path : paths) {
    const std::string tag = SourceTag(path);
    EXPECT_TRUE(tags.insert(tag).second) << path;
    EXPECT_EQ(tag.find_first_of(" ,\t"), std::string::npos);
    for (const char* other : {"video-mode-", "video-format-", "video-derivative-"}) {
      EXPECT_FALSE(tag.starts_with(other)) << tag;
    }
  }
}

TEST(DigestOf, ChangesWithWhatDecidesTheBytesOnly) {
  const VariantRequest base = Ask("/a.mp4", "derivative=mobile");
  const Hash128 digest = DigestOf(base, "file:/srv/a.mp4", "recipe-1");
  EXPECT_EQ(DigestOf(Ask("/a.mp4", "derivative=mobile&utm_x=1&filename=x"), "file:/srv/a.mp4",
                     "recipe-1"),
            digest);
  EXPECT_NE(DigestOf(base, "file:/srv/b.mp4", "recipe-1"), digest);
  EXPECT_NE(DigestOf(base, "file:/srv/a.mp4", "recipe-2"), digest);
  EXPECT_NE(DigestOf(base, "file:/srv/a.mp4r", "ecipe-1"), digest);
  EXPECT_NE(DigestOf(Ask("/b.mp4", "derivative=mobile"), "file:/srv/a.mp4", "recipe-1"), digest);

  Options changed;
  changed.derivatives["mobile"].options.width = 852;
  const VariantRequest after = Ask("/a.mp4", "derivative=mobile", changed);
  EXPECT_EQ(KeyOf(after), KeyOf(base));
  EXPECT_NE(DigestOf(after, "file:/srv/a.mp4", "recipe-1"), digest);
  // What is made is the same, whoever asked for it.
  EXPECT_EQ(DigestOf(Ask("/a.mp4", "w=854&h=640"), "file:/srv/a.mp4", "recipe-1"), digest);
}

// The encoding is stored: a new digest means that every stored entry is made again.
TEST(DigestOf, Golden) {
  EXPECT_EQ(DigestOf(Ask("/a.mp4", "w=640&time=2&q=high&audio=false"), "id", "r").ToHex(),
            "91742ab3d8bb0f5fe81db2a39c5180c2");
}

TEST(NegotiateFormat, TakesTheFirstCandidateTheClientNames) {
  const Format candidates[] = {Format::kWebp, Format::kWebm, Format::kJpg, Format::kMp4};
  auto frame = Ask("/a.mp4", "mode=frame&f=auto");
  EXPECT_EQ(frame.format(), Format::kJpg);
  EXPECT_TRUE(NegotiateFormat(frame, "text/html, Image/WebP;q=0.9, */*", candidates));
  EXPECT_EQ(KeyOf(frame), "frame:a.mp4:f=webp");
  for (const char* accept :
       {"", "*/*", "image/webp;q=0", "image/webp; Q=0.000", "image/webpx", "image/*"}) {
    auto again = Ask("/a.mp4", "mode=frame&f=auto");
    EXPECT_TRUE(NegotiateFormat(again, accept, candidates));
    EXPECT_EQ(KeyOf(again), "frame:a.mp4:f=jpg") << accept;
  }
  auto video = Ask("/a.mp4", "f=auto");
  const Format only[] = {Format::kMp4, Format::kJpg};
  EXPECT_FALSE(NegotiateFormat(video, "image/webp", only));
  EXPECT_EQ(KeyOf(video), Key("/a.mp4", "f=mp4"));
  auto fixed = Ask("/a.mp4", "f=webm");
  EXPECT_FALSE(NegotiateFormat(fixed, "video/mp4", candidates));
  EXPECT_EQ(fixed.own.format, Format::kWebm);
}

// ---- the property: equal key ⇔ equal canonical request

class RandomRequests {
 public:
  explicit RandomRequests(uint64_t seed) : random_(seed) {}
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  template <size_t N>
  std::string Pick(const char* const (&words)[N]) {
    return words[Below(N)];
  }
  std::string Path() {
    static const char* const kParts[] = {"a",    "b",    "/", ":",   "=", "%25",       "%20",
                                         "w=10", ".mp4", "-", "%3A", "~", "derivative"};
    std::string path = "/v";
    // Some around the length at which keys are cut.
    if (Below(8) == 0) path += std::string(370 + Below(40), 'p');
    for (size_t n = Below(4); n > 0; --n) path += Pick(kParts);
    return path;
  }
  std::vector<std::string> Pairs() {
    static const char* const kPairs[] = {"w=10",
                                         "w=010",
                                         "width=20",
                                         "h=10",
                                         "height=20",
                                         "f=mp4",
                                         "format=h264",
                                         "f=webm",
                                         "f=vp9",
                                         "f=jpg",
                                         "f=jpeg",
                                         "f=m4a",
                                         "f=auto",
                                         "q=high",
                                         "q=HIGH",
                                         "q=auto",
                                         "q=80",
                                         "c=low",
                                         "c=auto",
                                         "fit=cover",
                                         "fit=crop",
                                         "fit=contain",
                                         "fit=scale-down",
                                         "obj-fit=pad",
                                         "time=2",
                                         "time=2s",
                                         "start=0h2s",
                                         "time=0",
                                         "time=2000ms",
                                         "duration=2",
                                         "dur=2s",
                                         "audio=true",
                                         "audio=FALSE",
                                         "mute=true",
                                         "mute=false",
                                         "fps=25",
                                         "fps=25.0",
                                         "speed=1",
                                         "speed=2",
                                         "rotate=90",
                                         "rotate=-270",
                                         "rotate=0",
                                         "crop=1:2:3:4",
                                         "crop=12:3:4:5",
                                         "bitrate=1M",
                                         "bitrate=1000k",
                                         "imageCount=20",
                                         "imageCount=5",
                                         "columns=5",
                                         "rows=5",
                                         "interval=2",
                                         "interval=2s",
                                         "mode=video",
                                         "mode=frame",
                                         "mode=FRAME",
                                         "mode=audio",
                                         "mode=spritesheet",
                                         "derivative=mobile",
                                         "impolicy=mobile",
                                         "derivative=thumbnail",
                                         "derivative=tablet",
                                         "dpr=2",
                                         "imdensity=2",
                                         "w=junk",
                                         "utm_source=x",
                                         "filename=a.mp4",
                                         "loop=true",
                                         "debug=true",
                                         "nocache",
                                         "imwidth=300"};
    std::vector<std::string> pairs;
    for (size_t n = Below(7); n > 0; --n) pairs.push_back(Pick(kPairs));
    return pairs;
  }
  std::mt19937_64& engine() { return random_; }

 private:
  std::mt19937_64 random_;
};

std::string Join(const std::vector<std::string>& pairs) {
  std::string query;
  for (const std::string& pair : pairs) query += (query.empty() ? "" : "&") + pair;
  return query;
}

/// What the key promises to tell apart, written down field by field and nothing left out (a new
/// option does not compile here); `resolved` follows from it by the options in force.
std::string Spelled(const VariantRequest& r) {
  std::string out = std::string(ToString(r.mode)) + '\0' + r.source_path + '\0' + r.derivative;
  const auto add = [&](const auto& option, const auto& write) {
    out += '\0';
    if (option) out += '=' + write(*option);
  };
  const auto number = [](auto v) { return std::to_string(v); };
  const auto name = [](auto v) { return std::string(ToString(v)); };
  const auto time = [](Time v) { return std::to_string(v.count()); };
  const auto decimal = [](Decimal v) { return std::to_string(v.millionths); };
  const auto& [width, height, format, quality, compression, fit, start, duration, audio, fps, speed,
               rotate, crop, bitrate, image_count, columns, rows, interval] = r.own;
  add(width, number);
  add(height, number);
  add(format, name);
  add(quality, [&](const Quality& q) { return name(q.level) + '/' + number(q.number); });
  add(compression, name);
  add(fit, name);
  add(start, time);
  add(duration, time);
  add(audio, [](bool v) { return std::string(v ? "yes" : "no"); });
  add(fps, decimal);
  add(speed, decimal);
  add(rotate, decimal);
  add(crop, [&](const Crop& c) {
    return number(c.width) + ',' + number(c.height) + ',' + number(c.x) + ',' + number(c.y);
  });
  add(bitrate, number);
  add(image_count, number);
  add(columns, number);
  add(rows, number);
  add(interval, time);
  return out;
}

TEST(KeyProperty, EqualKeysMeanEqualRequestsAndTheOtherWayRound) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RandomRequests random(seed);
  std::map<std::string, VariantRequest> by_key;
  std::map<std::string, std::string> key_of;
  size_t shared = 0, cut = 0;
  for (int i = 0; i < 30000; ++i) {
    const std::string path = random.Path(), query = Join(random.Pairs());
    const VariantRequest request = Ask(path, query);
    const std::string key = KeyOf(request);
    const auto [at, is_new_key] = by_key.emplace(key, request);
    const auto [question, is_new_question] = key_of.emplace(Spelled(request), key);
    shared += !is_new_key;
    cut += key.find(":sha256=") != std::string::npos;
    ASSERT_EQ(at->second, request) << key << " from " << path << '?' << query;
    ASSERT_EQ(question->second, key) << "one question, two keys: " << path << '?' << query;
    ASSERT_EQ(is_new_key, is_new_question);
    ASSERT_LE(key.size(), 400u);
    for (const char c : key) ASSERT_TRUE(c > ' ' && c < 0x7f) << key;
  }
  EXPECT_EQ(by_key.size(), key_of.size());
  EXPECT_GT(shared, 100u);
  EXPECT_GT(cut, 100u) << "long ones are among them";
}

// Long keys share their first 300 bytes; what comes behind must tell them apart all the same.
TEST(KeyProperty, LongKeysDifferByWhatWasCutOff) {
  const std::string stem = "/" + std::string(500, 'p');
  std::set<std::string> keys;
  size_t asked = 0;
  for (const char* path : {"", "a", "b", "%3Aw%3D640", "/w=640"}) {
    for (const char* query :
         {"", "w=640", "w=641", "h=640", "w=640&h=640", "w=640&q=high", "mode=frame",
          "mode=frame&time=1", "mode=frame&time=2", "derivative=mobile", "derivative=tablet"}) {
      EXPECT_TRUE(keys.insert(Key(stem + path, query)).second) << path << '?' << query;
      ++asked;
    }
  }
  EXPECT_EQ(keys.size(), asked);
  EXPECT_EQ(Key(stem, "w=640&q=high"), Key(stem, "quality=HIGH&width=0640&utm_x=1"))
      << "and spellings still share one";
}

// One path cannot forge what another one's options make, however it is written.
TEST(KeyProperty, NoPathForgesAnOption) {
  const std::string honest = Key("/a.mp4", "w=640");
  for (const char* path : {"/a.mp4:w=640", "/a.mp4%3Aw%3D640", "/a.mp4%3aw=640", "/a.mp4:w%3d640",
                           "/a.mp4%253Aw%253D640", "/a.mp4:w=640/", "//a.mp4:w=640",
                           "/a.mp4%00:w=640", "/video:a.mp4:w=640"}) {
    const auto parsed = Parse(path, "", Options());
    if (!parsed.ok()) continue;  // refused outright
    EXPECT_NE(KeyOf(parsed->request), honest) << path;
  }
}

TEST(KeyProperty, OrderOfDifferentParametersAndNoiseDoNotMatter) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RandomRequests random(seed);
  for (int i = 0; i < 5000; ++i) {
    std::vector<std::string> pairs = random.Pairs();
    // One pair per name, aliases by their own name: only then order says nothing... unless two
    // aliases of one parameter meet, so keep the first of each resolved effect by testing canonical
    // names only.
    std::erase_if(pairs, [](const std::string& pair) {
      for (const char* alias : {"w=", "h=", "f=", "q=", "c=", "start=", "dur=", "mute=", "obj-fit=",
                                "impolicy=", "imdensity="}) {
        if (pair.starts_with(alias)) return true;
      }
      return false;
    });
    std::set<std::string> names;
    std::erase_if(pairs, [&](const std::string& pair) {
      return !names.insert(pair.substr(0, pair.find('='))).second;
    });
    const std::string key = Key("/v.mp4", Join(pairs));
    std::shuffle(pairs.begin(), pairs.end(), random.engine());
    pairs.insert(pairs.begin() + static_cast<std::ptrdiff_t>(random.Below(pairs.size() + 1)),
                 "utm_medium=mail&x=%zz");
    ASSERT_EQ(Key("/v.mp4", Join(pairs)), key) << Join(pairs);
  }
}

}  // namespace
}  // namespace vr::variant
