// The orchestrator and the keeper of its store: what counts as a use, what becomes of copies in the
// edge, what leaves by its age, TTLs that follow use.
#include "cache/testing/orchestrator_fixture.h"

namespace vr::cache {
namespace {

using std::chrono::hours;
using testing::FakeProducer;
using testing::OrchestratorTest;

class KeptOrchestratorTest : public OrchestratorTest {
 protected:
  KeptOrchestratorTest() {
    keeping_.eviction = "lru";
    keeping_.max_entries = 20;
  }
  ~KeptOrchestratorTest() override {
    kitchen_->Open();
    RunUntil([&] { return orchestrator_->Drain(std::chrono::steady_clock::now()); });
    if (keeper_) {
      Settle();
      while (!keeper_->Close(std::chrono::steady_clock::now())) context_.poll();
    }
    // Nothing asks it any more: the fixture drains what is drained.
  }
  void Begin() {
    Result<std::unique_ptr<KvKeeper>> made =
        KvKeeper::Create(keeping_, KvKeeper::Deps{*kv_, blocking_, clock_, metrics_});
    ASSERT_TRUE(made.ok()) << made.error().ToLogString();
    keeper_ = std::move(*made);
    orchestrator_->UseKeeper(*keeper_);
    keeper_->Start(context_.get_executor());
    Settle();
  }
  void Settle() {
    RunUntil([&] { return keeper_->is_idle(); });
  }
  uint64_t UsesOf(const std::string& key) {
    const auto view = keeper_->Look(key);
    return view ? view->uses : 1'000'000;
  }

  KeeperOptions keeping_;
  std::unique_ptr<KvKeeper> keeper_;
};

TEST_F(KeptOrchestratorTest, HitsOfEdgeAndKvAreUsesAndMakingIsNot) {
  Begin();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(UsesOf("k"), 0u);
  for (int i = 0; i < 3; ++i) EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_EQ(UsesOf("k"), 3u);
  orchestrator_->edge().Clear();
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kKv);
  EXPECT_EQ(UsesOf("k"), 4u);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge);
  EXPECT_EQ(UsesOf("k"), 5u);
  EXPECT_EQ(orchestrator_->edge().Find("k")->kv_backed, true);
}

TEST_F(KeptOrchestratorTest, ACopyOfWhatWasEvictedIsServedAndASoftPurgeKeepsIt) {
  Begin();
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(Fetch(Ask("k" + std::to_string(i))).ok());
  Settle();
  EXPECT_LT(kv_->usage().entries, 20u);
  EXPECT_FALSE(keeper_->Look("k0"));
  const EntityRef copy = orchestrator_->LookupEdge("k0", {7, 7});
  ASSERT_NE(copy, nullptr);
  EXPECT_FALSE(copy->kv_backed);
  EXPECT_TRUE(orchestrator_->LookupEdge("k24", {7, 7})->kv_backed);

  PurgeScope scope;
  scope.key = "k0";
  std::optional<Result<PurgeReport>> report;
  auto purge = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), scope, PurgeMode::kSoft));
  };
  boost::asio::co_spawn(context_.get_executor(), purge, boost::asio::detached);
  RunUntil([&] { return report.has_value(); });
  ASSERT_TRUE(report->ok());
  EXPECT_EQ(Fetch(Ask("k0"))->freshness, Freshness::kStale) << "nothing else holds it";
}

TEST_F(KeptOrchestratorTest, ACopyOfWhatIsEvictedWhileItIsReadIsNoMoreThanACopy) {
  Begin();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  orchestrator_->edge().Clear();
  auto gate = std::make_shared<io::Notifier>();
  auto is_open = std::make_shared<bool>(false);
  KvFails([&](auto& f) {
    f.after_get = [gate, is_open]() -> Task<void> {
      const uint64_t ticket = gate->ticket();
      if (!*is_open) co_await gate->WaitChange(ticket);
    };
  });
  const uint64_t gets = kv_->calls().gets;
  const Slot slot = Start(Ask("k"));
  RunUntil([&] { return kv_->calls().gets > gets; });
  context_.poll();
  keeper_->NoteDiskFull();
  Settle();
  ASSERT_EQ(kv_->usage().entries, 0u);
  ASSERT_FALSE(slot->has_value()) << "it is still being read";
  *is_open = true;
  gate->NotifyAll();
  RunUntil([&] { return slot->has_value(); });
  RunUntil([&] { return orchestrator_->flights() == 0; });
  ASSERT_TRUE((*slot)->ok());
  EXPECT_EQ((*slot)->value().layer, Layer::kKv);
  ASSERT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_FALSE(orchestrator_->LookupEdge("k", {7, 7})->kv_backed);
}

TEST_F(KeptOrchestratorTest, ACopyOfWhatIsEvictedWhileItsSourceIsAskedIsNoMoreThanACopy) {
  Begin();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(25));
  kitchen_->is_gated = true;
  const Slot slot = Start(Ask("k"));
  RunUntil([&] { return kitchen_->checks == 1; });
  keeper_->NoteDiskFull();
  Settle();
  ASSERT_EQ(kv_->usage().entries, 0u);
  ASSERT_FALSE(slot->has_value());
  kitchen_->Open();
  RunUntil([&] { return slot->has_value(); });
  RunUntil([&] { return orchestrator_->flights() == 0; });
  ASSERT_TRUE((*slot)->ok());
  EXPECT_EQ((*slot)->value().freshness, Freshness::kRevalidated);
  ASSERT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_FALSE(orchestrator_->LookupEdge("k", {7, 7})->kv_backed);
}

TEST_F(KeptOrchestratorTest, WhatIsPurgedIsForgotten) {
  Begin();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(keeper_->entries(), 1u);
  PurgeScope scope;
  scope.everything = true;
  std::optional<Result<PurgeReport>> report;
  auto purge = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), scope, PurgeMode::kHard));
  };
  boost::asio::co_spawn(context_.get_executor(), purge, boost::asio::detached);
  RunUntil([&] { return report.has_value(); });
  EXPECT_EQ(keeper_->entries(), 0u);
}

TEST_F(KeptOrchestratorTest, ARuleTakesWhatIsOldFromEdgeAndKvAndNothingElse) {
  PurgeRule rule;
  rule.tag = "tag";
  rule.older_than = hours(48);
  keeping_.purge_rules = {rule};
  Begin();
  ASSERT_TRUE(Fetch(Ask("old")).ok());
  clock_.Advance(hours(24));
  ASSERT_TRUE(Fetch(Ask("new")).ok());
  clock_.Advance(hours(25));
  keeper_->Tick();
  Settle();
  EXPECT_FALSE(keeper_->Look("old"));
  EXPECT_TRUE(keeper_->Look("new"));
  EXPECT_EQ(kv_->usage().entries, 1u);
  EXPECT_EQ(orchestrator_->edge().Find("old"), nullptr);
  EXPECT_NE(orchestrator_->edge().Find("new"), nullptr);
}

TEST_F(KeptOrchestratorTest, WhatIsNotAdmittedIsServedAndCounted) {
  keeping_.max_bytes = 1;
  Begin();
  Result<Answer> answer = Fetch(Ask("k"));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(BodyOf(answer->entity), "variant bytes");
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(Stores("skipped"), 1);
  EXPECT_EQ(Stores("failed"), 0);
  EXPECT_FALSE(orchestrator_->LookupEdge("k", {7, 7})->kv_backed);
}

TEST_F(KeptOrchestratorTest, WhatCannotBeReplacedIsNotFoundAnyMore) {
  keeping_.max_bytes = 100 << 10;
  Begin();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  kitchen_->version = "v2";
  kitchen_->body = std::string(200 << 10, 'x');
  Query fresh = Ask("k");
  fresh.read_edge = fresh.read_kv = fresh.join = false;
  // Larger than everything that may be stored.
  ASSERT_TRUE(Fetch(fresh).ok());
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(keeper_->entries(), 0u);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7})->size(), 200u << 10);
}

TEST_F(KeptOrchestratorTest, AFullDiskIsServedAndHasThingsEvicted) {
  Begin();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Fetch(Ask("k" + std::to_string(i))).ok());
  KvFails([](auto& f) {
    f.fail_create = Error(Code::kResourceExhausted, "disk").WithReason("DISK_FULL");
  });
  EXPECT_TRUE(Fetch(Ask("more")).ok());
  Settle();
  EXPECT_LT(kv_->usage().entries, 10u);
  EXPECT_EQ(Count("video_resizer_kv_disk_full_total"), 1);
  EXPECT_EQ(Stores("skipped"), 1);
}

TEST_F(KeptOrchestratorTest, TheTtlOfWhatIsUsedOftenGrowsByATouch) {
  keeping_.adaptive_ttl.enabled = true;
  Begin();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  const auto hit = [&] { return orchestrator_->LookupEdge("k", {7, 7}); };
  for (int i = 0; i < 8; ++i) ASSERT_NE(hit(), nullptr);
  clock_.Advance(hours(13));
  const int64_t now_ms = ToUnixMillis(clock_.Now());
  orchestrator_->CheckSource(context_.get_executor(), hit(), Ask("k"),
                             std::make_shared<FakeProducer>(kitchen_));
  RunUntil([&] { return kv_->calls().touches == 1; });
  context_.poll();
  EXPECT_EQ(hit()->meta.expires_at_ms, now_ms + 2 * 86'400'000LL);
  EXPECT_EQ(keeper_->Look("k")->ttl_factor, 2);
  EXPECT_EQ(kv_->calls().commits, 1u);
  // Half of the longer one has not passed yet.
  clock_.Advance(hours(13));
  const int checks = kitchen_->checks;
  orchestrator_->CheckSource(context_.get_executor(), hit(), Ask("k"),
                             std::make_shared<FakeProducer>(kitchen_));
  RunUntil([&] { return kitchen_->checks > checks; });
  context_.poll();
  EXPECT_EQ(kv_->calls().touches, 1u);
}

}  // namespace
}  // namespace vr::cache
