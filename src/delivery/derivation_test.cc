#include "delivery/derivation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "transform/planner.h"
#include "variant/key.h"
#include "variant/parse.h"

namespace vr::delivery {
namespace {

variant::VariantRequest Asked(const std::string& query) {
  Result<variant::Parsed> parsed = variant::Parse("/videos/a.mp4", query, variant::Options());
  EXPECT_TRUE(parsed.ok()) << query;
  EXPECT_TRUE(parsed->warnings.empty()) << query;
  return parsed->request;
}

bool Can(const std::string& base, const std::string& wanted) {
  return CanBeBaseOf(Asked(base), Asked(wanted));
}

TEST(Derivation, AWholeVideoIsABaseOfSmallerOnesStillsAndSound) {
  for (const char* wanted :
       {"width=320", "width=320&height=180&fit=cover", "height=100&fit=pad&width=300",
        "width=320&time=2s&duration=3s", "width=320&fps=10&speed=2&audio=false",
        "mode=frame&width=320&time=1s", "mode=spritesheet&width=160", "mode=audio",
        "mode=audio&format=mp3&time=1s", "width=320&quality=auto", "width=320&format=h265"}) {
    EXPECT_TRUE(Can("derivative=tablet", wanted)) << wanted;
    EXPECT_TRUE(Can("", wanted)) << wanted << " of the original";
  }
  for (const char* base : {"width=1280", "height=720", "width=1280&height=720",
                           "width=1280&height=720&fit=scale-down", "width=1280&format=webm"}) {
    EXPECT_TRUE(Can(base, "width=320")) << base;
  }
}

TEST(Derivation, WhatLeavesSomethingOutOrChangesItIsNone) {
  for (const char* base : {"width=1280&height=720&fit=cover", "width=1280&height=720&fit=pad",
                           "width=1280&time=1s", "width=1280&duration=5s", "width=1280&audio=false",
                           "width=1280&fps=10", "width=1280&speed=2", "width=1280&rotate=90",
                           "width=1280&crop=100:100:0:0", "width=1280&bitrate=2000000",
                           "width=1280&format=gif", "mode=frame&width=1280", "mode=audio"}) {
    EXPECT_FALSE(Can(base, "width=320")) << base;
  }
}

TEST(Derivation, WhatIsNotWantedMayBeMissing) {
  for (const char* silent : {"mode=frame&width=320", "mode=spritesheet&width=160",
                             "width=320&audio=false", "width=320&format=gif"}) {
    EXPECT_EQ(Can("width=1280&audio=false&format=webm", silent), true) << silent;
  }
  EXPECT_FALSE(Can("width=1280&audio=false", "mode=audio"));
  for (const char* base : {"width=1280&height=720&fit=cover", "width=1280&fps=10",
                           "width=1280&rotate=90", "width=1280&crop=100:100:0:0"}) {
    EXPECT_TRUE(Can(base, "mode=audio")) << base << " has all of the sound";
    EXPECT_FALSE(Can(base, "mode=frame&width=320")) << base;
  }
  for (const char* base : {"width=1280&speed=2", "width=1280&bitrate=2000000",
                           "width=1280&format=gif", "mode=frame&width=1280"}) {
    EXPECT_FALSE(Can(base, "mode=audio")) << base;
  }
}

TEST(Derivation, SoundIsABaseOfSoundOnly) {
  EXPECT_TRUE(Can("mode=audio", "mode=audio&format=mp3"));
  EXPECT_TRUE(Can("mode=audio&time=1s", "mode=audio&time=2s"));
  EXPECT_FALSE(Can("mode=audio&bitrate=64000", "mode=audio&format=mp3"));
  EXPECT_FALSE(Can("mode=audio&quality=low", "mode=audio&quality=high"));
  EXPECT_FALSE(Can("mode=audio", "mode=audio")) << "of itself";
  EXPECT_FALSE(Can("mode=audio", "mode=frame&width=320"));
  EXPECT_FALSE(Can("mode=audio", "width=320"));
}

TEST(Derivation, OnlyStillsSheetsAndSoundAreMadeOfClips) {
  for (const char* clip : {"width=1280&time=1s", "width=1280&duration=5s"}) {
    for (const char* wanted :
         {"mode=frame&width=320", "mode=spritesheet&width=160", "mode=audio"}) {
      EXPECT_TRUE(Can(clip, wanted)) << clip << ", " << wanted;
    }
    EXPECT_FALSE(Can(clip, "width=320&time=2s&duration=1s")) << clip;
    EXPECT_FALSE(Can(clip, "width=320&format=gif&time=2s&duration=1s")) << clip;
  }
}

TEST(Derivation, AClipCoversWhatBeginsAndEndsInIt) {
  const auto covers = [](const char* base, double seconds, const std::string& wanted) {
    return Covers(Asked(base), seconds, Asked("width=100&" + wanted));
  };
  const char* clip = "width=1280&time=2s&duration=4s";
  EXPECT_TRUE(covers(clip, 4, "mode=frame&time=2s"));
  EXPECT_TRUE(covers(clip, 4, "mode=frame&time=5.999s"));
  EXPECT_FALSE(covers(clip, 4, "mode=frame&time=1.999999s"));
  EXPECT_FALSE(covers(clip, 4, "mode=frame")) << "at 0";
  EXPECT_FALSE(covers(clip, 4, "mode=frame&time=5.9995s")) << "its last instant";
  EXPECT_FALSE(covers(clip, 4, "mode=frame&time=6s"));
  for (const std::string mode : {"mode=spritesheet", "mode=audio"}) {
    const auto range = [&](const char* query, double seconds = 4) {
      return Covers(Asked(clip), seconds, Asked(mode + query));
    };
    EXPECT_TRUE(range("&time=2s&duration=4s")) << mode;
    EXPECT_TRUE(range("&time=3s&duration=1s")) << mode;
    EXPECT_FALSE(range("&time=1.9s&duration=1s")) << mode;
    EXPECT_FALSE(range("&time=3s&duration=3.000001s")) << mode;
    EXPECT_FALSE(range("&time=3s")) << mode << " to the end";
    EXPECT_FALSE(range("")) << mode << " all of it";
    // The source ended in the clip: after that nobody knows.
    EXPECT_TRUE(range("&time=3s&duration=1.5s", 2.5)) << mode;
    EXPECT_FALSE(range("&time=3s&duration=2s", 2.5)) << mode;
    EXPECT_TRUE(range("&time=3s&duration=3s", 3.98)) << mode << ": rounded";
    EXPECT_FALSE(range("&time=3s&duration=1s", 0)) << mode << ": length not known";
  }
  EXPECT_TRUE(covers("width=1280&time=2s", 0, "mode=spritesheet&time=3s")) << "both to the end";
  EXPECT_FALSE(covers("width=1280&time=2s", 100, "mode=spritesheet&time=1s"));
  EXPECT_TRUE(covers("width=1280", 0, "mode=spritesheet&time=3s"));
  EXPECT_TRUE(covers("", 0, "mode=spritesheet"));
}

TEST(Derivation, WhatIsNotToBeEnlargedIsMadeOfWhatWasNot) {
  EXPECT_FALSE(Can("width=1280", "width=640&fit=scale-down"));
  EXPECT_TRUE(Can("width=1280&fit=scale-down", "width=640&fit=scale-down"));
  EXPECT_TRUE(Can("quality=high", "width=640&fit=scale-down")) << "of the source's size";
  EXPECT_TRUE(Can("", "width=640&fit=scale-down"));
}

TEST(Derivation, TilesAreNotOfAnotherSize) {
  const auto same = [](uint32_t width, uint32_t height, const std::string& wanted) {
    return GivesSameTiles(width, height, Asked(wanted));
  };
  EXPECT_TRUE(same(960, 540, "mode=spritesheet&width=160"));
  EXPECT_TRUE(same(960, 540, "mode=spritesheet&height=90&width=200"));
  // 160 / (960 / 402) = 67.0: 66 or 68 by a pixel of the base's.
  EXPECT_FALSE(same(960, 402, "mode=spritesheet&width=160"));
  EXPECT_FALSE(same(960, 402, "mode=spritesheet&width=160&format=vtt"));
  EXPECT_TRUE(same(960, 402, "mode=spritesheet&width=160&height=90&fit=pad"));
  EXPECT_TRUE(same(960, 402, "mode=spritesheet&width=160&height=90&fit=cover"));
  EXPECT_TRUE(same(960, 402, "mode=frame&width=160"));
  EXPECT_TRUE(same(960, 402, "width=160"));
}

HeldBase Held(const std::string& query, uint32_t width, uint32_t height, double seconds = 10,
              bool is_derived = false) {
  HeldBase held;
  held.candidate.request = Asked(query);
  held.candidate.key = variant::KeyOf(held.candidate.request);
  held.facts = {width, height, seconds, is_derived};
  return held;
}

std::vector<std::string> Ranked(std::vector<HeldBase> held, const std::string& wanted) {
  std::vector<std::string> keys;
  for (const BaseCandidate& base : Rank(std::move(held), Asked(wanted))) {
    keys.push_back(base.key.substr(base.key.find(".mp4") + 4));
  }
  return keys;
}

TEST(Derivation, TheSmallestThatQualifiesComesFirst) {
  using Keys = std::vector<std::string>;
  std::vector<HeldBase> all = {Held("", 0, 0),
                               Held("width=1280", 1280, 720),
                               Held("width=640", 640, 360),
                               Held("height=360", 640, 360),
                               Held("width=400", 400, 226),
                               Held("width=390", 390, 220),
                               Held("width=500", 500, 282, 10, true),
                               Held("width=500&quality=low", 500, 282),
                               Held("width=600&time=2s&duration=4s", 600, 338, 4)};
  const Keys video = {":h=360", ":w=640", ":w=1280", ""};
  EXPECT_EQ(Ranked(all, "width=350"), video);
  EXPECT_EQ(Ranked(all, "width=350&time=3s&duration=1s"), video);
  std::reverse(all.begin(), all.end());
  EXPECT_EQ(Ranked(all, "width=350"), video) << "whatever the order they were found in";
  EXPECT_EQ(Ranked(all, "width=320"), (Keys{":w=400", ":h=360", ":w=640", ":w=1280", ""}));
  EXPECT_EQ(Ranked(all, "mode=frame&width=350&time=3s"),
            (Keys{":w=600:t=2s:d=4s", ":h=360", ":w=640", ":w=1280", ""}));
  EXPECT_EQ(Ranked(all, "mode=frame&width=350&time=1s"), video);
  EXPECT_EQ(Ranked(all, "width=350&quality=high"), Keys{""});
  EXPECT_EQ(Ranked({Held("width=1280", 0, 0)}, "width=320"), Keys{}) << "of unknown size";
  EXPECT_EQ(Ranked({Held("width=960", 960, 402)}, "mode=spritesheet&width=160"), Keys{});
  EXPECT_EQ(Ranked({Held("width=960", 960, 402)}, "mode=frame&width=160"), Keys{":w=960"});
  EXPECT_EQ(
      Ranked({Held("width=640", 640, 360), Held("mode=audio", 0, 0)}, "mode=audio&format=mp3"),
      (Keys{"", ":w=640"}))
      << "sound alone is less to read";
}

class Candidates : public ::testing::Test {
 protected:
  Candidates() {
    config_.policies.resize(2);
    config_.policies[1].quality = {variant::Level::kHigh, 0};
    resolved_.identity = "files:videos/a.mp4";
  }
  std::optional<BaseCandidate> Of(std::string_view key, const std::string& wanted = "width=320") {
    return CandidateOf(key, Asked(wanted), resolved_, config_, "recipe");
  }
  Snapshot config_;
  origin::Resolved resolved_;
};

TEST_F(Candidates, AreReadFromTheirKeys) {
  const auto found = Of("video:videos/a.mp4:w=1280");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->request, Asked("width=1280"));
  EXPECT_EQ(found->key, "video:videos/a.mp4:w=1280");
  const std::string recipe = transform::RecipeOf(found->request, config_.transform, "recipe");
  EXPECT_EQ(found->digest, variant::DigestOf(Asked("width=1280"), "files:videos/a.mp4", recipe));
  EXPECT_TRUE(Of("video:videos/a.mp4:derivative=tablet"));
  EXPECT_TRUE(Of("video:videos/a.mp4"));
  EXPECT_FALSE(Of("video:videos/b.mp4:w=1280"));
  EXPECT_FALSE(Of("video:videos/a.mp4:w=1280:q=low"));
  EXPECT_FALSE(Of("frame:videos/a.mp4:w=1280"));
}

TEST_F(Candidates, DigestsAreThoseOfThePresentConfiguration) {
  const char* key = "video:videos/a.mp4:w=1280";
  const Hash128 before = Of(key)->digest;
  resolved_.origin_index = 1;
  EXPECT_NE(Of(key)->digest, before) << "its origin's quality";
  EXPECT_EQ(Of(key)->request.resolved.quality, config_.policies[1].quality);
  resolved_.origin_index = 0;
  resolved_.identity = "elsewhere";
  EXPECT_NE(Of(key)->digest, before);
}

TEST_F(Candidates, OfDerivativesAndTheOriginTheKeyIsKnown) {
  const std::vector<std::string> keys = NamedKeys(Asked("width=320"), config_);
  const auto names = [&](const char* key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  EXPECT_TRUE(names("video:videos/a.mp4"));
  EXPECT_TRUE(names("video:videos/a.mp4:derivative=tablet"));
  EXPECT_TRUE(names("frame:videos/a.mp4:derivative=thumbnail"));
}

TEST(Derivation, WhatSpeaksOfTheSourceItselfIsMadeOfIt) {
  for (const char* wanted : {"width=320&crop=100:100:0:0", "width=320&rotate=90",
                             "width=320&bitrate=300000", "mode=info", ""}) {
    EXPECT_FALSE(Can("width=1280", wanted)) << wanted;
  }
  EXPECT_TRUE(Can("", "width=320&crop=100:100:0:0"))
      << "of the original bytes everything can be made";
  EXPECT_FALSE(Can("width=1280", "width=1280")) << "of itself";
  EXPECT_FALSE(CanBeBaseOf(Asked("width=1280"), [] {
    variant::VariantRequest other = Asked("width=320");
    other.source_path = "videos/b.mp4";
    return other;
  }()));
}

TEST(Derivation, QualityIsNeverLowerThanWanted) {
  const auto can = [](const char* base, const char* wanted) {
    return Can(std::string("width=1280") + base, std::string("width=320") + wanted);
  };
  EXPECT_TRUE(can("&quality=high", "&quality=high"));
  EXPECT_TRUE(can("&quality=high", "&quality=low"));
  EXPECT_TRUE(can("&quality=high", ""));
  EXPECT_TRUE(can("&quality=medium", "&quality=low"));
  EXPECT_TRUE(can("&quality=80", "&quality=80"));
  EXPECT_TRUE(can("&quality=80", "&quality=60"));
  EXPECT_FALSE(can("&quality=low", "&quality=medium"));
  EXPECT_FALSE(can("&quality=medium", "&quality=high"));
  EXPECT_FALSE(can("", "&quality=high"));
  EXPECT_FALSE(can("&quality=medium", "")) << "nobody knows which is better";
  EXPECT_FALSE(can("&quality=high", "&quality=90"));
  EXPECT_FALSE(can("&quality=60", "&quality=80"));
  EXPECT_FALSE(can("&compression=high", ""));
  EXPECT_TRUE(can("", "&compression=high"));
}

TEST(Derivation, WhatMayBeTransparentNeedsABaseThatIs) {
  for (const char* wanted : {"width=320&format=webm", "mode=frame&width=320&format=png"}) {
    EXPECT_FALSE(Can("width=1280", wanted)) << wanted;
    EXPECT_TRUE(Can("width=1280&format=webm", wanted)) << wanted;
  }
}

TEST(Derivation, ABaseHasOneAndAHalfTimesThePixels) {
  const auto is_enough = [](uint32_t width, uint32_t height, const std::string& wanted) {
    return IsLargeEnough(width, height, Asked(wanted));
  };
  EXPECT_TRUE(is_enough(1280, 720, "width=1045"));  // 1.5003 times
  EXPECT_FALSE(is_enough(1280, 720, "width=1046"));
  EXPECT_TRUE(is_enough(1280, 720, "height=587"));
  EXPECT_FALSE(is_enough(1280, 720, "height=589"));
  EXPECT_TRUE(is_enough(1280, 720, "width=4000&height=100")) << "the box is not filled";
  EXPECT_FALSE(is_enough(1280, 720, "width=1200&height=100&fit=cover")) << "it is";
  EXPECT_TRUE(is_enough(1280, 720, "mode=frame&width=640"));
  EXPECT_FALSE(is_enough(1280, 720, "mode=frame")) << "as large as the source is";
  EXPECT_TRUE(is_enough(1280, 720, "mode=audio"));
  EXPECT_FALSE(is_enough(0, 0, "width=320"));
}

TEST(Derivation, AnEntityIsASourceThatTellsOfItsOwn) {
  auto entity = std::make_shared<cache::Entity>();
  entity->memory = std::make_shared<const std::string>("bytes of a video");
  entity->meta.content_length = entity->memory->size();
  entity->meta.source_validator = "v1";
  entity->meta.source_etag = "\"e\"";
  entity->meta.source_type = "http";
  entity->meta.origin = "videos";
  Result<origin::SourceRef> source = SourceOfEntity(entity);
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE((*source)->is_complete());
  const origin::SourceInfo& info = (*source)->info();
  EXPECT_EQ(info.validator, "v1");
  EXPECT_EQ(info.etag, "\"e\"");
  EXPECT_EQ(info.type, "http");
  EXPECT_EQ(info.origin_name, "videos");
  ASSERT_EQ(info.size, 16u);
  char bytes[16];
  ASSERT_EQ(::pread((*source)->file()->get(), bytes, sizeof bytes, 0), 16);
  EXPECT_EQ(std::string(bytes, sizeof bytes), "bytes of a video");
}

}  // namespace
}  // namespace vr::delivery
