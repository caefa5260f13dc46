// The orchestrator over the memory store: layers, single-flight, freshness, bypass. Integration,
// because staging uses a real directory and bodies are measured on the blocking pool.
#include "cache/testing/orchestrator_fixture.h"

namespace vr::cache {
namespace {

namespace asio = boost::asio;
using std::chrono::hours;
using std::chrono::seconds;
using testing::FakeProducer;
using testing::OrchestratorTest;

TEST_F(OrchestratorTest, MakesOnceThenHitsTheEdgeThenTheKvAfterARestart) {
  Result<Answer> first = Fetch(Ask("k"));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->layer, Layer::kTransform);
  EXPECT_EQ(BodyOf(first->entity), "variant bytes");
  EXPECT_EQ(first->entity->meta.content_length, 13u);
  EXPECT_EQ(first->entity->meta.etag.size(), 34u);

  EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge);

  Restart();
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  Result<Answer> third = Fetch(Ask("k"));
  EXPECT_EQ(third->layer, Layer::kKv);
  EXPECT_EQ(BodyOf(third->entity), "variant bytes");
  EXPECT_EQ(third->entity->meta.etag, first->entity->meta.etag);
  EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr) << "a KV hit is promoted";
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, ProductionsRunInTheWorkshopAndNotWhereHitsAreServed) {
  io::LoopPool workshop(1, "work");
  workshop.Start();
  orchestrator_->ProduceOn(workshop[0].executor());
  const Slot slot = Start(Ask("k"));
  RunUntil([&] { return slot->has_value(); });
  ASSERT_TRUE((*slot)->ok());
  EXPECT_EQ(BodyOf((*slot)->value().entity), "variant bytes");
  EXPECT_EQ(kitchen_->made_on, &workshop[0]);
  while (!orchestrator_->Drain(std::chrono::steady_clock::now())) context_.poll();
}

TEST_F(OrchestratorTest, ManyAskersOneProduction) {
  kitchen_->is_gated = true;
  std::vector<Slot> slots;
  for (int i = 0; i < 200; ++i) slots.push_back(Start(Ask("k")));
  RunUntil([&] { return kitchen_->calls == 1; });
  kitchen_->Open();
  int leaders = 0;
  for (const Slot& slot : slots) {
    RunUntil([&] { return slot->has_value(); });
    ASSERT_TRUE((*slot)->ok());
    if ((**slot)->layer == Layer::kTransform) ++leaders;
    EXPECT_EQ(BodyOf((**slot)->entity), "variant bytes");
  }
  EXPECT_EQ(leaders, 1);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, DifferentKeysAndDifferentPlansAreMadeApart) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  Query other_plan = Ask("k");
  other_plan.digest = {8, 8};
  Result<Answer> remade = Fetch(other_plan);
  EXPECT_EQ(remade->layer, Layer::kTransform) << "a stored entity of another plan is a miss";
  EXPECT_EQ(Fetch(Ask("k2"))->layer, Layer::kTransform);
  EXPECT_EQ(kitchen_->calls, 3);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr) << "and is replaced";
}

TEST_F(OrchestratorTest, EveryWaiterGetsTheLeadersErrorAndTheNextRequestTriesAgain) {
  kitchen_->is_gated = true;
  kitchen_->failure = Error(Code::kCorruption, "broken").WithReason("SOURCE_CORRUPT");
  const Slot a = Start(Ask("k"));
  const Slot b = Start(Ask("k"));
  RunUntil([&] { return kitchen_->calls == 1; });
  kitchen_->Open();
  for (const Slot& slot : {a, b}) {
    RunUntil([&] { return slot->has_value(); });
    ASSERT_FALSE((*slot)->ok());
    EXPECT_EQ((*slot)->error().reason, "SOURCE_CORRUPT");
  }
  EXPECT_EQ(kv_->usage().entries, 0u);
  kitchen_->failure.reset();
  clock_.Advance(seconds(61));
  EXPECT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(kitchen_->calls, 2);
}

TEST_F(OrchestratorTest, AFailureOfTheSourceIsRememberedForItsTtlAndNoLonger) {
  kitchen_->failure = Error(Code::kCorruption, "broken").WithReason("SOURCE_CORRUPT");
  EXPECT_FALSE(Fetch(Ask("k")).ok());
  const Result<Answer> remembered = Fetch(Ask("k"));
  ASSERT_TRUE(remembered.ok());
  EXPECT_EQ(remembered->entity->meta.status, 422);
  EXPECT_EQ(remembered->layer, Layer::kEdge);
  EXPECT_EQ(kitchen_->calls, 1);
  Query nocache = Ask("k");
  nocache.read_edge = nocache.read_kv = nocache.join = false;
  EXPECT_FALSE(Fetch(nocache).ok()) << "bypassable";
  kitchen_->failure.reset();
  clock_.Advance(seconds(59));
  EXPECT_EQ(Fetch(Ask("k"))->entity->meta.status, 422);
  clock_.Advance(seconds(2));
  EXPECT_EQ(Fetch(Ask("k"))->entity->meta.status, 200) << "recovers";
  EXPECT_EQ(Fetch(Ask("k"))->entity->meta.status, 200) << "and the memory of the failure is gone";
}

TEST_F(OrchestratorTest, TheMemoryOfFailuresIsBounded) {
  options_.negative_max_bytes = 256 << 10;
  Restart();
  kitchen_->failure = Error(Code::kCorruption, "broken").WithReason("SOURCE_CORRUPT");
  int remembered = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string key = "k" + std::to_string(i);
    EXPECT_FALSE(Fetch(Ask(key)).ok());
  }
  for (int i = 0; i < 2000; ++i) {
    remembered += orchestrator_->LookupEdge("k" + std::to_string(i), {7, 7}) != nullptr;
  }
  EXPECT_GT(remembered, 0);
  EXPECT_LT(remembered, 2000) << "a scan over paths that do not exist costs no memory";
}

TEST_F(OrchestratorTest, OurOwnFailureIsNotRemembered) {
  kitchen_->failure = Error(Code::kInternal, "bug").WithReason("TRANSFORM_FAILED");
  EXPECT_FALSE(Fetch(Ask("k")).ok());
  EXPECT_FALSE(Fetch(Ask("k")).ok());
  EXPECT_EQ(kitchen_->calls, 2);
}

TEST_F(OrchestratorTest, RightAfterItsTtlAnEntryIsServedStaleAndRefreshedBehindOnce) {
  for (const bool with_edge : {true, false}) {
    const std::string key = with_edge ? "edge" : "kv";
    ASSERT_TRUE(Fetch(Ask(key)).ok());
    if (!with_edge) Restart();
    clock_.Advance(hours(24) + seconds(30));
    const int checks = kitchen_->checks;
    kitchen_->is_gated = true;
    kitchen_->is_open = false;
    const Slot a = Start(Ask(key));
    const Slot b = Start(Ask(key));
    for (const Slot& slot : {a, b}) {
      RunUntil([&] { return slot->has_value(); });
      ASSERT_TRUE((*slot)->ok());
      EXPECT_EQ((**slot)->freshness, Freshness::kStale) << key;
    }
    kitchen_->Open();
    kitchen_->is_gated = false;
    RunUntil([&] { return orchestrator_->flights() == 0; });
    EXPECT_EQ(kitchen_->checks, checks + 1);
    EXPECT_EQ(Fetch(Ask(key))->freshness, Freshness::kFresh) << "touched, not made again";
  }
  EXPECT_EQ(kitchen_->calls, 2);
  EXPECT_EQ(kv_->calls().touches, 2u);
}

TEST_F(OrchestratorTest, LongAfterItsTtlAnUnchangedSourceCostsAQuestionNotATransform) {
  const Result<Answer> first = Fetch(Ask("k"));
  clock_.Advance(hours(30));
  const Result<Answer> again = Fetch(Ask("k"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->freshness, Freshness::kRevalidated);
  EXPECT_EQ(again->entity->meta.etag, first->entity->meta.etag);
  EXPECT_EQ(again->entity->meta.created_at_ms, first->entity->meta.created_at_ms);
  EXPECT_EQ(kitchen_->calls, 1);
  Restart();
  EXPECT_EQ(Fetch(Ask("k"))->freshness, Freshness::kFresh) << "the KV was touched too";
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, AChangedSourceIsMadeAgain) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  kitchen_->version = "v2";
  kitchen_->body = "other bytes";
  clock_.Advance(hours(30));
  const Result<Answer> again = Fetch(Ask("k"));
  EXPECT_EQ(again->layer, Layer::kTransform);
  EXPECT_EQ(BodyOf(again->entity), "other bytes");
}

TEST_F(OrchestratorTest, AFailingOriginIsBridgedWithTheStaleEntryAndNotAskedEachTime) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(30));
  kitchen_->origin_failure = Error(Code::kUnavailable, "down").WithReason("ALL_SOURCES_FAILED");
  EXPECT_EQ(Fetch(Ask("k"))->freshness, Freshness::kStale);
  EXPECT_EQ(Fetch(Ask("k"))->freshness, Freshness::kStale);
  EXPECT_EQ(kitchen_->checks, 1);
  clock_.Advance(seconds(11));
  EXPECT_EQ(Fetch(Ask("k"))->freshness, Freshness::kStale);
  EXPECT_EQ(kitchen_->checks, 2);
  clock_.Advance(hours(24));
  EXPECT_FALSE(Fetch(Ask("k")).ok()) << "beyond staleIfError the failure shows";
  kitchen_->origin_failure.reset();
  EXPECT_EQ(Fetch(Ask("k"))->freshness, Freshness::kRevalidated);
}

TEST_F(OrchestratorTest, ADeletedSourceTakesItsEntryAlong) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(30));
  kitchen_->origin_failure = Error(Code::kNotFound, "gone").WithReason("NOT_FOUND");
  EXPECT_FALSE(Fetch(Ask("k")).ok());
  EXPECT_EQ(kv_->usage().entries, 0u);
}

TEST_F(OrchestratorTest, AnEntryInUseIsComparedWithItsSourceOncePerInterval) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  const auto hit = [&] { return orchestrator_->LookupEdge("k", {7, 7}); };
  EXPECT_FALSE(orchestrator_->IsCheckDue(*hit(), FreshnessOptions()));
  clock_.Advance(seconds(60));
  EXPECT_TRUE(orchestrator_->IsCheckDue(*hit(), FreshnessOptions()));
  EXPECT_FALSE(orchestrator_->IsCheckDue(*hit(), FreshnessOptions())) << "one caller per interval";

  kitchen_->version = "v2";
  kitchen_->body = "other bytes";
  orchestrator_->CheckSource(context_.get_executor(), hit(), Ask("k"),
                             std::make_shared<FakeProducer>(kitchen_));
  RunUntil([&] { return kv_->calls().commits == 2; });
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(BodyOf(hit()), "other bytes") << "a changed source is noticed without waiting";
}

TEST_F(OrchestratorTest, UseRenewsTheTtlOfAnUnchangedEntryPastHalfOfIt) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  const auto hit = [&] { return orchestrator_->LookupEdge("k", {7, 7}); };
  const auto check = [&] {
    const int before = kitchen_->checks;
    orchestrator_->CheckSource(context_.get_executor(), hit(), Ask("k"),
                               std::make_shared<FakeProducer>(kitchen_));
    RunUntil([&] { return kitchen_->checks > before; });
    context_.poll();
  };
  clock_.Advance(hours(11));
  check();
  EXPECT_EQ(kv_->calls().touches, 0u);
  clock_.Advance(hours(2));
  check();
  EXPECT_EQ(kv_->calls().touches, 1u);
  clock_.Advance(hours(23));
  EXPECT_NE(hit(), nullptr) << "fresh 36 hours after it was made";
}

TEST_F(OrchestratorTest, APurgeTakesEveryLayerAndNothingElse) {
  Query a = Ask("video:a.mp4:w=1");
  Query b = Ask("video:a.mp4:w=12");
  Query c = Ask("video:b.mp4");
  c.source = "b.mp4";
  for (const Query& query : {a, b, c}) ASSERT_TRUE(Fetch(query).ok());
  PurgeScope scope;
  scope.key = a.key;
  const auto purge = [&](PurgeScope what, PurgeMode mode) {
    std::optional<Result<PurgeReport>> report;
    auto task = [&]() -> Task<void> {
      report.emplace(co_await orchestrator_->Purge(Context(), what, mode));
    };
    asio::co_spawn(context_.get_executor(), task, asio::detached);
    RunUntil([&] { return report.has_value(); });
    return std::move(**report);
  };
  EXPECT_EQ(purge(scope, PurgeMode::kDryRun).kv_entries, 1u);
  EXPECT_NE(orchestrator_->LookupEdge(a.key, a.digest), nullptr) << "a dry run changes nothing";
  const PurgeReport one = purge(scope, PurgeMode::kHard);
  EXPECT_EQ(one.kv_entries, 1u) << "a key is not a prefix";
  EXPECT_EQ(one.edge_entries, 1u);
  EXPECT_EQ(orchestrator_->LookupEdge(a.key, a.digest), nullptr);
  EXPECT_NE(orchestrator_->LookupEdge(b.key, b.digest), nullptr);
  EXPECT_EQ(Fetch(a)->layer, Layer::kTransform);

  PurgeScope of_source;
  of_source.source = "a.mp4";
  EXPECT_EQ(purge(of_source, PurgeMode::kHard).kv_entries, 2u);
  EXPECT_EQ(kv_->usage().entries, 1u);
  PurgeScope by_tag;
  by_tag.tag = "tag";
  EXPECT_EQ(purge(by_tag, PurgeMode::kSoft).kv_entries, 1u);
  EXPECT_EQ(Fetch(c)->freshness, Freshness::kStale) << "soft: stale at once, still usable";
}

TEST_F(OrchestratorTest, ASoftPurgeLeavesWhatOnlyTheEdgeHoldsUsable) {
  Query no_kv = Ask("k");
  no_kv.read_kv = no_kv.write_kv = false;
  ASSERT_TRUE(Fetch(no_kv).ok());
  PurgeScope scope;
  scope.key = "k";
  std::optional<Result<PurgeReport>> report;
  auto task = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), scope, PurgeMode::kSoft));
  };
  asio::co_spawn(context_.get_executor(), task, asio::detached);
  RunUntil([&] { return report.has_value(); });
  EXPECT_EQ((*report)->edge_entries, 1u);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr) << "stale at once";
  EXPECT_EQ(Fetch(no_kv)->freshness, Freshness::kStale);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, WhatBeganBeforeAPurgeIsServedAndNotKept) {
  kitchen_->is_gated = true;
  const Slot before = Start(Ask("k"));
  RunUntil([&] { return kitchen_->calls == 1; });
  PurgeScope everything;
  everything.everything = true;
  std::optional<Result<PurgeReport>> report;
  auto task = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), everything, PurgeMode::kHard));
  };
  asio::co_spawn(context_.get_executor(), task, asio::detached);
  RunUntil([&] { return report.has_value(); });
  EXPECT_EQ((*report)->productions, 1u);
  kitchen_->Open();
  RunUntil([&] { return before->has_value(); });
  EXPECT_TRUE((*before)->ok()) << "its waiters are served";
  context_.poll();
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(kv_->open_bodies(), 0);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform);
}

TEST_F(OrchestratorTest, AFailureOfWhatBeganBeforeAPurgeIsNotRemembered) {
  kitchen_->is_gated = true;
  kitchen_->failure = Error(Code::kCorruption, "broken").WithReason("SOURCE_CORRUPT");
  const Slot before = Start(Ask("k"));
  RunUntil([&] { return kitchen_->calls == 1; });
  PurgeScope scope;
  scope.key = "k";
  std::optional<Result<PurgeReport>> report;
  auto task = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), scope, PurgeMode::kHard));
  };
  asio::co_spawn(context_.get_executor(), task, asio::detached);
  RunUntil([&] { return report.has_value(); });
  kitchen_->Open();
  RunUntil([&] { return before->has_value(); });
  EXPECT_FALSE((*before)->ok()) << "its waiters are told";
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, ARevalidationThatBeganBeforeASoftPurgeDoesNotUndoIt) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  RunUntil([&] { return orchestrator_->flights() == 0; });
  clock_.Advance(hours(24) + seconds(61));
  kitchen_->is_gated = true;
  const Slot before = Start(Ask("k"));
  RunUntil([&] { return kitchen_->checks == 1; });
  PurgeScope everything;
  everything.everything = true;
  std::optional<Result<PurgeReport>> report;
  auto task = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), everything, PurgeMode::kSoft));
  };
  asio::co_spawn(context_.get_executor(), task, asio::detached);
  RunUntil([&] { return report.has_value(); });
  kitchen_->Open();
  RunUntil([&] { return before->has_value(); });
  ASSERT_TRUE((*before)->ok());
  context_.poll();
  EXPECT_EQ(kv_->calls().touches, 1u) << "the purge's own";
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, APurgeWaitsForAStoreThatIsUnderWayAndRemovesIt) {
  auto may_commit = std::make_shared<io::Notifier>();
  auto is_allowed = std::make_shared<std::atomic<bool>>(false);
  kv_->Set([&](auto& f) {
    f.before_commit = [may_commit, is_allowed]() -> Task<void> {
      const uint64_t ticket = may_commit->ticket();
      if (!*is_allowed) co_await may_commit->WaitChange(ticket);
    };
  });
  const Slot made = Start(Ask("k"));
  RunUntil([&] { return made->has_value(); });
  PurgeScope scope;
  scope.source = "a.mp4";
  std::optional<Result<PurgeReport>> report;
  auto task = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), scope, PurgeMode::kHard));
  };
  asio::co_spawn(context_.get_executor(), task, asio::detached);
  context_.poll();
  EXPECT_FALSE(report.has_value());
  *is_allowed = true;
  may_commit->NotifyAll();
  RunUntil([&] { return report.has_value(); });
  ASSERT_TRUE(report->ok());
  EXPECT_EQ((*report)->kv_entries, 1u);
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, APurgeCountsWhatIsBeingKeptWhereItIsAndNotAsUnderWay) {
  auto may_commit = std::make_shared<io::Notifier>();
  auto is_allowed = std::make_shared<std::atomic<bool>>(false);
  kv_->Set([&](auto& f) {
    f.before_commit = [may_commit, is_allowed]() -> Task<void> {
      const uint64_t ticket = may_commit->ticket();
      if (!*is_allowed) co_await may_commit->WaitChange(ticket);
    };
  });
  const Slot made = Start(Ask("k"));
  RunUntil([&] { return made->has_value(); });
  PurgeScope scope;
  scope.source = "a.mp4";
  std::vector<PurgeReport> reports;
  auto count = [&](PurgeMode mode) -> Task<void> {
    Result<PurgeReport> report = co_await orchestrator_->Purge(Context(), scope, mode);
    if (report.ok()) reports.push_back(*report);
  };
  asio::co_spawn(context_.get_executor(), count(PurgeMode::kDryRun), asio::detached);
  RunUntil([&] { return reports.size() == 1; });
  EXPECT_EQ(reports[0].productions, 0u);
  EXPECT_EQ(reports[0].edge_entries, 1u);
  EXPECT_EQ(reports[0].kv_entries, 0u) << "not yet";
  asio::co_spawn(context_.get_executor(), count(PurgeMode::kHard), asio::detached);
  context_.poll();
  *is_allowed = true;
  may_commit->NotifyAll();
  RunUntil([&] { return reports.size() == 2; });
  EXPECT_EQ(reports[1].productions, 0u) << "it is counted among the entries";
  EXPECT_EQ(reports[1].edge_entries, 1u);
  EXPECT_EQ(reports[1].kv_entries, 1u);
}

TEST_F(OrchestratorTest, WithoutAnEdgeAnEntryReadLatelyIsNotReadAgainUntilItChanges) {
  options_.edge.max_bytes = 0;
  Restart();
  const auto recent = [&](const Hash128& digest = {7, 7}) {
    return orchestrator_->LookupRecentRead("k", digest) != nullptr;
  };
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_FALSE(recent()) << "made, not read";
  const auto read = [&] { return Fetch(Ask("k"))->layer == Layer::kKv; };
  ASSERT_TRUE(read());
  EXPECT_TRUE(recent());
  EXPECT_FALSE(recent({8, 8})) << "of another plan";

  PurgeScope scope;
  scope.source = "a.mp4";
  for (const PurgeMode mode : {PurgeMode::kSoft, PurgeMode::kHard}) {
    ASSERT_TRUE(Fetch(Ask("k")).ok());
    ASSERT_TRUE(read());
    ASSERT_TRUE(recent());
    bool is_purged = false;
    auto purge = [&]() -> Task<void> {
      is_purged = (co_await orchestrator_->Purge(Context(), scope, mode)).ok();
    };
    asio::co_spawn(context_.get_executor(), purge, asio::detached);
    RunUntil([&] { return is_purged; });
    EXPECT_FALSE(recent());
  }
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  ASSERT_TRUE(read());
  clock_.Advance(hours(24) + seconds(1));
  EXPECT_FALSE(recent()) << "it has expired";
}

TEST_F(OrchestratorTest, WhatChangesWhileItIsReadIsNotTakenForReadLately) {
  options_.edge.max_bytes = 0;
  Restart();
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  kv_->Set([&](auto& f) {
    f.after_get = [this]() -> Task<void> {
      std::vector<std::string> keys{"k"};
      const Result<size_t> expired = co_await kv_->ExpireMany(Context(), std::move(keys), 1);
      EXPECT_TRUE(expired.ok());
    };
  });
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(orchestrator_->LookupRecentRead("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, WithAnEdgeWhatWasReadIsThereAndNowhereElse) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  Restart();
  ASSERT_EQ(Fetch(Ask("k"))->layer, Layer::kKv);
  EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_EQ(orchestrator_->LookupRecentRead("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, AWaiterThatTimesOutStartsNothingAndStopsNothing) {
  kitchen_->is_gated = true;
  Context impatient;
  impatient.deadline = std::chrono::steady_clock::now();
  Result<Answer> late = Fetch(Ask("k"), impatient);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  const Slot patient = Start(Ask("k"));
  kitchen_->Open();
  RunUntil([&] { return patient->has_value(); });
  EXPECT_TRUE((*patient)->ok());
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, APeekAnswersFromEveryLayerAndMakesNothing) {
  Result<Answer> unmade = Peek(Ask("k"));
  ASSERT_TRUE(unmade.ok());
  EXPECT_EQ(unmade->entity, nullptr);
  EXPECT_EQ(unmade->live, nullptr);
  EXPECT_EQ(kitchen_->calls, 0);

  ASSERT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(Peek(Ask("k"))->layer, Layer::kEdge);
  Restart();
  EXPECT_EQ(Peek(Ask("k"))->layer, Layer::kKv);
  EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr) << "promoted";

  for (const bool with_edge : {true, false}) {
    if (!with_edge) Restart();
    clock_.Advance(hours(24) + seconds(30));
    EXPECT_EQ(Peek(Ask("k"))->freshness, Freshness::kStale) << "as a GET would be answered";
    EXPECT_EQ(Peek(Ask("k"))->freshness, Freshness::kFresh) << "and refreshed behind it";
  }
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, APeekDoesNotBringBackWhatIsPurgedMeanwhile) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  Restart();
  std::optional<Result<Answer>> peeked;
  auto peek = [&]() -> Task<void> {
    peeked.emplace(co_await orchestrator_->Peek(Context(), Ask("k"),
                                                std::make_shared<FakeProducer>(kitchen_)));
  };
  auto may_read = std::make_shared<io::Notifier>();
  auto is_allowed = std::make_shared<std::atomic<bool>>(false);
  kv_->Set([&](auto& f) {
    f.after_get = [may_read, is_allowed]() -> Task<void> {
      const uint64_t ticket = may_read->ticket();
      if (!*is_allowed) co_await may_read->WaitChange(ticket);
    };
  });
  asio::co_spawn(context_.get_executor(), peek, asio::detached);
  context_.poll();
  ASSERT_FALSE(peeked.has_value());
  PurgeScope everything;
  everything.everything = true;
  std::optional<Result<PurgeReport>> report;
  auto purge = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), everything, PurgeMode::kHard));
  };
  asio::co_spawn(context_.get_executor(), purge, asio::detached);
  RunUntil([&] { return report.has_value(); });
  *is_allowed = true;
  may_read->NotifyAll();
  RunUntil([&] { return peeked.has_value(); });
  ASSERT_TRUE((*peeked)->entity) << "it began before the purge, and is answered";
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, AStreamingProductionIsHandedOutBeforeItEnds) {
  kitchen_->is_gated = true;
  kitchen_->streams = true;
  const Slot slot = Start(Ask("k"));
  RunUntil([&] { return slot->has_value(); });
  ASSERT_TRUE((*slot)->ok());
  ASSERT_NE((**slot)->live, nullptr);
  EXPECT_EQ((**slot)->live->Look().watermark, 7u);
  EXPECT_EQ((**slot)->live->head()->meta.content_type, "video/mp4");

  Query whole = Ask("k");
  whole.growing = Growing::kNone;
  const Slot waits = Start(whole);
  kitchen_->Open();
  RunUntil([&] { return waits->has_value(); });
  ASSERT_TRUE((*waits)->ok());
  EXPECT_NE((**waits)->entity, nullptr) << "a range waits for the stored form";
}

TEST_F(OrchestratorTest, ARangeOfAGrowingStoredFormNeedNotWait) {
  kitchen_->is_gated = true;
  kitchen_->streams = true;
  kitchen_->is_whole_form = true;
  Query range = Ask("k");
  range.growing = Growing::kStoredForm;
  const Slot slot = Start(range);
  RunUntil([&] { return slot->has_value(); });
  EXPECT_NE((**slot)->live, nullptr);
  range.growing = Growing::kNone;
  const Slot several = Start(range);
  kitchen_->Open();
  RunUntil([&] { return several->has_value(); });
  EXPECT_NE((**several)->entity, nullptr);
}

TEST_F(OrchestratorTest, ARangeDoesNotWaitForever) {
  options_.cold_range_wait = seconds(0);
  Restart();
  kitchen_->is_gated = true;
  kitchen_->streams = true;
  Query whole = Ask("k");
  whole.growing = Growing::kStoredForm;
  const Slot slot = Start(whole);
  RunUntil([&] { return slot->has_value(); });
  ASSERT_FALSE((*slot)->ok());
  EXPECT_EQ((*slot)->error().reason, "OVERLOADED");
}

TEST_F(OrchestratorTest, AnExpiredEntryOfAChangedSourceIsMadeAgain) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(24) - seconds(1));
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge);
  kitchen_->version = "v2";
  clock_.Advance(seconds(61));
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform);
  EXPECT_EQ(kitchen_->calls, 2);
}

TEST_F(OrchestratorTest, ATtlOfZeroStoresNothing) {
  Query query = Ask("k");
  query.ttl.ok = seconds(0);
  EXPECT_TRUE(Fetch(query).ok());
  EXPECT_EQ(kv_->calls().creates, 0u);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
}

TEST_F(OrchestratorTest, ABrokenKvCostsACounterAndNotTheAnswer) {
  kv_->Set([](auto& f) { f.fail_get = Error(Code::kUnavailable, "down"); });
  EXPECT_TRUE(Fetch(Ask("read")).ok());
  EXPECT_EQ(kitchen_->calls, 1);
  kv_->Set([](auto& f) {
    f.fail_get.reset();
    f.fail_create = Error(Code::kResourceExhausted, "disk full");
  });
  EXPECT_TRUE(Fetch(Ask("create")).ok());
  EXPECT_EQ(Stores("skipped"), 1);
  kv_->Set([](auto& f) {
    f.fail_create.reset();
    f.fail_commit = Error(Code::kUnavailable, "io error");
  });
  EXPECT_TRUE(Fetch(Ask("commit")).ok());
  EXPECT_EQ(Stores("failed"), 1);
  EXPECT_EQ(kitchen_->calls, 3) << "never made twice";
  EXPECT_NE(orchestrator_->LookupEdge("commit", {7, 7}), nullptr) << "the edge still has it";
  EXPECT_EQ(kv_->open_bodies(), 0);
}

TEST_F(OrchestratorTest, TheSwitchedOffKvIsNeitherReadNorWritten) {
  options_.enable_kv = false;
  Restart();
  EXPECT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(kv_->calls().gets + kv_->calls().creates + kv_->calls().commits, 0u);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge);
}

TEST_F(OrchestratorTest, BypassesReadAndWriteWhatTheySayAndNeverJoin) {
  Query debug = Ask("k");
  debug.read_edge = debug.read_kv = debug.write_edge = debug.write_kv = debug.join = false;
  EXPECT_EQ(Fetch(debug)->layer, Layer::kBypass);
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);

  Query nocache = Ask("k");
  nocache.read_edge = nocache.read_kv = nocache.join = false;
  EXPECT_EQ(Fetch(nocache)->layer, Layer::kBypass);
  RunUntil([&] { return kv_->calls().commits == 1; });
  EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr) << "the fresh result is stored";
  EXPECT_EQ(Fetch(nocache)->layer, Layer::kBypass) << "and still not read";
  EXPECT_EQ(kitchen_->calls, 3);

  Query no_kv = Ask("k2");
  no_kv.read_kv = no_kv.write_kv = false;
  EXPECT_EQ(Fetch(no_kv)->layer, Layer::kTransform);
  EXPECT_EQ(Fetch(no_kv)->layer, Layer::kEdge) << "the edge works as normal";
}

TEST_F(OrchestratorTest, WithoutAnEdgeTheNextRequestStillHits) {
  // Read your own write: the production stays reachable until the store has committed.
  options_.edge.max_bytes = 0;
  Restart();
  auto may_commit = std::make_shared<io::Notifier>();
  auto is_allowed = std::make_shared<std::atomic<bool>>(false);
  kv_->Set([&](auto& f) {
    f.before_commit = [may_commit, is_allowed]() -> Task<void> {
      const uint64_t ticket = may_commit->ticket();
      if (!*is_allowed) co_await may_commit->WaitChange(ticket);
    };
  });
  const Slot first = Start(Ask("k"));
  RunUntil([&] { return first->has_value(); });
  const Slot second = Start(Ask("k"));
  RunUntil([&] { return second->has_value(); });
  ASSERT_TRUE((*second)->ok());
  EXPECT_EQ((**second)->layer, Layer::kKv) << "what waits for its commit counts as held by the KV";
  std::optional<Result<Answer>> peeked;
  auto peek = [&]() -> Task<void> {
    Query query = Ask("k");
    auto producer = std::make_shared<FakeProducer>(kitchen_);
    peeked.emplace(co_await orchestrator_->Peek(Context(), std::move(query), std::move(producer)));
  };
  boost::asio::co_spawn(context_.get_executor(), peek, boost::asio::detached);
  RunUntil([&] { return peeked.has_value(); });
  ASSERT_TRUE(peeked->ok());
  EXPECT_EQ((*peeked)->layer, Layer::kKv) << "a HEAD is told the same";
  EXPECT_NE((*peeked)->entity, nullptr);
  EXPECT_EQ(kitchen_->calls, 1);
  EXPECT_EQ(Count("video_resizer_joins_total"), 0) << "nobody waited";
  *is_allowed = true;
  may_commit->NotifyAll();
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kKv);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorTest, AnEmptyBodyIsAFailureNotAnEntity) {
  kitchen_->body.clear();
  const Result<Answer> answer = Fetch(Ask("k"));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().reason, "TRANSFORM_FAILED");
  EXPECT_EQ(kv_->usage().entries, 0u);
}

TEST_F(OrchestratorTest, DrainingRefusesNewProductions) {
  EXPECT_TRUE(orchestrator_->Drain(std::chrono::steady_clock::now()));
  const Result<Answer> answer = Fetch(Ask("k"));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace vr::cache
