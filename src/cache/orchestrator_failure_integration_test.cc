// What a failing layer costs: a counter and a log line, never the answer, never a second production
// (cache contract §1, lessons ). And background storage:
// bounded, visible, drained.
#include <gmock/gmock.h>

#include <stdexcept>

#include "cache/testing/orchestrator_fixture.h"
#include "observe/log.h"

namespace vr::cache {
namespace {

namespace asio = boost::asio;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::HasSubstr;

class OrchestratorFailureTest : public testing::OrchestratorTest {
 protected:
  /// The log lines that `act` leaves.
  static std::string LogOf(const std::function<void()>& act) {
    FlushLog();
    ::testing::internal::CaptureStderr();
    act();
    FlushLog();
    return ::testing::internal::GetCapturedStderr();
  }
  /// Asks once for `key`; checks that it is answered in full. @return the log
  std::string MakeAndReadLog(const std::string& key) {
    return LogOf([&] {
      const Result<Answer> answer = Fetch(Ask(key));
      ASSERT_TRUE(answer.ok());
      EXPECT_EQ(answer->layer, Layer::kTransform);
      EXPECT_EQ(BodyOf(answer->entity), kitchen_->body);
    });
  }
  double StoresUnderWay() {
    return metrics_.GetGauge("video_resizer_kv_stores_under_way", "").value();
  }
  /// Holds every commit until OpenCommits().
  void HoldCommits() {
    KvFails([this](auto& f) {
      f.before_commit = [this]() -> Task<void> {
        const uint64_t ticket = commits_->ticket();
        if (!*are_open_) co_await commits_->WaitChange(ticket);
      };
    });
  }
  void OpenCommits() {
    *are_open_ = true;
    commits_->NotifyAll();
  }

  const std::shared_ptr<io::Notifier> commits_ = std::make_shared<io::Notifier>();
  const std::shared_ptr<std::atomic<bool>> are_open_ = std::make_shared<std::atomic<bool>>(false);
};

TEST_F(OrchestratorFailureTest, WithoutAnEdgeTheKvAnswers) {
  options_.edge.max_bytes = 0;
  Restart();
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kKv);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorFailureTest, WhatIsTooLargeForTheEdgeIsServedFromTheKv) {
  options_.edge.max_bytes = 64 << 10;
  Restart();
  kitchen_->body.assign(100 << 10, 'x');
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform);
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  const Result<Answer> again = Fetch(Ask("k"));
  EXPECT_EQ(again->layer, Layer::kKv);
  EXPECT_EQ(BodyOf(again->entity), kitchen_->body);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorFailureTest, WithNeitherLayerEveryRequestIsMadeOnce) {
  options_.edge.max_bytes = 0;
  options_.enable_kv = false;
  Restart();
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform);
  EXPECT_EQ(kitchen_->calls, 2);
}

TEST_F(OrchestratorFailureTest, AKvThatCannotBeReadIsAMiss) {
  KvFails([](auto& f) { f.fail_get = Error(Code::kUnavailable, "down", "disk gone"); });
  const std::string log = MakeAndReadLog("k");
  EXPECT_THAT(log, HasSubstr("\"event\":\"kv_read_failed\""));
  EXPECT_THAT(log, HasSubstr("disk gone"));
  EXPECT_EQ(Count("video_resizer_kv_read_errors_total"), 1);
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorFailureTest, ManyAskersOfABrokenKvStillShareOneProduction) {
  KvFails([](auto& f) {
    f.fail_get = Error(Code::kUnavailable, "down");
    f.fail_create = Error(Code::kUnavailable, "down");
  });
  kitchen_->is_gated = true;
  std::vector<Slot> slots;
  for (int i = 0; i < 50; ++i) slots.push_back(Start(Ask("k")));
  RunUntil([&] { return kitchen_->calls == 1; });
  kitchen_->Open();
  for (const Slot& slot : slots) {
    RunUntil([&] { return slot->has_value(); });
    EXPECT_TRUE((*slot)->ok());
  }
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorFailureTest, ARecordOfAnUnknownFormatIsAMissAndIsReplaced) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  // What a newer program might have left, and what nobody has.
  for (const char* metadata :
       {"{\"sourcePath\":\"a\",\"customData\":{\"cacheVersion\":99}}", "\x01garbage"}) {
    const double before = Count("video_resizer_kv_unreadable_total");
    const int calls = kitchen_->calls;
    Restart();
    std::optional<Result<bool>> touched;
    auto touch = [&]() -> Task<void> {
      Result<std::optional<kv::Found>> found = co_await kv_->Get(Context(), "k");
      const Hash128 body = (*found)->record.body_hash;
      touched.emplace(
          co_await kv_->Touch(Context(), "k", body, metadata, ToUnixMillis(clock_.Now())));
    };
    asio::co_spawn(context_.get_executor(), touch, asio::detached);
    RunUntil([&] { return touched.has_value(); });
    ASSERT_TRUE(touched->ok() && **touched);
    EXPECT_THAT(MakeAndReadLog("k"), HasSubstr("\"event\":\"kv_metadata_unreadable\""));
    EXPECT_EQ(Count("video_resizer_kv_unreadable_total"), before + 1);
    EXPECT_EQ(kitchen_->calls, calls + 1);
    Restart();
    EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kKv) << "replaced";
  }
}

struct StoreFailure {
  const char* name;
  Code code;
  bool at_create;
  const char* result;  ///< of video_resizer_kv_stores_total
};
class StoreFailureTest : public OrchestratorFailureTest,
                         public ::testing::WithParamInterface<StoreFailure> {};

TEST_P(StoreFailureTest, CostsACounterAndALineAndTheEdgeGoesOn) {
  const StoreFailure& failure = GetParam();
  KvFails([&](auto& f) {
    (failure.at_create ? f.fail_create : f.fail_commit) =
        Error(failure.code, "no", "why it failed");
  });
  const std::string log = MakeAndReadLog("k");
  EXPECT_THAT(log, HasSubstr(failure.at_create ? "\"event\":\"kv_create_failed\""
                                               : "\"event\":\"kv_store_failed\""));
  EXPECT_THAT(log, HasSubstr("why it failed"));
  EXPECT_EQ(Stores(failure.result), 1);
  EXPECT_EQ(Stores("stored"), 0);
  const Result<Answer> hit = Fetch(Ask("k"));
  EXPECT_EQ(hit->layer, Layer::kEdge);
  EXPECT_FALSE(hit->entity->kv_backed) << "answers must not say that the KV has it";
  EXPECT_EQ(BodyOf(hit->entity), kitchen_->body);
  EXPECT_EQ(kitchen_->calls, 1) << "never made twice";
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(kv_->open_bodies(), 0) << "nothing is left of it";
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, StoreFailureTest,
    ::testing::Values(StoreFailure{"CreateUnavailable", Code::kUnavailable, true, "failed"},
                      StoreFailure{"CreateDiskFull", Code::kResourceExhausted, true, "skipped"},
                      StoreFailure{"CommitUnavailable", Code::kUnavailable, false, "failed"},
                      StoreFailure{"CommitDiskFull", Code::kResourceExhausted, false, "skipped"},
                      StoreFailure{"CommitCorruption", Code::kCorruption, false, "failed"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(OrchestratorFailureTest, WithoutRoomForAnyFileTheRequestIsRefusedAndNothingRemembered) {
  KvFails([](auto& f) { f.fail_create = Error(Code::kResourceExhausted, "disk full"); });
  std::filesystem::remove_all(directory_);
  const std::string log = LogOf([&] {
    const Result<Answer> answer = Fetch(Ask("k"));
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().reason, "OVERLOADED");
  });
  EXPECT_THAT(log, HasSubstr("\"event\":\"staging_failed\""));
  EXPECT_EQ(kitchen_->calls, 0);
  EXPECT_EQ(Count("video_resizer_negative_stored_total"), 0);
  std::filesystem::create_directories(directory_);
  EXPECT_TRUE(Fetch(Ask("k")).ok());
}

TEST_F(OrchestratorFailureTest, ATouchThatFailsCostsALine) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(30));
  KvFails([](auto& f) { f.fail_commit = Error(Code::kUnavailable, "no", "touch trouble"); });
  const std::string log =
      LogOf([&] { EXPECT_EQ(Fetch(Ask("k"))->freshness, Freshness::kRevalidated); });
  EXPECT_THAT(log, HasSubstr("\"event\":\"kv_touch_failed\""));
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge) << "the edge knows";
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(OrchestratorFailureTest, AnEraseThatFailsCostsALine) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(30));
  kitchen_->origin_failure = Error(Code::kNotFound, "gone").WithReason("NOT_FOUND");
  KvFails([](auto& f) { f.fail_commit = Error(Code::kUnavailable, "no", "erase trouble"); });
  const std::string log = LogOf([&] {
    const Result<Answer> answer = Fetch(Ask("k"));
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().reason, "NOT_FOUND")
        << "what the source says, not what the store does";
  });
  EXPECT_THAT(log, HasSubstr("\"event\":\"kv_erase_failed\""));
}

TEST_F(OrchestratorFailureTest, AProductionThatFailsAfterItsFirstBytesLeavesNothing) {
  kitchen_->is_gated = true;
  kitchen_->streams = true;
  kitchen_->failure = Error(Code::kInternal, "worker died").WithReason("TRANSFORM_FAILED");
  const Slot reader = Start(Ask("k"));
  RunUntil([&] { return reader->has_value(); });
  const ProductionRef live = (**reader)->live;
  ASSERT_NE(live, nullptr);
  kitchen_->Open();
  RunUntil([&] { return live->Look().phase == Production::Phase::kFailed; });
  EXPECT_EQ(live->error()->reason, "TRANSFORM_FAILED") << "who streams is told, and cut";
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(kv_->open_bodies(), 0);
  kitchen_->failure.reset();
  kitchen_->streams = false;
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kTransform) << "the next request tries again";
  EXPECT_EQ(kitchen_->calls, 2);
}

class ThrowingProducer final : public Producer {
 public:
  Task<Result<Metadata>> Produce(Context, ProductionRef, SharedFd) override {
    throw std::runtime_error("a bug");
    co_return Metadata();
  }
  Task<Result<bool>> IsUnchanged(Context, Metadata) override { co_return false; }
};

TEST_F(OrchestratorFailureTest, NobodyIsLeftWaitingForAProducerThatThrows) {
  std::optional<Result<Answer>> answer;
  auto ask = [&]() -> Task<void> {
    answer.emplace(
        co_await orchestrator_->Fetch(Context(), Ask("k"), std::make_shared<ThrowingProducer>()));
  };
  asio::co_spawn(context_.get_executor(), ask, asio::detached);
  RunUntil([&] { return answer.has_value(); });
  ASSERT_FALSE(answer->ok());
  EXPECT_EQ(answer->error().code, Code::kInternal);
  EXPECT_EQ(orchestrator_->flights(), 0u);
  EXPECT_EQ(kv_->open_bodies(), 0);
  EXPECT_TRUE(Fetch(Ask("k")).ok());
}

// -- nobody waits any more

class AbandonTest : public OrchestratorFailureTest {
 protected:
  AbandonTest() {
    options_.abandon_after = std::chrono::milliseconds(0);
    Restart();
    kitchen_->is_gated = true;
    kitchen_->streams = true;
  }
  /// A client that reads the growing body. Leaves when the slot is reset.
  Slot Read(const std::string& key) {
    Slot slot = Start(Ask(key));
    RunUntil([&] { return slot->has_value(); });
    EXPECT_NE((**slot)->live, nullptr);
    return slot;
  }
  double Abandoned() { return Count("video_resizer_abandoned_total"); }
  /// Until everything that can go on without time or the gate has gone on.
  void Settle() {
    while (context_.poll() > 0) continue;
  }
};

TEST_F(AbandonTest, WhatNobodyWaitsForIsGivenUpAndStartsAfreshForTheNext) {
  Slot reader = Read("k");
  const ProductionRef live = (**reader)->live;
  reader->reset();
  RunUntil([&] { return live->is_abandoned(); });
  EXPECT_EQ(Abandoned(), 1);
  EXPECT_EQ(orchestrator_->flights(), 0u) << "nobody can join it any more";
  const Slot next = Read("k");
  EXPECT_EQ(kitchen_->calls, 2);
  EXPECT_NE((**next)->live, live);
  bool is_told = false;
  live->OnAbandon([&] { is_told = true; });
  EXPECT_TRUE(is_told) << "a producer that looks late is told at once";
}

TEST_F(AbandonTest, WhatIsFarEnoughGoesOnAndIsStored) {
  kitchen_->percent = 25;
  Slot reader = Read("k");
  reader->reset();
  Settle();
  kitchen_->Open();
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(Abandoned(), 0);
  EXPECT_EQ(kv_->usage().entries, 1u);
}

TEST_F(AbandonTest, OneReaderIsEnough) {
  Slot first = Read("k");
  const Slot second = Read("k");
  const ProductionRef live = (**first)->live;
  first->reset();
  Settle();
  EXPECT_FALSE(live->is_abandoned());
  EXPECT_EQ(live->waiters(), 1u);
}

TEST_F(AbandonTest, WhoeverComesBackInTimeFindsIt) {
  options_.abandon_after = hours(1);
  Restart();
  Slot first = Read("k");
  first->reset();
  Settle();
  const Slot again = Read("k");
  EXPECT_EQ((**again)->layer, Layer::kJoined);
  EXPECT_EQ(kitchen_->calls, 1);
  EXPECT_EQ(Abandoned(), 0);
}

TEST_F(AbandonTest, ItCanBeSwitchedOff) {
  options_.keep_from_percent = 0;
  Restart();
  Slot reader = Read("k");
  const ProductionRef live = (**reader)->live;
  reader->reset();
  Settle();
  EXPECT_FALSE(live->is_abandoned());
}

TEST_F(AbandonTest, ARefreshBehindItsReadersHasNoneAndGoesOn) {
  kitchen_->is_gated = kitchen_->streams = false;
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(24) + seconds(1));
  kitchen_->version = "v2";
  kitchen_->is_gated = true;
  const Slot stale = Start(Ask("k"));
  RunUntil([&] { return stale->has_value() && kitchen_->checks > 0; });
  Settle();
  kitchen_->Open();
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(kitchen_->calls, 2);
  EXPECT_EQ(Abandoned(), 0);
}

// -- background storage

TEST_F(OrchestratorFailureTest, NobodyWaitsForTheStore) {
  HoldCommits();
  const Slot first = Start(Ask("k"));
  RunUntil([&] { return first->has_value(); });
  EXPECT_TRUE((*first)->ok());
  EXPECT_EQ(kv_->usage().entries, 0u);
  EXPECT_EQ(StoresUnderWay(), 1);
  EXPECT_NE(orchestrator_->LookupEdge("k", {7, 7}), nullptr) << "and it is found already";
  OpenCommits();
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(kv_->usage().entries, 1u);
  EXPECT_EQ(StoresUnderWay(), 0);
}

TEST_F(OrchestratorFailureTest, TheNumberOfStoresUnderWayIsBounded) {
  options_.max_background_stores = 2;
  Restart();
  HoldCommits();
  const std::string log = LogOf([&] {
    for (const char* key : {"a", "b", "c", "d"}) {
      const Slot slot = Start(Ask(key));
      RunUntil([&] { return slot->has_value(); });
      EXPECT_TRUE((*slot)->ok()) << key << " is answered";
    }
    RunUntil([&] { return orchestrator_->flights() == 2; });
  });
  EXPECT_EQ(StoresUnderWay(), 2);
  EXPECT_EQ(Stores("skipped"), 2);
  EXPECT_THAT(log, HasSubstr("\"event\":\"kv_store_skipped\""));
  EXPECT_FALSE(orchestrator_->LookupEdge("d", {7, 7})->kv_backed);
  EXPECT_TRUE(orchestrator_->LookupEdge("a", {7, 7})->kv_backed);
  OpenCommits();
  RunUntil([&] { return orchestrator_->flights() == 0; });
  EXPECT_EQ(Stores("stored"), 2);
  EXPECT_EQ(kv_->usage().entries, 2u);
  EXPECT_EQ(kv_->open_bodies(), 0) << "skipped bodies are dropped";
  EXPECT_EQ(Fetch(Ask("e"))->layer, Layer::kTransform);
  EXPECT_EQ(Stores("stored"), 3) << "there is room again";
}

TEST_F(OrchestratorFailureTest, DrainingWaitsForStoresUnderWay) {
  HoldCommits();
  const Slot first = Start(Ask("k"));
  RunUntil([&] { return first->has_value(); });
  EXPECT_FALSE(orchestrator_->Drain(std::chrono::steady_clock::now())) << "one is left";
  OpenCommits();
  RunUntil([&] { return orchestrator_->flights() == 0; });
  context_.poll();
  EXPECT_TRUE(orchestrator_->Drain(std::chrono::steady_clock::now()));
  EXPECT_EQ(kv_->usage().entries, 1u) << "nothing that was answered is lost";
}

}  // namespace
}  // namespace vr::cache
