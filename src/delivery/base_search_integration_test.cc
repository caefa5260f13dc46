// The search over real layers: what is in the edge and in the store, and what becomes of it
// meanwhile.
#include <gtest/gtest.h>

#include "cache/testing/orchestrator_fixture.h"
#include "delivery/base_search.h"
#include "io/testing/run_sync.h"
#include "transform/planner.h"
#include "variant/key.h"
#include "variant/parse.h"

namespace vr::delivery {
namespace {

constexpr char kSource[] = "videos/a.mp4";

class BaseSearchTest : public cache::testing::OrchestratorTest {
 protected:
  BaseSearchTest() {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->policies.resize(1);
    snapshot_ = std::move(snapshot);
    resolved_.identity = "the source";
  }

  static variant::VariantRequest Asked(const std::string& query) {
    Result<variant::Parsed> parsed =
        variant::Parse("/" + std::string(kSource), query, variant::Options());
    EXPECT_TRUE(parsed.ok() && parsed->warnings.empty()) << query;
    return parsed->request;
  }
  Hash128 DigestOf(const variant::VariantRequest& request) const {
    return variant::DigestOf(request, resolved_.identity,
                             request.is_original()
                                 ? std::string(kOriginalRecipe)
                                 : transform::RecipeOf(request, snapshot_->transform, "recipe"));
  }
  struct Made {
    uint32_t width = 0, height = 0;
    bool is_derived = false;
    int64_t lives_ms = 1000;
  };
  cache::Metadata MetaOf(const std::string& query, const Made& made) {
    cache::Metadata meta;
    meta.source_path = kSource;
    meta.content_type = "video/mp4";
    meta.content_length = query.size();
    meta.created_at_ms = ToUnixMillis(clock_.Now());
    meta.expires_at_ms = meta.created_at_ms + made.lives_ms;
    meta.plan_digest = DigestOf(Asked(query));
    meta.duration = 10;
    if (made.width > 0) meta.resolved_width = made.width;
    if (made.height > 0) meta.resolved_height = made.height;
    if (made.is_derived) meta.derived_from = "another";
    return meta;
  }
  /// Its body is its query. @return its key
  std::string Store(const std::string& query, const Made& made) {
    const std::string key = variant::KeyOf(Asked(query));
    OrchestratorTest::Store(key, query, MetaOf(query, made));
    return key;
  }
  std::string PutIntoEdge(const std::string& query, const Made& made) {
    auto entity = std::make_shared<cache::Entity>();
    entity->key = variant::KeyOf(Asked(query));
    entity->meta = MetaOf(query, made);
    entity->memory = std::make_shared<const std::string>(query);
    EXPECT_TRUE(orchestrator_->edge().Insert(entity));
    return entity->key;
  }

  std::optional<Base> Find(const std::string& wanted, bool may_read_kv = true) {
    BaseSearch search{*orchestrator_, snapshot_, Asked(wanted), resolved_, "recipe", may_read_kv};
    return io::testing::RunSync(FindBase(Context(), std::move(search)));
  }
  std::string KeyFor(const std::string& wanted, bool may_read_kv = true) {
    const std::optional<Base> base = Find(wanted, may_read_kv);
    return base ? base->key : "none";
  }

  SnapshotRef snapshot_;
  origin::Resolved resolved_;
};

TEST_F(BaseSearchTest, AnyVariantOfTheSourceMayBeABase) {
  EXPECT_FALSE(Find("width=320"));
  const std::string large = Store("width=1000&quality=high", {1000, 562});
  EXPECT_EQ(KeyFor("width=320"), large);
  const std::string small = Store("width=640", {640, 360});
  const std::optional<Base> base = Find("width=320");
  ASSERT_TRUE(base);
  EXPECT_EQ(base->key, small);
  EXPECT_EQ(base->begin, variant::Time(0));
  EXPECT_EQ(*base->source->info().size, std::string("width=640").size());
  EXPECT_EQ(KeyFor("width=320&quality=high"), large);
}

TEST_F(BaseSearchTest, AClipTellsWhereItBegins) {
  const std::string clip = Store("width=640&time=2s&duration=4s", {640, 360});
  const std::optional<Base> base = Find("mode=frame&width=320&time=3s");
  ASSERT_TRUE(base);
  EXPECT_EQ(base->key, clip);
  EXPECT_EQ(base->begin, std::chrono::seconds(2));
  EXPECT_FALSE(Find("mode=frame&width=320&time=7s"));
}

TEST_F(BaseSearchTest, TheOriginalHasNoKeyAndComesLast) {
  Store("", {});
  EXPECT_EQ(KeyFor("width=320"), "");
  const std::string large = Store("width=640", {640, 360});
  EXPECT_EQ(KeyFor("width=320"), large);
}

TEST_F(BaseSearchTest, SoundIsFoundInSoundAndInVideos) {
  const std::string video = Store("width=640", {640, 360});
  EXPECT_EQ(KeyFor("mode=audio"), video);
  const std::string sound = Store("mode=audio&format=opus", {});
  EXPECT_EQ(KeyFor("mode=audio"), sound);
}

TEST_F(BaseSearchTest, OnlyWhatIsFreshOfThisPlanAndNotDerived) {
  Store("width=640", {640, 360, true});
  EXPECT_FALSE(Find("width=320"));
  Store("width=650", {650, 366, false, 1});
  clock_.Advance(std::chrono::milliseconds(2));
  EXPECT_FALSE(Find("width=320"));
  Store("width=660", {660, 372});
  EXPECT_TRUE(Find("width=320"));
  resolved_.identity = "another";
  EXPECT_FALSE(Find("width=320"));
}

TEST_F(BaseSearchTest, LooksAtSoManyAndNoMore) {
  for (int i = 0; i < 200; ++i) {
    Store("mode=frame&time=" + std::to_string(i) + "s&width=160", {160, 90});
  }
  const std::string free = Store("width=640", {640, 360});
  EXPECT_EQ(KeyFor("width=320"), free) << "frames are not in its way";
  // Their keys come before its own.
  for (int i = 100; i < 200; ++i) Store("height=" + std::to_string(i), {178, 100});
  EXPECT_FALSE(Find("width=320"));
  const std::string named = Store("derivative=tablet", {1280, 720});
  EXPECT_EQ(KeyFor("width=320"), named);
  const uint64_t before = kv_->calls().gets;
  EXPECT_TRUE(Find("width=320"));
  EXPECT_LT(kv_->calls().gets - before, 10u);
}

TEST_F(BaseSearchTest, DerivativesAreFoundHoweverManyThereAre) {
  // As its keys are ordered, "c" before "derivative".
  for (int i = 0; i < 100; ++i) {
    Store("compression=low&width=" + std::to_string(20 + i), {20, 12});
  }
  const std::string named = Store("derivative=tablet", {1280, 720});
  EXPECT_EQ(KeyFor("width=320"), named);
}

TEST_F(BaseSearchTest, WhatIsGoneByTheTimeItIsReadIsPassedOver) {
  const std::string small = Store("width=640", {640, 360});
  const std::string large = Store("width=1000", {1000, 562});
  KvFails([&](auto& f) {
    f.before_get = [&]() -> io::Task<void> {
      const Result<bool> erased = co_await kv_->Erase(Context(), small);
      EXPECT_TRUE(erased.ok());
    };
  });
  EXPECT_EQ(KeyFor("width=320"), large);
  EXPECT_EQ(kv_->usage().entries, 1u);
}

TEST_F(BaseSearchTest, WhatHasBecomeADerivedOneMeanwhileIsPassedOver) {
  Store("width=640", {640, 360});
  const std::string large = Store("width=1000", {1000, 562});
  KvFails([&](auto& f) {
    f.before_get = [&]() -> io::Task<void> {
      KvFails([](auto& g) { g.before_get = nullptr; });
      Store("width=640", {640, 360, true});
      co_return;
    };
  });
  EXPECT_EQ(KeyFor("width=320"), large);
}

TEST_F(BaseSearchTest, AStoreThatFailsIsAStoreThatHasNothing) {
  Store("width=640", {640, 360});
  KvFails([](auto& f) { f.fail_get = Error(Code::kUnavailable, "disk"); });
  EXPECT_FALSE(Find("width=320"));
}

TEST_F(BaseSearchTest, TheEdgeIsAskedForWhatHasAName) {
  const std::string named = PutIntoEdge("derivative=tablet", {1280, 720});
  EXPECT_EQ(KeyFor("width=320"), named);
  EXPECT_EQ(KeyFor("width=320", false), named);
  PutIntoEdge("width=640", {640, 360});
  EXPECT_EQ(KeyFor("width=320"), named) << "it has no list of a source's variants";
  const std::string stored = Store("width=640", {640, 360});
  const uint64_t before = kv_->calls().gets;
  EXPECT_EQ(KeyFor("width=320"), stored);
  EXPECT_EQ(kv_->calls().gets, before) << "its body is at hand";
  EXPECT_EQ(KeyFor("width=320", false), named) << "may not even be listed";
}

}  // namespace
}  // namespace vr::delivery
