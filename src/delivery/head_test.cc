#include "delivery/head.h"

#include <gtest/gtest.h>

namespace vr::delivery {
namespace {

std::shared_ptr<cache::Entity> Stored() {
  auto made = std::make_shared<cache::Entity>();
  cache::Entity& entity = *made;
  entity.key = "video:a.mp4:w=640";
  entity.kv_backed = true;
  entity.meta.format = "mp4";
  entity.meta.etag = "\"e\"";
  entity.meta.cache_tags = {"video-a.mp4", "video-format-mp4"};
  entity.meta.created_at_ms = 1'000'000;
  entity.meta.expires_at_ms = 1'000'000 + 86'400'000;
  entity.meta.resolved_width = 640;
  entity.meta.resolved_height = 360;
  entity.meta.origin = "videos";
  entity.meta.source_type = "file";
  return made;
}

std::string FieldsOf(const AnswerFacts& facts) {
  std::string fields;
  AppendAnswerFields(fields, facts);
  AppendField(fields, "Cache-Control", CacheControlOf(facts));
  return fields;
}

bool Has(const std::string& fields, const std::string& line) {
  return fields.starts_with(line + "\r\n") ||
         fields.find("\r\n" + line + "\r\n") != std::string::npos;
}

TEST(EntityHead, CarriesWhatDoesNotChange) {
  const std::string head = RenderEntityHead(*Stored());
  for (const char* line :
       {"Cache-Tag: video-a.mp4,video-format-mp4", "X-KV-Cache-Key: video:a.mp4:w=640",
        "ETag: \"e\"", "Accept-Ranges: bytes", "X-Resolved-Width: 640", "X-Resolved-Height: 360",
        "X-Origin: videos", "X-Source-Type: file", "X-Content-Type-Options: nosniff"}) {
    EXPECT_TRUE(Has(head, line)) << line << "\n" << head;
  }
}

TEST(EntityHead, AValueCannotStartANewField) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  cache::Entity& entity = *stored;
  entity.meta.cache_tags = {"a\r\nSet-Cookie: x"};
  EXPECT_EQ(RenderEntityHead(entity).find("\nSet-Cookie"), std::string::npos);
}

TEST(AnswerFields, AHitCountsDownWithItsAge) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  const cache::Entity& entity = *stored;
  AnswerFacts facts;
  facts.layer = cache::Layer::kKv;
  facts.entity = &entity;
  facts.now_ms = entity.meta.created_at_ms + 400'500;
  facts.request_id = "r1";
  const std::string fields = FieldsOf(facts);
  for (const char* line :
       {"Age: 0", "Cache-Control: public, max-age=85999", "X-Cache-Status: HIT",
        "X-Cache-Source: KV", "X-KV-Cache-Age: 400", "X-KV-Cache-TTL: 85999", "X-Request-ID: r1",
        "Cache-Status: KV; hit; ttl=85999, edge; fwd=miss; stored"}) {
    EXPECT_TRUE(Has(fields, line)) << line << "\n" << fields;
  }
}

// What a cache behind us makes of an answer (RFC 9111 §4.2): max-age less Age.
int64_t FreshFor(const std::string& fields) {
  const auto number = [&](std::string_view before) {
    const size_t at = fields.find(before);
    EXPECT_NE(at, std::string::npos) << before << "\n" << fields;
    return std::stoll(fields.substr(at + before.size()));
  };
  return number("max-age=") - number("Age: ");
}

TEST(AnswerFields, ACacheBehindUsKeepsItAsLongAsWeDo) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  AnswerFacts facts;
  facts.entity = stored.get();
  for (const int status : {200, 301, 404, 502}) {
    stored->meta.status = status;
    for (const int64_t age : {0, 1, 40'000, 86'399}) {
      facts.now_ms = stored->meta.created_at_ms + age * 1000;
      EXPECT_EQ(FreshFor(FieldsOf(facts)), 86'400 - age) << status;
    }
  }
  // An origin's own words count from when the body was made.
  stored->meta.status = 200;
  facts.cache_control = "max-age=600";
  facts.now_ms = stored->meta.created_at_ms + 100'000;
  EXPECT_EQ(FreshFor(FieldsOf(facts)), 500);
  stored->meta.status = 404;
  EXPECT_EQ(FreshFor(FieldsOf(facts)), 86'300) << "not for a failure";
}

TEST(AnswerFields, WithoutALifetimeAgeIsTheBodys) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  AnswerFacts facts;
  facts.entity = stored.get();
  facts.now_ms = stored->meta.created_at_ms + 5'000;
  facts.is_debug = true;
  EXPECT_TRUE(Has(FieldsOf(facts), "Age: 5"));
  facts.is_debug = false;
  stored->meta.expires_at_ms = 0;
  EXPECT_TRUE(Has(FieldsOf(facts), "Age: 5")) << "somebody may guess one";
}

TEST(AnswerFields, AStaleAnswerSaysSoAndPromisesNothing) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  AnswerFacts facts;
  facts.layer = cache::Layer::kEdge;
  facts.freshness = cache::Freshness::kStale;
  facts.entity = stored.get();
  facts.now_ms = stored->meta.expires_at_ms + 30'000;
  const std::string fields = FieldsOf(facts);
  for (const char* line : {"X-Cache-Status: STALE", "Cache-Control: public, max-age=0",
                           "Cache-Status: edge; hit; ttl=-30", "Age: 0"}) {
    EXPECT_TRUE(Has(fields, line)) << line << "\n" << fields;
  }
}

TEST(AnswerFields, AnOriginsOwnCacheControlIsForGoodAnswersVerbatim) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  AnswerFacts facts;
  facts.cache_control = "private, max-age=60, x=\"y\"";
  facts.entity = stored.get();
  facts.now_ms = stored->meta.created_at_ms + 5'000;
  const std::string own = "Cache-Control: private, max-age=60, x=\"y\"";
  for (const cache::Layer layer : {cache::Layer::kEdge, cache::Layer::kKv, cache::Layer::kJoined,
                                   cache::Layer::kTransform, cache::Layer::kBypass}) {
    facts.layer = layer;
    EXPECT_TRUE(Has(FieldsOf(facts), own.c_str()));
    EXPECT_TRUE(Has(FieldsOf(facts), "Age: 5"));
  }
  // Also where it is stale: "private" must not become "public".
  facts.freshness = cache::Freshness::kStale;
  facts.now_ms = stored->meta.expires_at_ms + 30'000;
  EXPECT_TRUE(Has(FieldsOf(facts), own.c_str()));
  stored->meta.expires_at_ms = 0;
  EXPECT_TRUE(Has(FieldsOf(facts), own.c_str()));

  facts.is_debug = true;
  EXPECT_TRUE(Has(FieldsOf(facts), "Cache-Control: no-store"));
  facts.is_debug = false;
  stored->meta.status = 404;
  EXPECT_FALSE(Has(FieldsOf(facts), own.c_str()));
  facts.entity = nullptr;
  EXPECT_TRUE(Has(FieldsOf(facts), "Cache-Control: no-store")) << "unfinished";
  facts.is_stored_form = true;
  EXPECT_TRUE(Has(FieldsOf(facts), own.c_str()));
}

TEST(AnswerFields, ThereIsNoMomentOfStalenessWithoutANegativeTtl) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  AnswerFacts facts;
  facts.freshness = cache::Freshness::kStale;
  facts.entity = stored.get();
  facts.now_ms = stored->meta.expires_at_ms + 1;
  EXPECT_TRUE(Has(FieldsOf(facts), "Cache-Status: edge; hit; ttl=-1"));
}

TEST(AnswerFields, CacheStatusHasOneMemberPerLayerTheRequestCameTo) {
  const auto line = [](cache::Layer layer, bool edge, bool kv, bool written) {
    AnswerFacts facts;
    facts.layer = layer;
    facts.edge_asked = edge;
    facts.kv_asked = kv;
    facts.edge_written = facts.kv_written = written;
    const std::string fields = FieldsOf(facts);
    const size_t at = fields.find("\nCache-Status: ") + 15;
    return fields.substr(at, fields.find("\r\n", at) - at);
  };
  using cache::Layer;
  EXPECT_EQ(line(Layer::kTransform, true, true, true),
            "KV; fwd=miss; stored, edge; fwd=miss; stored");
  EXPECT_EQ(line(Layer::kTransform, true, true, false), "KV; fwd=miss, edge; fwd=miss");
  EXPECT_EQ(line(Layer::kTransform, true, false, true), "KV; fwd=bypass, edge; fwd=miss; stored");
  EXPECT_EQ(line(Layer::kTransform, false, true, true), "KV; fwd=miss; stored, edge; fwd=bypass");
  EXPECT_EQ(line(Layer::kJoined, true, true, true),
            "KV; fwd=miss; collapsed, edge; fwd=miss; collapsed");
  EXPECT_EQ(line(Layer::kBypass, true, true, true),
            "KV; fwd=bypass; stored, edge; fwd=bypass; stored");
  EXPECT_EQ(line(Layer::kBypass, true, true, false), "KV; fwd=bypass, edge; fwd=bypass");
  EXPECT_EQ(line(Layer::kEdge, true, true, true), "edge; hit");
}

TEST(AnswerFields, ARevalidatedEntryWasForwardedAndNotModified) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  AnswerFacts facts;
  facts.freshness = cache::Freshness::kRevalidated;
  facts.entity = stored.get();
  facts.now_ms = stored->meta.created_at_ms;
  EXPECT_TRUE(Has(FieldsOf(facts), "Cache-Status: edge; fwd=stale; fwd-status=304; ttl=86400"));
}

TEST(LiveHead, HasValidatorsOnlyOfTheFormThatWillBeStored) {
  cache::Metadata meta;
  meta.etag = "\"e\"";
  meta.source_last_modified_ms = 784111777000;
  meta.cache_tags = {"video-a.mp4"};
  const std::string stored = RenderLiveHead("video:a.mp4", meta, true);
  for (const char* line : {"ETag: \"e\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
                           "Accept-Ranges: bytes", "X-KV-Cache-Key: video:a.mp4"}) {
    EXPECT_TRUE(Has(stored, line)) << line << "\n" << stored;
  }
  const std::string streamed = RenderLiveHead("video:a.mp4", meta, false);
  for (const char* name : {"ETag", "Last-Modified", "Accept-Ranges"}) {
    EXPECT_EQ(streamed.find(name), std::string::npos) << streamed;
  }
  EXPECT_TRUE(Has(streamed, "Cache-Tag: video-a.mp4"));
}

TEST(EntityHead, ARememberedFailureHasNoValidatorsAndNoRanges) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  stored->meta.status = 404;
  EXPECT_EQ(RenderEntityHead(*stored).find("Accept-Ranges"), std::string::npos);
}

TEST(AnswerFields, AStreamedBodyMayNotBeStoredByAnyone) {
  AnswerFacts facts;
  facts.layer = cache::Layer::kTransform;
  const std::string fields = FieldsOf(facts);
  EXPECT_TRUE(Has(fields, "Cache-Control: no-store"));
  EXPECT_TRUE(Has(fields, "X-Cache-Status: MISS"));
  EXPECT_TRUE(Has(fields, "X-Cache-Source: transform"));
  EXPECT_EQ(fields.find("X-KV-Cache-TTL"), std::string::npos);
}

TEST(AnswerFields, DebugIsNoStoreWhateverTheEntitySays) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  const cache::Entity& entity = *stored;
  AnswerFacts facts;
  facts.layer = cache::Layer::kBypass;
  facts.entity = &entity;
  facts.is_debug = true;
  facts.now_ms = entity.meta.created_at_ms;
  const std::string fields = FieldsOf(facts);
  EXPECT_TRUE(Has(fields, "Cache-Control: no-store"));
  EXPECT_TRUE(Has(fields, "X-Cache-Status: BYPASS"));
}

TEST(AnswerFields, WarningsFilenameAndPlaybackHintsAreEchoed) {
  variant::Parsed parsed;
  parsed.filename = "clip.mp4";
  parsed.warnings = {{"width", "must be 10-8192"}};
  parsed.playback.loop = true;
  parsed.playback.preload = "metadata";
  AnswerFacts facts;
  facts.parsed = &parsed;
  const std::string fields = FieldsOf(facts);
  for (const char* line :
       {"X-Param-Warnings: width: must be 10-8192", "X-Playback-Loop: true",
        "X-Playback-Preload: metadata", "Content-Disposition: inline; filename=\"clip.mp4\""}) {
    EXPECT_TRUE(Has(fields, line)) << line << "\n" << fields;
  }
}

TEST(LastModified, IsTheSourcesForOriginalsAndOursForTransforms) {
  cache::Metadata meta;
  meta.created_at_ms = 5000;
  meta.source_last_modified_ms = 3000;
  EXPECT_EQ(ToUnixMillis(*LastModifiedOf(meta)), 3000);
  meta.format = "mp4";
  EXPECT_EQ(ToUnixMillis(*LastModifiedOf(meta)), 5000);
  meta.created_at_ms = 0;
  EXPECT_FALSE(LastModifiedOf(meta)) << "of a transform that is not finished";
}

TEST(AnswerFields, VaryNamesWhatHadASay) {
  variant::Parsed parsed;
  AnswerFacts facts;
  facts.parsed = &parsed;
  EXPECT_EQ(FieldsOf(facts).find("Vary:"), std::string::npos);
  EXPECT_EQ(FieldsOf(facts).find("Accept-CH:"), std::string::npos);
  parsed.selection.vary = 0b0010011;
  EXPECT_TRUE(Has(FieldsOf(facts), "Vary: Sec-CH-Viewport-Width, Width, CF-Device-Type"))
      << FieldsOf(facts);
  EXPECT_TRUE(Has(FieldsOf(facts), "Accept-CH: Sec-CH-Viewport-Width, Sec-CH-DPR, Width, DPR"));
  facts.vary = "Accept";
  EXPECT_TRUE(Has(FieldsOf(facts), "Vary: Accept, Sec-CH-Viewport-Width, Width, CF-Device-Type"));
  parsed.selection.vary = 0;
  EXPECT_TRUE(Has(FieldsOf(facts), "Vary: Accept"));
}

TEST(SharedFields, HoldExactlyAsLongAsSaid) {
  const std::shared_ptr<cache::Entity> stored = Stored();
  cache::Entity& entity = *stored;
  for (const int64_t expires : {int64_t{0}, int64_t{1'000'000 + 86'400'000}, int64_t{1'003'333}}) {
    entity.meta.expires_at_ms = expires;
    AnswerFacts facts;
    facts.layer = cache::Layer::kEdge;
    facts.entity = &entity;
    for (int64_t now = 1'000'000 - 2500; now < 1'000'000 + 5000; now += 7) {
      const auto at = [&](int64_t ms) {
        facts.now_ms = ms;
        std::string fields;
        AppendSharedFields(fields, facts);
        return fields;
      };
      const int64_t until = HeadHoldsUntil(entity.meta, now);
      ASSERT_GT(until, now);
      ASSERT_LE(until, std::max<int64_t>(now, 1'000'000) + 1000);
      const std::string fields = at(now);
      for (int64_t ms = now; ms < until; ++ms) ASSERT_EQ(at(ms), fields) << now << " " << ms;
    }
  }
}

TEST(OwnFields, SayHowLongItTook) {
  AnswerFacts facts;
  facts.request_id = "id";
  for (const auto& [ms, text] : std::vector<std::pair<double, std::string>>{{0, "0.00"},
                                                                            {0.004, "0.00"},
                                                                            {0.006, "0.01"},
                                                                            {1.5, "1.50"},
                                                                            {1234.567, "1234.57"},
                                                                            {-1, "0.00"}}) {
    facts.elapsed_ms = ms;
    std::string fields;
    AppendOwnFields(fields, facts);
    EXPECT_EQ(fields,
              "Server-Timing: cache;desc=\"edge\", total;dur=" + text + "\r\nX-Request-ID: id\r\n");
  }
}

}  // namespace
}  // namespace vr::delivery
