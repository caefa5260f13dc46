// The keeper over a store: limits, what is evicted and in which order, quotas, ages, what outlives
// a restart. Integration, because listings are read on the blocking pool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/testing/manual_clock.h"
#include "cache/entity.h"
#include "cache/keeper.h"
#include "io/files.h"
#include "kv/testing/embedded_rig.h"
#include "kv/testing/fake_kv_store.h"
#include "kv/testing/put_body.h"

namespace vr::cache {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr uint64_t kBody = 1000;

/// A keeper on an executor that the test drives, and what is stored through it.
class KeeperTest : public ::testing::Test {
 protected:
  KeeperTest() {
    options_.max_bytes = 100 * 1400;
    options_.eviction = "lru";
    options_.origins = {{"videos", 0}, {"shorts", 0}};
    options_.state_file = dir_.path() + "/capacity.state";
  }
  ~KeeperTest() override { Stop(); }

  void Start() {
    Result<std::unique_ptr<KvKeeper>> made =
        KvKeeper::Create(options_, KvKeeper::Deps{*kv_, blocking_, clock_, metrics_});
    ASSERT_TRUE(made.ok()) << made.error().ToLogString();
    keeper_ = std::move(*made);
    KvKeeper::Hooks hooks;
    hooks.evicted = [this](const std::string& key, bool) { evicted_.push_back(key); };
    hooks.purge = [this](PurgeRule rule, int64_t until_ms) -> Task<Result<uint64_t>> {
      rules_run_.emplace_back(rule.tag, until_ms);
      co_return uint64_t{0};
    };
    keeper_->SetHooks(std::move(hooks));
    keeper_->Start(context_.get_executor());
    Settle();
  }
  void Stop() {
    if (!keeper_) return;
    Settle();
    while (!keeper_->Close(std::chrono::steady_clock::now())) context_.poll();
    keeper_.reset();
  }
  void Settle() {
    while (!keeper_->is_idle()) context_.run_one();
  }
  void Tick() {
    keeper_->Tick();
    Settle();
  }

  kv::Record RecordOf(const std::string& body, const std::string& origin, double cost) {
    Metadata meta;
    meta.source_path = "a.mp4";
    meta.content_type = "video/mp4";
    meta.origin = origin;
    meta.encode_seconds = cost;
    meta.content_length = body.size();
    kv::Record record = kv::testing::RecordFor(body, meta.ToJson());
    record.created_ms = ToUnixMillis(clock_.Now());
    record.expires_ms = record.created_ms + 86'400'000;
    return record;
  }
  /// What the orchestrator does with what was made. Coroutine parameters are copies.
  Task<void> Commit(std::string key, uint64_t size, std::string origin, double cost,
                    std::shared_ptr<bool> stored) {
    const std::string body = kv::testing::BytesFor(size, Hash64Of(key));
    const kv::Record record = RecordOf(body, origin, cost);
    Result<std::unique_ptr<kv::NewBody>> fresh = co_await kv_->Create(Context(), size);
    if (!fresh.ok()) co_return;
    EXPECT_TRUE(io::Files::System().WriteAt((*fresh)->file()->get(), body, 0).ok());
    keeper_->NoteMiss(Hash64Of(key), ToUnixMillis(clock_.Now()));
    KvKeeper::Candidate candidate;
    candidate.id = Hash64Of(key);
    candidate.bytes = record.body_size + record.metadata.size();
    candidate.cost_seconds = cost;
    candidate.origin = origin;
    std::optional<KvKeeper::Room> room = co_await keeper_->MakeRoom(std::move(candidate));
    if (!room) co_return;
    Result<void> done = co_await kv_->Commit(Context(), key, record, std::move(*fresh));
    EXPECT_TRUE(done.ok());
    most_ = std::max(most_, kv_->usage().bytes);
    keeper_->Stored(std::move(*room), key, record, cost, origin);
    *stored = true;
  }
  bool Put(const std::string& key, uint64_t size = kBody, const std::string& origin = "videos",
           double cost = 1) {
    auto stored = std::make_shared<bool>(false);
    bool is_over = false;
    boost::asio::co_spawn(context_.get_executor(), Commit(key, size, origin, cost, stored),
                          [&](std::exception_ptr) { is_over = true; });
    while (!is_over) context_.run_one();
    Settle();
    return *stored;
  }
  void Hit(const std::string& key) { keeper_->NoteHit(Hash64Of(key), ToUnixMillis(clock_.Now())); }
  bool Has(const std::string& key) { return Found(key).has_value(); }
  std::optional<kv::Found> Found(const std::string& key) {
    Result<std::optional<kv::Found>> found = io::testing::RunSync(kv_->Get(Context(), key));
    if (!found.ok()) return std::nullopt;
    return std::move(*found);
  }
  std::vector<std::string> Keys() {
    Result<kv::Page> page = io::testing::RunSync(kv_->ListByPrefix(Context(), "", "", 10'000));
    std::vector<std::string> keys;
    for (const kv::Listed& row : page->rows) keys.push_back(row.key);
    return keys;
  }
  double Evictions(const std::string& reason) {
    return metrics_
        .GetCounter("video_resizer_kv_evictions_total", "",
                    {{"reason", reason}, {"policy", options_.eviction}})
        .value();
  }
  double Admissions(const std::string& result) {
    return metrics_.GetCounter("video_resizer_kv_admission_total", "", {{"result", result}})
        .value();
  }

  kv::testing::TempDir dir_;
  KeeperOptions options_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<io::Executor> guard_ = boost::asio::make_work_guard(context_);
  vr::testing::ManualClock clock_;
  Metrics metrics_;
  io::Blocking blocking_;
  std::unique_ptr<kv::KvStore> kv_ = std::make_unique<kv::testing::FakeKvStore>();
  std::unique_ptr<KvKeeper> keeper_;
  std::vector<std::string> evicted_;
  std::vector<std::pair<std::string, int64_t>> rules_run_;
  uint64_t most_ = 0;
};

TEST_F(KeeperTest, AboveTheHighMarkTheLeastRecentlyUsedGoDownToTheLowMark) {
  options_.max_entries = 100;
  Start();
  for (int i = 0; i < 95; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  EXPECT_THAT(evicted_, IsEmpty());
  Hit("k0");
  Hit("k2");
  ASSERT_TRUE(Put("one more"));
  EXPECT_THAT(evicted_, ElementsAre("k1", "k3", "k4", "k5", "k6", "k7"));
  EXPECT_EQ(kv_->usage().entries, 90u);
  EXPECT_EQ(keeper_->entries(), 90u);
  EXPECT_EQ(Evictions("high_watermark"), 6);
  EXPECT_TRUE(Has("k0"));
  EXPECT_FALSE(Has("k1"));
}

TEST_F(KeeperTest, TheBytesOfManyStoresAtOnceNeverPassTheLimitAndNothingIsRefused) {
  Start();
  std::vector<std::shared_ptr<bool>> stored;
  int left = 0;
  for (int i = 0; i < 500; ++i) {
    stored.push_back(std::make_shared<bool>(false));
    ++left;
    boost::asio::co_spawn(context_.get_executor(),
                          Commit("k" + std::to_string(i), kBody, "videos", 1, stored.back()),
                          [&left](std::exception_ptr) { --left; });
  }
  while (left > 0) context_.run_one();
  Settle();
  EXPECT_LE(most_, options_.max_bytes);
  EXPECT_LE(kv_->usage().bytes, options_.max_bytes / 100 * 95);
  EXPECT_GT(kv_->usage().bytes, options_.max_bytes / 2);
  int made = 0;
  for (const auto& is_stored : stored) made += *is_stored;
  EXPECT_EQ(made, 500) << "five times as many as fit, one after the other";
}

TEST_F(KeeperTest, WhatIsTooLargeIsNotStoredAndEvictsNothing) {
  Start();
  ASSERT_TRUE(Put("small"));
  EXPECT_FALSE(Put("large", options_.max_bytes));
  EXPECT_EQ(Admissions("too_large"), 1);
  EXPECT_TRUE(Has("small"));
  EXPECT_THAT(evicted_, IsEmpty());
}

TEST_F(KeeperTest, WithoutAPolicyTheStoreFillsUpAndThenTakesNothing) {
  options_.eviction = "none";
  options_.max_entries = 3;
  Start();
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(Put(key));
  EXPECT_FALSE(Put("d"));
  EXPECT_EQ(Admissions("no_room"), 1);
  EXPECT_THAT(Keys(), ElementsAre("a", "b", "c"));
}

TEST_F(KeeperTest, AnOriginsQuotaTakesItsOwnEntriesOnly) {
  options_.origins["shorts"] = 10 * 1400;
  Start();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Put("v" + std::to_string(i)));
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Put("s" + std::to_string(i), kBody, "shorts"));
  EXPECT_GE(Evictions("quota"), 20);
  EXPECT_EQ(Evictions("high_watermark"), 0);
  for (const std::string& key : evicted_) EXPECT_EQ(key[0], 's') << key;
  EXPECT_TRUE(Has("s29"));
  EXPECT_TRUE(Has("v0"));
  const auto gauge = [this](const char* origin) {
    return metrics_.GetGauge("video_resizer_kv_origin_bytes", "", {{"origin", origin}}).value();
  };
  EXPECT_LE(gauge("shorts"), 14'000);
  EXPECT_GT(gauge("shorts"), 5'000);
  EXPECT_EQ(gauge("videos") + gauge("shorts"), static_cast<double>(kv_->usage().bytes));
  // A smaller one, of a new configuration.
  KeeperOptions smaller = options_;
  smaller.origins["videos"] = 5 * 1400;
  keeper_->Reload(smaller);
  Tick();
  EXPECT_LE(gauge("videos"), 7'000);
  EXPECT_TRUE(Has("v19"));
}

/// With each of the policies.
class KeeperPolicyTest : public KeeperTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(All, KeeperPolicyTest, ::testing::Values("lru", "s3-fifo", "cost-aware"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

TEST_P(KeeperPolicyTest, AdmitsAndEvictsInTheOrderThatThePolicyGivesForTheSameEvents) {
  options_.eviction = GetParam();
  options_.max_entries = 50;
  Start();
  capacity::PolicyOptions like_the_keepers;
  like_the_keepers.max_bytes = options_.max_bytes;
  Result<std::unique_ptr<capacity::EvictionPolicy>> alone =
      capacity::MakePolicy(options_.eviction, like_the_keepers);
  ASSERT_TRUE(alone.ok());
  std::map<uint64_t, std::string> names;
  std::vector<std::string> expected;
  int refused = 0;
  uint64_t random = 1;
  const auto next = [&random](uint64_t below) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (random >> 33) % below;
  };
  for (int step = 0; step < 3000; ++step) {
    clock_.Advance(seconds(1));
    const int64_t now_ms = ToUnixMillis(clock_.Now());
    const uint64_t n = std::min(next(300), next(300));
    const std::string key = "k" + std::to_string(n);
    capacity::Item item;
    item.id = Hash64Of(key);
    names[item.id] = key;
    if (Has(key)) {
      Hit(key);
      (*alone)->Hit(item.id, now_ms);
      continue;
    }
    // Of different weight and worth, at most 1000 bytes and never near the limit of bytes.
    const uint64_t size = 100 + n * 7 % 10 * 100;
    item.cost_seconds = static_cast<double>(uint64_t{1} << n % 5) / 8;
    const kv::Record record = RecordOf(std::string(size, 'x'), "videos", item.cost_seconds);
    item.bytes = size + record.metadata.size();
    // The keeper's own rules: beyond 90 percent of 50 something has to be worth its place, and
    // beyond 95 it is 90 again.
    (*alone)->Miss(item.id, now_ms);
    const bool is_admitted = (*alone)->entries() + 1 <= 45 || (*alone)->Admit(item, now_ms);
    ASSERT_EQ(Put(key, size, "videos", item.cost_seconds), is_admitted) << step;
    if (!is_admitted) {
      ++refused;
      continue;
    }
    (*alone)->Insert(item, now_ms);
    if ((*alone)->entries() > 47) {
      while ((*alone)->entries() > 45) expected.push_back(names[*(*alone)->Evict(now_ms)]);
    }
  }
  EXPECT_GT(expected.size(), 100u);
  EXPECT_EQ(refused > 0, options_.eviction == "cost-aware");
  EXPECT_EQ(evicted_, expected);
}

TEST_F(KeeperTest, LearnsWhatTheStoreHoldsAndWhatItKnewBeforeARestart) {
  options_.max_entries = 20;
  Start();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  clock_.Advance(seconds(10));
  Hit("k0");
  Hit("k0");
  ASSERT_TRUE(keeper_->SaveNow().ok());
  Stop();
  Start();
  EXPECT_EQ(keeper_->entries(), 10u);
  EXPECT_EQ(keeper_->Look("k0")->uses, 2u);
  EXPECT_EQ(keeper_->Look("k0")->used_ms, ToUnixMillis(clock_.Now()));
  for (int i = 10; i < 20; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  EXPECT_TRUE(Has("k0")) << "used last";
  EXPECT_FALSE(Has("k1"));
}

TEST_F(KeeperTest, ADamagedOrMissingStateIsAColdStart) {
  Start();
  ASSERT_TRUE(Put("a"));
  Hit("a");
  ASSERT_TRUE(keeper_->SaveNow().ok());
  Stop();
  std::ofstream(options_.state_file, std::ios::binary | std::ios::trunc) << "nonsense";
  Start();
  EXPECT_EQ(keeper_->entries(), 1u);
  EXPECT_EQ(keeper_->Look("a")->uses, 0u);
  Stop();
  std::filesystem::remove(options_.state_file);
  Start();
  EXPECT_TRUE(keeper_->is_loaded());
  EXPECT_EQ(keeper_->entries(), 1u);
}

TEST_F(KeeperTest, IsSavedNowAndThen) {
  options_.save_interval = seconds(300);
  Start();
  ASSERT_TRUE(Put("a"));
  Tick();
  EXPECT_FALSE(std::filesystem::exists(options_.state_file));
  clock_.Advance(seconds(301));
  Tick();
  EXPECT_TRUE(std::filesystem::exists(options_.state_file));
}

TEST_F(KeeperTest, WhatIsErasedElsewhereIsForgotten) {
  Start();
  ASSERT_TRUE(Put("a"));
  ASSERT_TRUE(Put("b"));
  ASSERT_TRUE(*io::testing::RunSync(kv_->Erase(Context(), "a")));
  keeper_->Erased({"a"});
  EXPECT_EQ(keeper_->entries(), 1u);
  EXPECT_FALSE(keeper_->Look("a"));
}

TEST_F(KeeperTest, WhatSlippedItsBooksIsFoundAgain) {
  Start();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(*io::testing::RunSync(kv_->Erase(Context(), "k" + std::to_string(i))));
  }
  Tick();
  EXPECT_EQ(keeper_->entries(), 10u);
}

TEST_F(KeeperTest, WhatNobodyUsesForLongGoesForGood) {
  options_.max_unused = hours(24 * 30);
  Start();
  ASSERT_TRUE(Put("used"));
  ASSERT_TRUE(Put("unused"));
  clock_.Advance(hours(24 * 29));
  Hit("used");
  Tick();
  EXPECT_THAT(Keys(), UnorderedElementsAre("used", "unused"));
  clock_.Advance(hours(25));
  Tick();
  EXPECT_THAT(Keys(), ElementsAre("used"));
  EXPECT_EQ(Evictions("unused"), 1);
}

TEST_F(KeeperTest, NothingGoesOnAGuessForNotBeingUsed) {
  Start();
  ASSERT_TRUE(Put("a"));
  Stop();
  clock_.Advance(hours(24 * 365));
  options_.max_unused = hours(24 * 30);
  Start();
  EXPECT_TRUE(Has("a")) << "without a state nobody knows when it was used";
  clock_.Advance(hours(24 * 31));
  Tick();
  EXPECT_FALSE(Has("a"));
}

TEST_F(KeeperTest, RulesRunAtTheirIntervalAndNotOftener) {
  PurgeRule rule;
  rule.tag = "old";
  rule.older_than = hours(24 * 90);
  options_.purge_rules = {rule};
  Start();
  ASSERT_EQ(rules_run_.size(), 1u);
  EXPECT_EQ(rules_run_[0].first, "old");
  EXPECT_EQ(rules_run_[0].second, ToUnixMillis(clock_.Now()) - 90LL * 86'400'000);
  Tick();
  EXPECT_EQ(rules_run_.size(), 1u);
  clock_.Advance(seconds(3601));
  Tick();
  EXPECT_EQ(rules_run_.size(), 2u);
}

TEST_F(KeeperTest, InAFullStoreMinUsesHasAVariantAskedForMoreThanOnce) {
  options_.min_uses = 2;
  options_.max_entries = 20;
  Start();
  for (int i = 0; i < 18; ++i) ASSERT_TRUE(Put("k" + std::to_string(i))) << "there is room";
  EXPECT_FALSE(Put("once"));
  EXPECT_FALSE(Put("also once"));
  EXPECT_EQ(Admissions("rejected"), 2);
  EXPECT_TRUE(Put("once"));
  EXPECT_EQ(kv_->usage().entries, 19u);
}

TEST_F(KeeperTest, AFullDiskTakesAPartOfWhatIsStoredAndNotAtOnceAgain) {
  Start();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  keeper_->NoteDiskFull();
  Settle();
  EXPECT_GE(Evictions("disk_full"), 2);
  EXPECT_LE(Evictions("disk_full"), 4);
  const double first = Evictions("disk_full");
  keeper_->NoteDiskFull();
  Settle();
  EXPECT_EQ(Evictions("disk_full"), first);
  clock_.Advance(seconds(11));
  keeper_->NoteDiskFull();
  Settle();
  EXPECT_GT(Evictions("disk_full"), first);
}

TEST_F(KeeperTest, WhatTheStoreDoesNotEraseStaysKnownAndIsTriedAgain) {
  options_.max_entries = 20;
  Start();
  for (int i = 0; i < 19; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  auto& fake = static_cast<kv::testing::FakeKvStore&>(*kv_);
  // Erasing fails, committing does not: the switch covers both, so it is set in between.
  ASSERT_TRUE(keeper_->is_idle());
  fake.Set([](auto& f) { f.fail_commit = Error(Code::kUnavailable, "disk"); });
  keeper_->NoteDiskFull();
  Settle();
  EXPECT_EQ(keeper_->entries(), 19u);
  EXPECT_EQ(Evictions("disk_full"), 0);
  fake.Set([](auto& f) { f.fail_commit.reset(); });
  ASSERT_TRUE(Put("more"));
  Put("and more");
  EXPECT_EQ(keeper_->entries(), kv_->usage().entries);
  EXPECT_LE(keeper_->entries(), 19u);
}

TEST_F(KeeperTest, TtlsGrowWithUseAndShrinkWithoutWithinBounds) {
  options_.adaptive_ttl.enabled = true;
  options_.adaptive_ttl.popular_uses = 3;
  options_.adaptive_ttl.max_factor = 4;
  options_.adaptive_ttl.min_factor = 0.5;
  Start();
  ASSERT_TRUE(Put("k"));
  const uint64_t id = Hash64Of("k");
  EXPECT_EQ(keeper_->TtlFactor(id), 1);
  for (const double expected : {2.0, 4.0, 4.0}) {
    for (int i = 0; i < 3; ++i) Hit("k");
    const double factor = keeper_->NextTtlFactor(id);
    EXPECT_EQ(factor, expected);
    const int64_t now_ms = ToUnixMillis(clock_.Now());
    keeper_->Renewed(id, now_ms, now_ms + 1000, factor);
  }
  Hit("k");
  Hit("k");
  EXPECT_EQ(keeper_->NextTtlFactor(id), 4) << "neither popular nor forgotten";
  for (const double expected : {2.0, 1.0, 0.5, 0.5}) {
    const int64_t now_ms = ToUnixMillis(clock_.Now());
    keeper_->Renewed(id, now_ms, now_ms + 1000, keeper_->TtlFactor(id));
    const double factor = keeper_->NextTtlFactor(id);
    EXPECT_EQ(factor, expected);
    keeper_->Renewed(id, now_ms, now_ms + 1000, factor);
  }
}

TEST_F(KeeperTest, WhatNobodyUsedExpiresAtHalfItsTtlAndItsBodyIsNotTouched) {
  options_.adaptive_ttl.enabled = true;
  Start();
  ASSERT_TRUE(Put("used"));
  ASSERT_TRUE(Put("unused"));
  Hit("used");
  const int64_t expires_ms = Found("used")->record.expires_ms;
  clock_.Advance(hours(11));
  Tick();
  EXPECT_EQ(Found("unused")->record.expires_ms, expires_ms);
  clock_.Advance(hours(2));
  Tick();
  EXPECT_EQ(Found("used")->record.expires_ms, expires_ms);
  EXPECT_EQ(Found("unused")->record.expires_ms, ToUnixMillis(clock_.Now()));
  EXPECT_EQ(Found("unused")->body.size, kBody);
  EXPECT_EQ(keeper_->Look("unused")->ttl_factor, 0.5);
}

/// The same over the store that a server has.
class KeeperOnDiskTest : public KeeperTest {
 protected:
  KeeperOnDiskTest() { Open(); }
  ~KeeperOnDiskTest() override {
    Stop();
    kv_.reset();
  }
  void Open() {
    kv_.reset();
    kv::Options options;
    options.data_dir = dir_.path() + "/data";
    options.max_bytes = options_.max_bytes;
    options.inline_threshold = 512;
    options.min_free_bytes = 1;
    options.durability = kv::Durability::kNone;
    Result<std::unique_ptr<kv::EmbeddedStore>> opened =
        kv::EmbeddedStore::Create(options, blocking_, clock_, metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
    kv_ = std::move(*opened);
  }
};

TEST_F(KeeperOnDiskTest, UnderItsLimitWithManyStoresAtOnceAndReadersKeepWhatTheyRead) {
  Start();
  ASSERT_TRUE(Put("read"));
  const std::optional<kv::Found> reading = Found("read");
  ASSERT_TRUE(reading);
  std::vector<std::shared_ptr<bool>> stored;
  int left = 0;
  for (int i = 0; i < 300; ++i) {
    stored.push_back(std::make_shared<bool>(false));
    ++left;
    boost::asio::co_spawn(context_.get_executor(),
                          Commit("k" + std::to_string(i), kBody, "videos", 1, stored.back()),
                          [&left](std::exception_ptr) { --left; });
  }
  while (left > 0) context_.run_one();
  Settle();
  EXPECT_LE(most_, options_.max_bytes);
  EXPECT_LE(kv_->usage().bytes, options_.max_bytes / 100 * 95);
  EXPECT_FALSE(Has("read"));
  EXPECT_TRUE(kv::testing::ReadBody(reading->body) ==
              kv::testing::BytesFor(kBody, Hash64Of("read")));
  EXPECT_EQ(keeper_->entries(), kv_->usage().entries);
}

TEST_F(KeeperOnDiskTest, AStoreThatIsOverASmallerLimitIsBroughtBelowIt) {
  Start();
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(Put("k" + std::to_string(i)));
  Stop();
  options_.max_bytes = 30 * 1400;
  Open();
  Start();
  Settle();
  EXPECT_LE(kv_->usage().bytes, options_.max_bytes / 100 * 95);
  EXPECT_TRUE(Has("k59"));
  EXPECT_FALSE(Has("k0"));
  EXPECT_TRUE(Put("more"));
}

}  // namespace
}  // namespace vr::cache
