// What tests of the orchestrator stand on: a producer that can be told what to do, and a fixture
// with an orchestrator over the fake store, a manual clock and an executor that the test drives.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/testing/manual_clock.h"
#include "cache/orchestrator.h"
#include "io/loop.h"
#include "kv/testing/fake_kv_store.h"
#include "kv/testing/put_body.h"

namespace vr::cache::testing {

/// What all producers of a test share: how often they ran, what they make, when they may go on.
struct Kitchen {
  std::atomic<int> calls{0};
  std::atomic<io::Loop*> made_on{nullptr};  ///< null: not on a loop
  std::string body = "variant bytes";
  std::optional<Error> failure;
  std::string version = "v1";
  std::atomic<int> checks{0};
  std::optional<Error> origin_failure;
  bool is_gated = false;
  bool streams = false;
  bool is_whole_form = false;
  io::Notifier gate;
  std::atomic<bool> is_open{false};
  SharedFd stream_file;
  uint32_t percent = 0;
  double estimate = 0;

  Task<void> WaitOpen() {
    while (is_gated && !is_open) {
      const uint64_t ticket = gate.ticket();
      if (is_open) break;
      co_await gate.WaitChange(ticket);
    }
  }
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
    kitchen_->made_on = io::Loop::Current();
    production->MarkStarted();
    production->SetEstimate(kitchen_->estimate);
    if (kitchen_->streams) {
      StreamHead head;
      head.file = kitchen_->stream_file;
      head.meta.content_type = "video/mp4";
      head.is_whole_form = kitchen_->is_whole_form;
      head.length = kitchen_->body.size();
      head.meta.etag = "\"e\"";
      production->SetPercent(kitchen_->percent);
      production->Advance(7);
      production->StartStream(std::move(head));
    }
    co_await kitchen_->WaitOpen();
    if (kitchen_->failure) co_return Error(*kitchen_->failure);
    if (::pwrite(stored->get(), kitchen_->body.data(), kitchen_->body.size(), 0) !=
        static_cast<ssize_t>(kitchen_->body.size())) {
      co_return ErrnoError(errno, "test body");
    }
    Metadata meta;
    meta.content_type = "video/mp4";
    meta.encode_seconds = 2;
    meta.cache_tags = {"tag"};
    meta.source_validator = kitchen_->version;
    co_return meta;
  }

  Task<Result<bool>> IsUnchanged(Context, Metadata known) override {
    ++kitchen_->checks;
    co_await kitchen_->WaitOpen();
    if (kitchen_->origin_failure) co_return Error(*kitchen_->origin_failure);
    co_return known.source_validator == kitchen_->version;
  }

 private:
  const std::shared_ptr<Kitchen> kitchen_;
};

/// An orchestrator on an executor of its own that the test drives.
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
    // Also those that are no flights any more: purged or given up.
    RunUntil([&] { return orchestrator_->Drain(std::chrono::steady_clock::now()); });
    orchestrator_.reset();
    std::filesystem::remove_all(directory_);
  }

  /// A new process over the same store: the edge is empty again.
  void Restart() {
    orchestrator_ = std::make_unique<Orchestrator>(
        options_, kv_.get(), *staging_, blocking_, clock_, metrics_,
        [](const Entity&) { return std::string("X-Test: 1\r\n"); }, RenderFailure);
  }

  static std::optional<FailureForm> RenderFailure(const Error& error) {
    if (error.reason != "SOURCE_CORRUPT") return std::nullopt;
    return FailureForm{422, "application/json", "{}"};
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
    boost::asio::co_spawn(context_.get_executor(), task, boost::asio::detached);
    return slot;
  }
  Task<void> Keep(Slot slot, Query query, Context ctx) {
    auto producer = std::make_shared<FakeProducer>(kitchen_);
    Result<Answer> answer =
        co_await orchestrator_->Fetch(ctx, std::move(query), std::move(producer));
    slot->emplace(std::move(answer));
  }
  /// What a HEAD does.
  Result<Answer> Peek(Query query) {
    std::optional<Result<Answer>> answer;
    auto task = [&]() -> Task<void> {
      answer.emplace(
          co_await orchestrator_->Peek(Context(), query, std::make_shared<FakeProducer>(kitchen_)));
    };
    boost::asio::co_spawn(context_.get_executor(), task, boost::asio::detached);
    RunUntil([&] { return answer.has_value(); });
    RunUntil([&] { return orchestrator_->flights() == 0; });
    return std::move(*answer);
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

  double Count(const std::string& name) { return metrics_.GetCounter(name, "").value(); }
  /// Puts an entry into the store, whatever there was. `meta` says plan, expiry and source.
  void Store(const std::string& key, const std::string& body, const Metadata& meta) {
    kv::Record record = kv::testing::RecordFor(body, meta.ToJson());
    record.source = meta.source_path;
    record.digest = meta.plan_digest;
    record.expires_ms = meta.expires_at_ms;
    EXPECT_TRUE(kv::testing::PutBody(*kv_, key, body, record, 0).ok());
  }
  /// Puts what `change` says into the fake store's switches.
  void KvFails(const std::function<void(kv::testing::FakeKvStore::Failures&)>& change) {
    kv_->Set(change);
  }

  std::string directory_;
  Options options_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<io::Executor> guard_ = boost::asio::make_work_guard(context_);
  vr::testing::ManualClock clock_;
  Metrics metrics_;
  io::Blocking blocking_;
  std::unique_ptr<kv::testing::FakeKvStore> kv_ = std::make_unique<kv::testing::FakeKvStore>();
  std::unique_ptr<Staging> staging_;
  std::shared_ptr<Kitchen> kitchen_ = std::make_shared<Kitchen>();
  std::unique_ptr<Orchestrator> orchestrator_;
};

}  // namespace vr::cache::testing
