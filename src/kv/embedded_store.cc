#include "kv/embedded_store.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "kv/embedded_core.h"

namespace vr::kv {

/// Counts jobs that use the core, so that closing can wait for them.
class InFlight {
 public:
  class Hold {
   public:
    explicit Hold(std::shared_ptr<InFlight> owner) : owner_(std::move(owner)) {
      std::lock_guard lock(owner_->mutex_);
      ++owner_->count_;
    }
    Hold(Hold&& other) noexcept = default;
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (!owner_) return;
      std::lock_guard lock(owner_->mutex_);
      if (--owner_->count_ == 0) owner_->idle_.notify_all();
    }

   private:
    std::shared_ptr<InFlight> owner_;
  };
  void WaitIdle() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  int count_ = 0;
};

template <class F>
auto EmbeddedStore::Run(io::Lane lane, F f) {
  auto job = [hold = InFlight::Hold(in_flight_), core = core_.get(), f = std::move(f)]() mutable {
    return f(*core);
  };
  return blocking_.Run(lane, std::move(job));
}

Result<std::unique_ptr<EmbeddedStore>> EmbeddedStore::Create(Options options,
                                                             io::Blocking& blocking,
                                                             const Clock& clock, Metrics& metrics,
                                                             io::Files& files,
                                                             rocksdb::Env* index_env) {
  TRY(std::unique_ptr<EmbeddedCore> core,
      EmbeddedCore::Open(options, blocking, metrics, files, index_env));
  Gauge bytes =
      metrics.GetGauge("video_resizer_kv_bytes", "Bytes in the store, bodies and metadata");
  Gauge entries = metrics.GetGauge("video_resizer_kv_entries", "Entries in the store");
  metrics.OnRender([index = std::weak_ptr<MemoryIndex>(core->index()), bytes, entries]() mutable {
    const std::shared_ptr<MemoryIndex> live = index.lock();
    if (!live) return;
    const Usage usage = live->usage();
    bytes.Set(static_cast<double>(usage.bytes));
    entries.Set(static_cast<double>(usage.entries));
  });
  return std::unique_ptr<EmbeddedStore>(new EmbeddedStore(std::move(core), blocking, clock));
}

EmbeddedStore::EmbeddedStore(std::unique_ptr<EmbeddedCore> core, io::Blocking& blocking,
                             const Clock& clock)
    : blocking_(blocking),
      clock_(clock),
      core_(std::move(core)),
      in_flight_(std::make_shared<InFlight>()) {}

EmbeddedStore::~EmbeddedStore() {
  in_flight_->WaitIdle();
}

io::Task<Result<std::unique_ptr<NewBody>>> EmbeddedStore::Create(Context ctx, uint64_t size_hint) {
  (void)ctx;
  auto job = [size_hint](EmbeddedCore& core) { return core.Create(size_hint); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<void>> EmbeddedStore::Commit(Context ctx, std::string key, Record record,
                                             std::unique_ptr<NewBody> body) {
  (void)ctx;
  // Only bodies of ours are ever passed to us; a null one is our own mistake.
  auto* ours = dynamic_cast<EmbeddedBody*>(body.get());
  VR_CHECK(ours != nullptr);
  auto job = [key = std::move(key), record = std::move(record), body = std::move(body),
              ours](EmbeddedCore& core) mutable {
    Result<void> done = core.Commit(key, record, *ours);
    if (!done.ok() && done.error().code == Code::kResourceExhausted) {
      done = std::move(done).error().WithReason(std::string(kDiskFullReason));
    }
    body.reset();  // before anybody hears of it: what it leaves behind is then on its way out
    return done;
  };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<std::optional<Found>>> EmbeddedStore::Get(Context ctx, std::string key) {
  // The common miss never leaves the loop.
  if (!core_->index()->Find(key)) co_return std::optional<Found>();
  auto job = [key = std::move(key), ctx = std::move(ctx),
              clock = &clock_](EmbeddedCore& core) -> Result<std::optional<Found>> {
    if (clock->SteadyNow() > ctx.deadline) {
      return Error(Code::kDeadlineExceeded, "the store did not answer in time");
    }
    return core.Get(key);
  };
  auto task = Run(io::Lane::kRead, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<bool>> EmbeddedStore::Touch(Context ctx, std::string key, Hash128 body_hash,
                                            std::string metadata, int64_t expires_ms) {
  (void)ctx;
  if (!core_->index()->Find(key)) co_return false;
  auto job = [key = std::move(key), body_hash, metadata = std::move(metadata), expires_ms](
                 EmbeddedCore& core) { return core.Touch(key, body_hash, metadata, expires_ms); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<bool>> EmbeddedStore::Erase(Context ctx, std::string key) {
  (void)ctx;
  auto job = [key = std::move(key)](EmbeddedCore& core) { return core.Erase(key); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<size_t>> EmbeddedStore::EraseMany(Context ctx, std::vector<std::string> keys) {
  (void)ctx;
  auto job = [keys = std::move(keys)](EmbeddedCore& core) { return core.EraseMany(keys); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<size_t>> EmbeddedStore::ExpireMany(Context ctx, std::vector<std::string> keys,
                                                   int64_t at_ms) {
  (void)ctx;
  auto job = [keys = std::move(keys), at_ms](EmbeddedCore& core) {
    return core.ExpireMany(keys, at_ms);
  };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<uint64_t>> EmbeddedStore::Begin(Context ctx, std::string bytes) {
  (void)ctx;
  auto job = [bytes = std::move(bytes)](EmbeddedCore& core) { return core.BeginIntent(bytes); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<void>> EmbeddedStore::End(Context ctx, uint64_t id) {
  (void)ctx;
  auto job = [id](EmbeddedCore& core) { return core.EndIntent(id); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<std::vector<Journal::Row>>> EmbeddedStore::Pending(Context ctx) {
  (void)ctx;
  auto job = [](EmbeddedCore& core) { return core.PendingIntents(); };
  auto task = Run(io::Lane::kRead, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<Page>> EmbeddedStore::ListByPrefix(Context ctx, std::string prefix,
                                                   std::string cursor, size_t limit) {
  (void)ctx;
  auto job = [prefix = std::move(prefix), cursor = std::move(cursor), limit](EmbeddedCore& core) {
    return core.ListByPrefix(prefix, cursor, limit);
  };
  auto task = Run(io::Lane::kRead, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<Page>> EmbeddedStore::ListByTag(Context ctx, std::string tag, std::string cursor,
                                                size_t limit) {
  (void)ctx;
  auto job = [tag = std::move(tag), cursor = std::move(cursor), limit](EmbeddedCore& core) {
    return core.ListByName(Table::kTag, tag, cursor, limit);
  };
  auto task = Run(io::Lane::kRead, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<Page>> EmbeddedStore::ListBySource(Context ctx, std::string source,
                                                   std::string cursor, size_t limit) {
  (void)ctx;
  auto job = [source = std::move(source), cursor = std::move(cursor), limit](EmbeddedCore& core) {
    return core.ListByName(Table::kSource, source, cursor, limit);
  };
  auto task = Run(io::Lane::kRead, std::move(job));
  co_return co_await std::move(task);
}

io::Task<Result<std::vector<std::string>>> EmbeddedStore::ReapExpired(
    WallTime now, std::chrono::milliseconds grace, size_t limit) {
  const int64_t before_ms = ToUnixMillis(now) - grace.count();
  auto job = [before_ms, limit](EmbeddedCore& core) { return core.ReapExpired(before_ms, limit); };
  auto task = Run(io::Lane::kWrite, std::move(job));
  co_return co_await std::move(task);
}

std::optional<uint64_t> EmbeddedStore::Version(std::string_view key) const {
  const std::optional<IndexEntry> entry = core_->index()->Find(key);
  if (!entry) return std::nullopt;
  return entry->version;
}

void EmbeddedStore::OnChange(std::function<void(std::string_view key)> listen) {
  core_->index()->OnChange(std::move(listen));
}

Usage EmbeddedStore::usage() const {
  Usage usage = core_->index()->usage();
  usage.newest_ms = core_->newest_ms();
  return usage;
}

std::optional<IndexEntry> EmbeddedStore::Peek(std::string_view key) const {
  return core_->index()->Find(key);
}

void EmbeddedStore::Settle() {
  core_->bodies().Settle();
}

}  // namespace vr::kv
