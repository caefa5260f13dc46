#include "variant/read_key.h"

#include <gtest/gtest.h>

#include <string>

#include "variant/key.h"
#include "variant/negotiate.h"
#include "variant/parse.h"

namespace vr::variant {
namespace {

Options WithDerivatives() {
  Options options;
  Derivative any;
  any.options.format = Format::kAuto;
  any.options.width = 640;
  options.derivatives["any format"] = any;
  Derivative sound;
  sound.mode = Mode::kAudio;
  options.derivatives["sound"] = sound;
  return options;
}

VariantRequest Ask(std::string_view query, const Options& options) {
  Result<Parsed> parsed = Parse("/videos/a b:c=1.mp4", query, options);
  EXPECT_TRUE(parsed.ok()) << query;
  EXPECT_TRUE(parsed->warnings.empty()) << query << ": " << RenderWarnings(parsed->warnings);
  if (parsed->request.resolved.format == Format::kAuto) {
    constexpr Format kOnly[] = {Format::kWebm};
    NegotiateFormat(parsed->request, "video/webm", kOnly);
  }
  return parsed->request;
}

TEST(ReadKey, SaysWhatTheKeyWasMadeOf) {
  const Options options = WithDerivatives();
  for (const char* query :
       {"", "width=640", "width=640&height=360&format=mp4&quality=high",
        "mode=frame&format=jpg&width=320&time=2", "derivative=mobile",
        "derivative=mobile&quality=low&time=1.5s&duration=1m", "derivative=thumbnail",
        "derivative=any%20format", "derivative=sound&format=mp3", "format=auto&width=100",
        "bitrate=800k&crop=100:50:1:2&rotate=90&speed=1.25&fps=29.97&audio=false&duration=2.5&time="
        "1m&fit=cover&compression=low&quality=55&format=webm&height=360&width=640",
        "mode=spritesheet&imageCount=9&columns=3&rows=3&interval=1.5&time=3&format=vtt",
        "mode=audio&format=mp3&bitrate=128k&duration=1h", "format=m4a", "mode=audio", "mode=info",
        "width=99&fit=scale-down", "mode=frame&time=0.000001"}) {
    const VariantRequest asked = Ask(query, options);
    const auto read = ReadKey(KeyOf(asked), asked.source_path, options);
    ASSERT_TRUE(read) << query << ": " << KeyOf(asked);
    EXPECT_EQ(*read, asked) << query;
  }
}

TEST(ReadKey, TakesAbsoluteUrlsForSources) {
  VariantRequest asked = Ask("width=640", Options());
  asked.source_path = "https://example.org/a.mp4?x=1";
  const auto read = ReadKey(KeyOf(asked), asked.source_path, Options());
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, asked);
}

TEST(ReadKey, RefusesWhatItCannotTell) {
  const Options options = WithDerivatives();
  const auto reads = [&](std::string_view key) {
    return ReadKey(key, "a.mp4", options).has_value();
  };
  EXPECT_TRUE(reads("video:a.mp4:w=640"));
  EXPECT_FALSE(reads("video:b.mp4:w=640")) << "another source";
  EXPECT_FALSE(reads("video:a.mp4:derivative=gone"));
  EXPECT_FALSE(reads("video:a.mp4:derivative=any%20format")) << "nobody knows in which";
  EXPECT_FALSE(reads("video:a.mp4:sha256=00")) << "cut";
  EXPECT_FALSE(reads("video:a.mp4:w=640:h"));
  EXPECT_FALSE(reads("video:a.mp4:w=0640")) << "not canonical";
  EXPECT_FALSE(reads("video:a.mp4:h=360:w=640")) << "nor this";
  EXPECT_FALSE(reads("video:a.mp4:w=9999999"));
  EXPECT_FALSE(reads("other:a.mp4"));
  EXPECT_FALSE(reads("video"));
  EXPECT_FALSE(reads(""));
}

TEST(ReadKey, ReadsPresetsWhereNothingElseIsAllowed) {
  Options options = WithDerivatives();
  options.presets_only = true;
  EXPECT_TRUE(ReadKey("video:a.mp4:derivative=mobile", "a.mp4", options));
  EXPECT_TRUE(ReadKey("frame:a.mp4:derivative=thumbnail", "a.mp4", options));
  EXPECT_TRUE(ReadKey("audio:a.mp4:derivative=sound", "a.mp4", options));
  EXPECT_FALSE(ReadKey("video:a.mp4:w=640", "a.mp4", options));
}

}  // namespace
}  // namespace vr::variant
