// Purges that do not get to their end: the store stops in the middle, the process is gone, a new
// one starts. Over the embedded store, because that is what survives.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>
#include <set>

#include "base/testing/manual_clock.h"
#include "cache/orchestrator.h"
#include "kv/embedded_store.h"
#include "kv/memory_store.h"
#include "kv/testing/cut_disk.h"
#include "kv/testing/put_body.h"

namespace vr::cache {
namespace {

namespace asio = boost::asio;
using Keys = std::set<std::string>;

/// Another store with two switches: it stops changing anything after so many changes, as a process
/// that is killed does; and it can be held where a race wants it.
class CutStore final : public kv::KvStore, private kv::Journal {
 public:
  explicit CutStore(kv::KvStore& under) : under_(under) {}

  int changes_left = 1'000'000;
  std::function<Task<void>()> before_erase;
  std::function<Task<void>()> after_get;

  Task<Result<std::unique_ptr<kv::NewBody>>> Create(Context ctx, uint64_t hint) override {
    return under_.Create(ctx, hint);
  }
  Task<Result<void>> Commit(Context ctx, std::string key, kv::Record record,
                            std::unique_ptr<kv::NewBody> body) override {
    return under_.Commit(ctx, key, std::move(record), std::move(body));
  }
  Task<Result<std::optional<kv::Found>>> Get(Context ctx, std::string key) override {
    Result<std::optional<kv::Found>> found = co_await under_.Get(ctx, key);
    if (after_get) co_await after_get();
    co_return found;
  }
  Task<Result<bool>> Touch(Context ctx, std::string key, Hash128 body_hash, std::string metadata,
                           int64_t expires_ms) override {
    return under_.Touch(ctx, key, body_hash, metadata, expires_ms);
  }
  Task<Result<bool>> Erase(Context ctx, std::string key) override { return under_.Erase(ctx, key); }
  Task<Result<size_t>> EraseMany(Context ctx, std::vector<std::string> keys) override {
    if (before_erase) co_await before_erase();
    CO_CHECK(Spend());
    co_return co_await under_.EraseMany(ctx, keys);
  }
  Task<Result<size_t>> ExpireMany(Context ctx, std::vector<std::string> keys,
                                  int64_t at_ms) override {
    CO_CHECK(Spend());
    co_return co_await under_.ExpireMany(ctx, keys, at_ms);
  }
  Task<Result<kv::Page>> ListByPrefix(Context ctx, std::string prefix, std::string cursor,
                                      size_t limit) override {
    return under_.ListByPrefix(ctx, prefix, cursor, limit);
  }
  Task<Result<kv::Page>> ListByTag(Context ctx, std::string tag, std::string cursor,
                                   size_t limit) override {
    return under_.ListByTag(ctx, tag, cursor, limit);
  }
  Task<Result<kv::Page>> ListBySource(Context ctx, std::string source, std::string cursor,
                                      size_t limit) override {
    return under_.ListBySource(ctx, source, cursor, limit);
  }
  kv::Usage usage() const override { return under_.usage(); }
  kv::Journal& journal() override { return *this; }

 private:
  Result<void> Spend() {
    if (changes_left == 0) return Error(Code::kUnavailable, "stopped", "the process is gone");
    --changes_left;
    return {};
  }
  Task<Result<uint64_t>> Begin(Context ctx, std::string bytes) override {
    CO_CHECK(Spend());
    co_return co_await under_.journal().Begin(ctx, bytes);
  }
  Task<Result<void>> End(Context ctx, uint64_t id) override {
    CO_CHECK(Spend());
    co_return co_await under_.journal().End(ctx, id);
  }
  Task<Result<std::vector<Row>>> Pending(Context ctx) override {
    return under_.journal().Pending(ctx);
  }

  kv::KvStore& under_;
};

class NoProducer final : public Producer {
 public:
  Task<Result<Metadata>> Produce(Context, ProductionRef, SharedFd) override {
    co_return Error(Code::kUnavailable, "nothing is made here");
  }
  Task<Result<bool>> IsUnchanged(Context, Metadata) override { co_return true; }
};

class PurgeTest : public ::testing::Test {
 protected:
  PurgeTest() {
    std::string name = (std::filesystem::temp_directory_path() / "vr-purge-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    staging_ = std::move(*Staging::Create(directory_ + "/staging"));
    Start();
  }
  ~PurgeTest() override {
    Stop();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void Start() { StartOn(io::Files::System(), nullptr); }
  void StartOn(io::Files& files, rocksdb::Env* env) {
    kv::Options options;
    options.data_dir = directory_ + "/data";
    options.durability = durability_;
    auto opened =
        kv::EmbeddedStore::Create(options, blocking_, SystemClock::Get(), metrics_, files, env);
    ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
    store_ = std::move(*opened);
    cut_ = std::make_unique<CutStore>(*store_);
    Options cache;
    cache.staging_dir = directory_ + "/staging";
    orchestrator_ = std::make_unique<Orchestrator>(
        cache, cut_.get(), *staging_, blocking_, clock_, metrics_,
        [](const Entity&) { return std::string(); },
        [](const Error&) { return std::optional<FailureForm>(); });
  }
  void Stop() {
    orchestrator_.reset();
    cut_.reset();
    store_.reset();
  }
  void StartAgain() {
    Stop();
    Start();
    Result<uint64_t> finished = Run(orchestrator_->FinishPurges(Context()));
    ASSERT_TRUE(finished.ok()) << finished.error().ToLogString();
    finished_ = *finished;
    EXPECT_TRUE(Run(store_->journal().Pending(Context()))->empty());
  }

  template <class T>
  T Run(Task<T> task) {
    std::optional<T> result;
    auto keep = [&]() -> Task<void> { result.emplace(co_await std::move(task)); };
    asio::co_spawn(context_.get_executor(), keep, asio::detached);
    while (!result) context_.run_one();
    return std::move(*result);
  }

  void Put(const std::string& key, const std::string& source, const std::string& origin,
           std::vector<std::string> tags, int64_t created_ms) {
    const std::string body = "body of " + key;
    Metadata meta;
    meta.source_path = source;
    meta.origin = origin;
    meta.cache_tags = tags;
    meta.content_length = body.size();
    meta.created_at_ms = created_ms;
    meta.plan_digest = {7, 7};
    kv::Record record = kv::testing::RecordFor(body, meta.ToJson());
    record.source = source;
    record.tags = std::move(tags);
    record.created_ms = created_ms;
    record.expires_ms = kFar;
    record.digest = {7, 7};
    Result<void> put = kv::testing::PutBody(*store_, key, body, record, body.size());
    ASSERT_TRUE(put.ok()) << put.error().ToLogString();
  }
  /// Three entries of a.mp4 and two that no scope below means.
  void Seed() {
    const int64_t then = NowMs() - 1'000;
    for (const char* key : {"video:a.mp4", "video:a.mp4:w=1", "video:a.mp4:w=12"}) {
      Put(key, "a.mp4", "first", {"tag", "other"}, then);
    }
    Put("video:b.mp4", "b.mp4", "second", {"tag2", "other"}, NowMs());
    Put("frame:b.mp4", "b.mp4", "second", {"other"}, NowMs());
  }
  Keys Fresh() {
    Keys keys;
    Result<kv::Page> page = Run(store_->ListByPrefix(Context(), "", "", 10'000));
    for (const kv::Listed& row : page->rows) {
      if (row.record.expires_ms == kFar) keys.insert(row.key);
    }
    return keys;
  }
  uint64_t entries() const { return store_->usage().entries; }
  int64_t NowMs() const { return ToUnixMillis(clock_.Now()); }

  static constexpr int64_t kFar = 9'000'000'000'000;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_ =
      asio::make_work_guard(context_);
  std::string directory_;
  kv::Durability durability_ = kv::Durability::kBody;
  vr::testing::ManualClock clock_;
  Metrics metrics_;
  io::Blocking blocking_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<kv::EmbeddedStore> store_;
  std::unique_ptr<CutStore> cut_;
  std::unique_ptr<Orchestrator> orchestrator_;
  uint64_t finished_ = 0;
};

PurgeScope Everything() {
  PurgeScope scope;
  scope.everything = true;
  return scope;
}

TEST_F(PurgeTest, OneThatStopsAnywhereIsFinishedAtTheNextStart) {
  std::vector<PurgeScope> scopes(7);
  scopes[0].key = "video:a.mp4";
  scopes[1].tag = "tag";
  scopes[2].source = "a.mp4";
  scopes[3].prefix = "video:a.mp4:";
  scopes[4].origin = "first";
  scopes[5].created_before_ms = NowMs() - 500;
  scopes[6].everything = true;
  const Keys a = {"video:a.mp4", "video:a.mp4:w=1", "video:a.mp4:w=12"};
  const Keys b = {"frame:b.mp4", "video:b.mp4"};
  const Keys all = {"frame:b.mp4", "video:a.mp4", "video:a.mp4:w=1", "video:a.mp4:w=12",
                    "video:b.mp4"};
  const std::vector<Keys> left = {
      {"frame:b.mp4", "video:a.mp4:w=1", "video:a.mp4:w=12", "video:b.mp4"},
      b,
      b,
      {"frame:b.mp4", "video:a.mp4", "video:b.mp4"},
      b,
      b,
      {}};
  for (size_t i = 0; i < scopes.size(); ++i) {
    for (const PurgeMode mode : {PurgeMode::kHard, PurgeMode::kSoft}) {
      // Journal, erasure, journal: three changes.
      for (int changes = 0; changes <= 3; ++changes) {
        SCOPED_TRACE(std::to_string(i) + (mode == PurgeMode::kSoft ? " soft" : " hard") +
                     ", changes: " + std::to_string(changes));
        Seed();
        cut_->changes_left = changes;
        Result<PurgeReport> report = Run(orchestrator_->Purge(Context(), scopes[i], mode));
        EXPECT_EQ(report.ok(), changes == 3);
        EXPECT_EQ(report.ok() ? report->kv_entries : 0, changes == 3 ? 5 - left[i].size() : 0);
        StartAgain();
        EXPECT_EQ(finished_, changes == 1 || changes == 2 ? 1u : 0u);
        EXPECT_EQ(Fresh(), changes == 0 ? all : left[i]) << "all of the scope, or nothing of it";
        EXPECT_EQ(entries(), changes == 0 || mode == PurgeMode::kSoft ? 5 : left[i].size());
      }
    }
  }
}

TEST_F(PurgeTest, OneThatIsCutAtAnyChangeOfTheDiskIsAllOrNothing) {
  namespace fs = std::filesystem;
  Seed();
  const Keys all = Fresh();
  Stop();
  const std::string data = directory_ + "/data", whole = directory_ + "/whole";
  fs::rename(data, whole);
  PurgeScope scope;
  scope.tag = "tag";
  for (const kv::Durability durability : {kv::Durability::kNone, kv::Durability::kFull}) {
    for (const bool is_power_cut : {false, true}) {
      durability_ = durability;
      bool was_answered = false;
      for (uint64_t n = 1; !was_answered && n < 100; ++n) {
        SCOPED_TRACE("cut at change " + std::to_string(n) + (is_power_cut ? ", power" : ", kill"));
        fs::remove_all(data);
        fs::copy(whole, data, fs::copy_options::recursive);
        {
          kv::testing::CutDisk disk(data);
          StartOn(disk, disk.env());
          disk.CutAfter(n);
          was_answered = Run(orchestrator_->Purge(Context(), scope, PurgeMode::kHard)).ok();
          EXPECT_EQ(was_answered, !disk.is_cut());
          Stop();
          if (is_power_cut) disk.LosePower(kv::testing::CutDisk::Lost::kAll);
        }
        Start();
        ASSERT_TRUE(Run(orchestrator_->FinishPurges(Context())).ok());
        const Keys left = Fresh();
        const bool is_done = left == Keys{"frame:b.mp4", "video:b.mp4"};
        EXPECT_TRUE(is_done || (!was_answered && left == all)) << left.size() << " left";
        Stop();
      }
      EXPECT_TRUE(was_answered);
    }
  }
}

TEST_F(PurgeTest, OneOfManyPagesStopsAfterEachOfThem) {
  constexpr int kEntries = 2'500;  // three pages
  for (const int changes : {1, 2, 3, 4}) {
    for (int i = 0; i < kEntries; ++i) {
      Put("video:" + std::to_string(10'000 + i), "a.mp4", "first", {"tag"}, NowMs());
    }
    PurgeScope scope;
    scope.tag = "tag";
    cut_->changes_left = changes;
    EXPECT_FALSE(Run(orchestrator_->Purge(Context(), scope, PurgeMode::kHard)).ok());
    EXPECT_EQ(entries(), static_cast<uint64_t>(std::max(0, kEntries - 1'000 * (changes - 1))));
    StartAgain();
    EXPECT_EQ(entries(), 0u);
  }
}

TEST_F(PurgeTest, WhatWasMadeAfterAnInterruptedPurgeStays) {
  Seed();
  cut_->changes_left = 1;
  EXPECT_FALSE(Run(orchestrator_->Purge(Context(), Everything(), PurgeMode::kHard)).ok());
  clock_.Advance(std::chrono::milliseconds(1));
  Put("video:a.mp4:w=1", "a.mp4", "first", {"tag"}, NowMs());
  Put("video:new.mp4", "new.mp4", "first", {"tag"}, NowMs());
  StartAgain();
  EXPECT_EQ(Fresh(), (Keys{"video:a.mp4:w=1", "video:new.mp4"}));
}

TEST_F(PurgeTest, AClockThatIsSetBackSavesNoEntry) {
  Put("video:a.mp4", "a.mp4", "first", {"tag"}, NowMs() + 3'600'000);
  for (const int changes : {1, 3}) {
    cut_->changes_left = changes;
    (void)Run(orchestrator_->Purge(Context(), Everything(), PurgeMode::kHard));
    StartAgain();
    EXPECT_EQ(entries(), 0u);
    Put("video:a.mp4", "a.mp4", "first", {"tag"}, NowMs() + 7'200'000);
  }
}

TEST_F(PurgeTest, AJournalRowNobodyCanReadTakesEverything) {
  PurgeIntent intent;
  intent.scope.key = "video:a.mp4";
  std::string newer = EncodeIntent(intent);
  newer[0] = 9;
  for (const std::string& row : {std::string(), std::string("\x01\x00"), newer}) {
    Seed();
    ASSERT_TRUE(Run(store_->journal().Begin(Context(), row)).ok());
    StartAgain();
    EXPECT_EQ(finished_, 1u);
    EXPECT_EQ(entries(), 0u);
  }
}

TEST_F(PurgeTest, SeveralInterruptedPurgesAreAllFinished) {
  Seed();
  for (const char* key : {"video:a.mp4", "video:b.mp4", "frame:b.mp4"}) {
    PurgeScope scope;
    scope.key = key;
    cut_->changes_left = 1;
    EXPECT_FALSE(Run(orchestrator_->Purge(Context(), scope, PurgeMode::kHard)).ok());
  }
  StartAgain();
  EXPECT_EQ(finished_, 3u);
  EXPECT_EQ(Fresh(), (Keys{"video:a.mp4:w=1", "video:a.mp4:w=12"}));
}

TEST_F(PurgeTest, GoesOnWhenNobodyWaitsForItAnyMore) {
  Seed();
  Context impatient;
  impatient.deadline = std::chrono::steady_clock::now();
  Result<PurgeReport> report = Run(orchestrator_->Purge(impatient, Everything(), PurgeMode::kHard));
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::kDeadlineExceeded);
  while (entries() != 0 || !Run(store_->journal().Pending(Context()))->empty()) context_.run_one();
}

TEST_F(PurgeTest, WhatWasReadBeforeTheErasureDoesNotReachTheEdgeAfterIt) {
  Seed();
  Query query;
  query.key = "video:a.mp4";
  query.digest = {7, 7};
  query.source = "a.mp4";
  bool has_read = false;
  io::Notifier may_go_on;
  const uint64_t ticket = may_go_on.ticket();
  std::optional<Result<Answer>> answer;
  auto fetch = [&]() -> Task<void> {
    answer.emplace(co_await orchestrator_->Fetch(Context(), query, std::make_shared<NoProducer>()));
  };
  cut_->after_get = [&]() -> Task<void> {
    has_read = true;
    co_await may_go_on.WaitChange(ticket);
  };
  // Between the purge's first look at productions and its erasure somebody reads the entry.
  cut_->before_erase = [&]() -> Task<void> {
    asio::co_spawn(context_.get_executor(), fetch, asio::detached);
    const io::Executor executor = context_.get_executor();
    while (!has_read) co_await asio::post(executor, io::kUseTask);
  };
  ASSERT_TRUE(Run(orchestrator_->Purge(Context(), Everything(), PurgeMode::kHard)).ok());
  may_go_on.NotifyAll();
  while (!answer) context_.run_one();
  ASSERT_TRUE(answer->ok()) << "whoever asked before is served";
  EXPECT_EQ(orchestrator_->LookupEdge(query.key, query.digest), nullptr);
}

}  // namespace
}  // namespace vr::cache
