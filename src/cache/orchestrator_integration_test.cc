// The orchestrator over the memory store: layers, single-flight, failure paths. Integration,
// because staging uses a real directory and bodies are measured on the blocking pool.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "base/testing/manual_clock.h"
#include "cache/orchestrator.h"
#include "kv/testing/fake_kv_store.h"

namespace vr::cache {
namespace {

namespace asio = boost::asio;
using std::chrono::hours;
using std::chrono::seconds;

/// What all producers of a test share: how often they ran, what they make, when they may go on.
struct Kitchen {
  std::atomic<int> calls{0};
  std::string body = "variant bytes";
  std::optional<Error> failure;
  bool is_gated = false;
  bool streams = false;
  io::Notifier gate;
  std::atomic<bool> is_open{false};
  SharedFd stream_file;

  void Open() {
    is_open = true;
    gate.NotifyAll();
  }
};

class FakeProducer final : public Producer {
 public:
  explicit FakeProducer(std::shared_ptr<Kitchen> kitchen) : kitchen_(std::move(kitchen)) {}

  Task<Result<Metadata>> Produce(Context, ProductionRef production, SharedFd stored) override {
    ++kitchen_->calls;
    if (kitchen_->streams) {
      StreamHead head;
      head.file = kitchen_->stream_file;
      head.meta.content_type = "video/mp4";
      production->Advance(7);
      production->StartStream(std::move(head));
    }
    while (kitchen_->is_gated && !kitchen_->is_open) {
      const uint64_t ticket = kitchen_->gate.ticket();
      if (kitchen_->is_open) break;
      co_await kitchen_->gate.WaitChange(ticket);
    }
    if (kitchen_->failure) co_return Error(*kitchen_->failure);
    if (::pwrite(stored->get(), kitchen_->body.data(), kitchen_->body.size(), 0) !=
        static_cast<ssize_t>(kitchen_->body.size())) {
      co_return ErrnoError(errno, "test body");
    }
    Metadata meta;
    meta.content_type = "video/mp4";
    meta.encode_seconds = 2;
    meta.cache_tags = {"tag"};
    co_return meta;
  }

 private:
  const std::shared_ptr<Kitchen> kitchen_;
};

class OrchestratorTest : public ::testing::Test {
 protected:
  OrchestratorTest() {
    std::string name = (std::filesystem::temp_directory_path() / "vr-orchestrator-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    options_.staging_dir = directory_;
    staging_ = std::move(*Staging::Create(directory_));
    Restart();
  }
  ~OrchestratorTest() override {
    kitchen_->Open();
    RunUntil([&] { return orchestrator_->flights() == 0; });
    orchestrator_.reset();
    std::filesystem::remove_all(directory_);
  }

  /// A new process over the same store: the edge is empty again.
  void Restart() {
    orchestrator_ =
        std::make_unique<Orchestrator>(options_, kv_.get(), *staging_, blocking_, clock_, metrics_,
                                       [](const Entity&) { return std::string("X-Test: 1\r\n"); });
  }

  static Query Ask(const std::string& key) {
    Query query;
    query.key = key;
    query.digest = {7, 7};
    query.source = "a.mp4";
    return query;
  }

  using Slot = std::shared_ptr<std::optional<Result<Answer>>>;
  Slot Start(Query query, Context ctx = {}) {
    auto slot = std::make_shared<std::optional<Result<Answer>>>();
    auto task = [this, slot, query, ctx]() -> Task<void> { return Keep(slot, query, ctx); };
    asio::co_spawn(context_.get_executor(), task, asio::detached);
    return slot;
  }
  Task<void> Keep(Slot slot, Query query, Context ctx) {
    auto producer = std::make_shared<FakeProducer>(kitchen_);
    Result<Answer> answer =
        co_await orchestrator_->Fetch(ctx, std::move(query), std::move(producer));
    slot->emplace(std::move(answer));
  }
  template <class Condition>
  void RunUntil(Condition condition) {
    while (!condition()) context_.run_one();
  }
  Result<Answer> Fetch(Query query, Context ctx = {}) {
    Slot slot = Start(std::move(query), ctx);
    RunUntil([&] { return slot->has_value(); });
    RunUntil([&] { return kitchen_->is_gated || orchestrator_->flights() == 0; });
    return std::move(**slot);
  }
  static std::string BodyOf(const EntityRef& entity) {
    if (entity->memory) return *entity->memory;
    std::string text(entity->size(), '\0');
    EXPECT_EQ(::pread(entity->file->get(), text.data(), text.size(), 0),
              static_cast<ssize_t>(text.size()));
    return text;
  }
  double Stores(const std::string& result) {
    return metrics_
        .GetCounter("video_resizer_kv_stores_total", "Attempts to store a variant",
                    {{"result", result}})
        .value();
  }

  std::string directory_;
  Options options_;
  asio::io_context context_{1};
  asio::executor_work_guard<io::Executor> guard_ = asio::make_work_guard(context_);
  vr::testing::ManualClock clock_;
  Metrics metrics_;
  io::Blocking blocking_;
  std::unique_ptr<kv::testing::FakeKvStore> kv_ = std::make_unique<kv::testing::FakeKvStore>();
  std::unique_ptr<Staging> staging_;
  std::shared_ptr<Kitchen> kitchen_ = std::make_shared<Kitchen>();
  std::unique_ptr<Orchestrator> orchestrator_;
};

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
  EXPECT_EQ(orchestrator_->LookupEdge("k", {7, 7}), nullptr);
  EXPECT_EQ(kv_->usage().entries, 0u);
  kitchen_->failure.reset();
  EXPECT_TRUE(Fetch(Ask("k")).ok());
  EXPECT_EQ(kitchen_->calls, 2);
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
  whole.needs_whole = true;
  const Slot waits = Start(whole);
  kitchen_->Open();
  RunUntil([&] { return waits->has_value(); });
  ASSERT_TRUE((*waits)->ok());
  EXPECT_NE((**waits)->entity, nullptr) << "a range waits for the stored form";
}

TEST_F(OrchestratorTest, ARangeDoesNotWaitForever) {
  options_.cold_range_wait = seconds(0);
  Restart();
  kitchen_->is_gated = true;
  kitchen_->streams = true;
  Query whole = Ask("k");
  whole.needs_whole = true;
  const Slot slot = Start(whole);
  RunUntil([&] { return slot->has_value(); });
  ASSERT_FALSE((*slot)->ok());
  EXPECT_EQ((*slot)->error().reason, "OVERLOADED");
}

TEST_F(OrchestratorTest, AnExpiredEntryIsMadeAgain) {
  ASSERT_TRUE(Fetch(Ask("k")).ok());
  clock_.Advance(hours(24) - seconds(1));
  EXPECT_EQ(Fetch(Ask("k"))->layer, Layer::kEdge);
  clock_.Advance(seconds(1));
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
  EXPECT_TRUE((*second)->ok());
  EXPECT_EQ(kitchen_->calls, 1);
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
