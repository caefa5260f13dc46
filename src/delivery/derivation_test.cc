#include "delivery/derivation.h"

#include <gtest/gtest.h>
#include <unistd.h>

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
