#include "cache/entity.h"

#include <gtest/gtest.h>

namespace vr::cache {
namespace {

Metadata Full() {
  Metadata m;
  m.source_path = "videos/sample.mp4";
  m.width = 640;
  m.height = 360;
  m.format = "mp4";
  m.quality = "high";
  m.compression = "auto";
  m.derivative = "mobile";
  m.cache_tags = {"video-videos/sample.mp4", "video-format-mp4"};
  m.content_type = "video/mp4";
  m.content_length = 1234;
  m.created_at_ms = 1'700'000'000'000;
  m.expires_at_ms = 1'700'086'400'000;
  m.duration = 2.5;
  m.fps = 25;
  m.etag = "\"abc\"";
  m.origin = "videos";
  m.source_type = "file";
  m.source_validator = "v";
  m.plan_digest = {1, 2};
  m.body_hash = {3, 4};
  m.encode_seconds = 1.5;
  m.route = "transcode: size";
  m.rate_factor = 27.5;
  m.resolved_width = 640;
  m.resolved_height = 360;
  m.warnings = {"damaged"};
  return m;
}

// The names are the cache contract's; entries on disk depend on them. Golden:
// docs/formats/metadata.md.
TEST(Metadata, JsonHasExactlyTheContractsNames) {
  EXPECT_EQ(
      Full().ToJson(),
      R"({"sourcePath":"videos/sample.mp4","width":640,"height":360,"format":"mp4","quality":"high",)"
      R"("compression":"auto","derivative":"mobile","cacheTags":["video-videos/sample.mp4","video-format-mp4"],)"
      R"("contentType":"video/mp4","contentLength":1234,"createdAt":1700000000000,"expiresAt":1700086400000,)"
      R"("duration":2.5,"fps":25.0,"customData":{"cacheVersion":1,"status":200,"etag":"\"abc\"",)"
      R"("origin":"videos","sourceType":"file","sourceValidator":"v",)"
      R"("planDigest":"00000000000000010000000000000002",)"
      R"("bodyChecksum":"xxh3-128:00000000000000030000000000000004","encodeSeconds":1.5,"route":"transcode: size","rateFactor":27.5,)"
      R"("resolvedWidth":640,"resolvedHeight":360,"warnings":["damaged"]}})");
}

TEST(Metadata, ReadsBackWhatItWrote) {
  const Result<Metadata> back = Metadata::FromJson(Full().ToJson());
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->ToJson(), Full().ToJson());
}

TEST(Metadata, OptionalFieldsMayBeAbsent) {
  Metadata m;
  m.source_path = "a.mp4";
  m.content_type = "video/mp4";
  const std::string json = m.ToJson();
  EXPECT_EQ(json.find("width"), std::string::npos);
  EXPECT_EQ(json.find("expiresAt"), std::string::npos);
  ASSERT_TRUE(Metadata::FromJson(json).ok());
  EXPECT_FALSE(Metadata::FromJson(json)->width.has_value());
}

TEST(Metadata, AnUnknownVersionOrGarbageIsAnErrorNotACrash) {
  std::string newer = Full().ToJson();
  newer.replace(newer.find("\"cacheVersion\":1"), 16, "\"cacheVersion\":9");
  for (const std::string& bad :
       {newer, std::string(), std::string("{}"), std::string("[1]"),
        std::string(R"({"customData":{"cacheVersion":"x"}})"), Full().ToJson().substr(0, 100)}) {
    const Result<Metadata> read = Metadata::FromJson(bad);
    ASSERT_FALSE(read.ok()) << bad;
    EXPECT_EQ(read.error().code, bad == newer ? Code::kUnsupported : Code::kCorruption);
  }
}

TEST(Metadata, APathThatIsNotUtf8CanStillBeStored) {
  Metadata m = Full();
  m.source_path = "caf\xe9.mp4";
  EXPECT_TRUE(Metadata::FromJson(m.ToJson()).ok());
}

TEST(Entity, IsFreshUntilTheMillisecondItExpires) {
  Entity e;
  e.meta.expires_at_ms = 1000;
  EXPECT_TRUE(e.is_fresh(999));
  EXPECT_FALSE(e.is_fresh(1000));
  e.meta.expires_at_ms = 0;
  EXPECT_TRUE(e.is_fresh(INT64_MAX));
}

}  // namespace
}  // namespace vr::cache
