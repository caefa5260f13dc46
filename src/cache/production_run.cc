// How a production runs: look into the KV, revalidate what is stale, make what is not there, keep
// it.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cache/orchestrator.h"
#include "cache/ttl.h"
#include "io/loop.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

struct Measured {
  uint64_t size = 0;
  Hash128 hash;
  std::shared_ptr<const std::string> memory;  ///< the body, when at most `keep` bytes
};

/// Reads a whole file once: size, hash and, if small, its bytes. Blocking.
Result<Measured> Measure(int fd, uint64_t keep) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "fstat of a body");
  Measured m;
  m.size = static_cast<uint64_t>(st.st_size);
  const bool in_memory = m.size <= keep;
  std::string buffer(in_memory ? m.size : std::min<uint64_t>(m.size, 1 << 20), '\0');
  Hasher hasher;
  uint64_t at = 0;
  while (at < m.size) {
    char* to = buffer.data() + (in_memory ? at : 0);
    const size_t room = in_memory ? buffer.size() - at : buffer.size();
    const ssize_t n = ::pread(fd, to, room, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "reading a body");
    if (n == 0) return Error(Code::kCorruption, "the body shrank", "body is shorter than its size");
    hasher.Update(std::string_view(to, static_cast<size_t>(n)));
    at += static_cast<uint64_t>(n);
  }
  m.hash = hasher.Finish();
  if (in_memory) m.memory = std::make_shared<const std::string>(std::move(buffer));
  return m;
}

std::string Quoted(const Hash128& hash) {
  return '"' + hash.ToHex() + '"';
}

int64_t Millis(std::chrono::seconds s) {
  return std::chrono::milliseconds(s).count();
}

}  // namespace

/// Nobody may be left waiting and no flight left registered, whatever happens to the coroutine.
class Orchestrator::Settler {
 public:
  Settler(Orchestrator& self, std::string flight, ProductionRef production)
      : self_(self), flight_(std::move(flight)), production_(std::move(production)) {}
  ~Settler() {
    if (is_settled())
      self_.LeaveFlight(flight_, production_);
    else
      Fail(Error(Code::kInternal, "internal error", "production task was dropped"));
    const JobRef job = production_->job();
    if (!job) return;
    // By now it is stored, or never will be.
    job->Complete();
    if (production_->is_held()) self_.jobs_.RememberFailure(job);
    self_.jobs_.Close(job);
  }
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  const ProductionRef& production() const { return production_; }
  const std::string& flight() const { return flight_; }
  bool is_settled() const { return production_->Look().phase >= Production::Phase::kDone; }
  void Finish(Outcome outcome) { production_->Finish(std::move(outcome)); }
  /// Out of the map first: whoever asks after seeing this failure starts afresh.
  void Fail(Error error) {
    self_.LeaveFlight(flight_, production_);
    // Before anybody is told: whoever asks again at once has to find it.
    if (production_->job() && production_->is_held()) {
      self_.jobs_.RememberFailure(production_->job());
    }
    production_->Fail(std::move(error));
  }

 private:
  Orchestrator& self_;
  const std::string flight_;
  const ProductionRef production_;
};

std::shared_ptr<Entity> Orchestrator::EntityFromKv(std::string key, kv::Found found,
                                                   Metadata meta) const {
  auto entity = std::make_shared<Entity>();
  entity->key = std::move(key);
  entity->meta = std::move(meta);
  entity->meta.content_length = found.body.size;
  entity->kv_backed = true;
  entity->use_id = Hash64Of(entity->key);
  entity->memory = found.body.memory;
  entity->file = found.body.file;
  entity->head = std::make_shared<const std::string>(render_head_(*entity));
  return entity;
}

Task<EntityRef> Orchestrator::ReadKv(Context ctx, std::string key, Hash128 digest) {
  if (!kv_) co_return nullptr;
  const std::optional<uint64_t> version = kv_->Version(key);
  Result<std::optional<kv::Found>> found = co_await kv_->Get(ctx, key);
  if (!found.ok()) {
    kv_read_failed_.Add();
    LogWarn("kv_read_failed", {{"key", key}, {"error", found.error().ToLogString()}});
    co_return nullptr;
  }
  if (!*found) co_return nullptr;
  kv::Found& held = **found;
  Result<Metadata> meta = Metadata::FromJson(held.record.metadata);
  if (!meta.ok()) {
    kv_corrupt_.Add();
    LogWarn("kv_metadata_unreadable", {{"key", key}, {"error", meta.error().ToLogString()}});
    co_return nullptr;
  }
  meta->expires_at_ms = held.record.expires_ms;
  if (meta->plan_digest != digest) co_return nullptr;
  std::shared_ptr<Entity> entity = EntityFromKv(std::move(key), std::move(held), std::move(*meta));
  if (version && recent_reads_->enabled() &&
      (entity->memory || options_.recent_reads_max_files > 0)) {
    entity->kv_version = *version;
    recent_reads_->Insert(entity);
    // Changed meanwhile: whoever told of that has looked here too early.
    if (kv_->Version(entity->key) != version) recent_reads_->Erase(entity->key);
  }
  co_return entity;
}

Task<Result<EntityRef>> Orchestrator::Complete(Query query, Metadata meta, SharedFd file,
                                               bool kv_backed) {
  const uint64_t keep = edge_.enabled() ? options_.edge.max_object_in_memory : 0;
  auto measure = [file, keep] { return Measure(file->get(), keep); };
  CO_TRY(const Measured measured, co_await blocking_.Run(io::Lane::kRead, std::move(measure)));
  if (measured.size == 0) {
    co_return Error(Code::kInternal, "the variant came out empty", "producer left an empty body")
        .WithReason("TRANSFORM_FAILED");
  }
  const int64_t now_ms = ToUnixMillis(clock_.Now());
  const auto ttl = TtlFor(meta.status, query.ttl);
  meta.source_path = query.source;
  meta.content_length = measured.size;
  meta.body_hash = measured.hash;
  meta.plan_digest = query.digest;
  meta.created_at_ms = now_ms;
  meta.expires_at_ms = now_ms + std::chrono::duration_cast<std::chrono::milliseconds>(ttl).count();
  if (meta.etag.empty()) meta.etag = Quoted(measured.hash);
  auto entity = std::make_shared<Entity>();
  entity->key = query.key;
  entity->meta = std::move(meta);
  entity->kv_backed = kv_backed;
  entity->use_id = Hash64Of(entity->key);
  if (measured.memory) {
    entity->memory = measured.memory;
  } else {
    entity->file = file;
  }
  entity->head = std::make_shared<const std::string>(render_head_(*entity));
  EntityRef published = std::move(entity);
  co_return published;
}

Task<void> Orchestrator::RunProduction(Query query, ProductionRef production,
                                       std::shared_ptr<Producer> producer, std::string flight) {
  Context ctx;
  ctx.deadline = std::chrono::steady_clock::now() + options_.production_timeout;
  ctx.request_id = query.key;
  Settler settler(*this, std::move(flight), production);

  Outcome held;
  if (query.read_edge) {
    held.entity = edge_.Find(query.key);
    held.from = Outcome::From::kEdge;
    if (held.entity && held.entity->meta.plan_digest != query.digest) held.entity = nullptr;
  }
  if (!held.entity && query.read_kv) {
    held.entity = co_await ReadKv(ctx, query.key, query.digest);
    held.from = Outcome::From::kKv;
  }
  if (held.entity) {
    const bool is_over = co_await Revalidate(ctx, query, held, settler, producer);
    if (is_over) co_return;
  }
  if (query.admit && !held.entity) {
    Result<void> admitted = query.admit();
    if (!admitted.ok()) {
      production->MarkRefused();
      settler.Fail(std::move(admitted).error());
      co_return;
    }
  }
  Job::Names names;
  names.key = query.key;
  names.flight = settler.flight();
  names.origin = query.origin;
  names.target = query.target;
  production->BeginMaking(jobs_.Open(std::move(names), production));
  const io::Executor here = co_await boost::asio::this_coro::executor;
  Task<void> made = Make(std::move(ctx), std::move(query), settler, std::move(producer));
  co_await io::RunOn(workshop_.value_or(here), std::move(made));
}

Task<Result<Answer>> Orchestrator::Peek(Context ctx, Query query,
                                        std::shared_ptr<Producer> producer) {
  bool is_held = false;
  if (query.read_edge) {
    const EntityRef held = edge_.Find(query.key);
    is_held = held && held->meta.plan_digest == query.digest;
  }
  if (!is_held && query.read_kv) {
    // Made already, on its way into the KV: as in Fetch().
    const ProductionRef made = query.join ? InFlight(query.key, query.digest) : nullptr;
    if (made && made->Look().phase == Production::Phase::kDone) {
      Outcome outcome = made->outcome();
      if (outcome.entity && outcome.entity->kv_backed) {
        NoteUse(*outcome.entity, NowMs());
        co_return Answer{std::move(outcome.entity), nullptr, Layer::kKv, outcome.freshness};
      }
    }
    const std::string flight = ApartFlightOf(query);
    bool leads = false;
    Settler settler(*this, flight, JoinOrLead(query, flight, &leads));
    EntityRef found = co_await ReadKv(ctx, query.key, query.digest);
    if (found && found->is_fresh(NowMs())) {
      Keep(query, settler.production(), found);
      NoteUse(*found, NowMs());
      co_return Answer{std::move(found), nullptr, Layer::kKv};
    }
    is_held = found != nullptr;
  }
  if (!is_held) co_return Answer{};
  co_return co_await Fetch(std::move(ctx), std::move(query), std::move(producer));
}

/// A purge may have come since this entity was read: then it is served, but not put back.
void Orchestrator::Keep(const Query& query, const ProductionRef& production,
                        const EntityRef& entity) {
  if (!query.write_edge || !production->BeginKeeping()) return;
  edge_.Insert(entity);
  // Evicted while it was read, or while its source was asked: then there was no copy to mark, or
  // this one has just replaced it.
  if (entity->kv_backed && kv_->tells_versions() && !kv_->Version(entity->key)) NotStored(entity);
  production->EndKeeping();
}

/// Serves what is held if that is allowed, asks the origin if that is needed.
/// @return false when the variant has to be made
Task<bool> Orchestrator::Revalidate(Context ctx, Query query, Outcome held, Settler& settler,
                                    std::shared_ptr<Producer> producer) {
  const EntityRef old = held.entity;
  const ProductionRef production = settler.production();
  const auto keep = [&](const EntityRef& entity) { Keep(query, production, entity); };
  const int64_t stale_ms = NowMs() - old->meta.expires_at_ms;
  if (old->is_fresh(NowMs())) {
    if (held.from == Outcome::From::kKv) keep(old);
    settler.Finish(held);
    co_return true;
  }
  held.freshness = Freshness::kStale;
  if (stale_ms < Millis(query.freshness.stale_while_revalidate)) {
    keep(old);
    settler.Finish(held);  // readers go on; the rest happens behind them
  }
  Result<bool> unchanged = co_await producer->IsUnchanged(ctx, old->meta);
  if (!unchanged.ok()) {
    const Error& why = unchanged.error();
    if (why.code == Code::kNotFound) {
      co_await Drop(query.key);
      RememberFailure(query, production, why);
      settler.Fail(why);
      co_return true;
    }
    LogWarn("revalidation_failed", {{"key", query.key}, {"error", why.ToLogString()}});
    if (stale_ms < Millis(query.freshness.stale_if_error)) {
      // Served for as long as a failure is remembered before the origin is asked again.
      std::shared_ptr<Entity> tolerated = CopyOf(*old);
      tolerated->stale_ok_until_ms =
          NowMs() + std::max<int64_t>(1000, Millis(query.ttl.server_error));
      held.entity = std::move(tolerated);
      keep(held.entity);
      settler.Finish(held);
      co_return true;
    }
    RememberFailure(query, production, why);
    settler.Fail(why);
    co_return true;
  }
  if (!*unchanged) {
    changed_.Add();
    co_return false;
  }
  const EntityRef renewed = Renewed(*old, query.ttl);
  revalidated_.Add();
  keep(renewed);
  held.entity = renewed;
  held.freshness = Freshness::kRevalidated;
  settler.Finish(held);
  // Not kept either when a purge came since: a soft one must stay in force.
  if (query.write_kv && renewed->kv_backed && production->BeginKeeping()) {
    co_await TouchKv(renewed);
    production->EndKeeping();
  }
  co_return true;
}

std::shared_ptr<Entity> Orchestrator::Renewed(const Entity& old, const TtlOptions& ttl) const {
  std::shared_ptr<Entity> renewed = CopyOf(old);
  const int64_t now_ms = NowMs();
  const int64_t ttl_ms = Millis(TtlFor(old.meta.status, ttl));
  const double factor =
      keeper_ != nullptr && old.kv_backed ? keeper_->NextTtlFactor(old.use_id) : 1;
  renewed->meta.expires_at_ms = now_ms + static_cast<int64_t>(static_cast<double>(ttl_ms) * factor);
  renewed->checked_at_ms = now_ms;
  if (keeper_ != nullptr && old.kv_backed) {
    keeper_->Renewed(old.use_id, now_ms, renewed->meta.expires_at_ms, factor);
  }
  return renewed;
}

int64_t Orchestrator::TtlMsOf(const Entity& entity, const TtlOptions& ttl) const {
  const int64_t ttl_ms = Millis(TtlFor(entity.meta.status, ttl));
  if (keeper_ == nullptr || !entity.kv_backed) return ttl_ms;
  return static_cast<int64_t>(static_cast<double>(ttl_ms) * keeper_->TtlFactor(entity.use_id));
}

Task<void> Orchestrator::TouchKv(EntityRef entity) {
  Context ctx;
  ctx.request_id = entity->key;
  if (!kv_) co_return;
  Result<bool> touched = co_await kv_->Touch(ctx, entity->key, entity->meta.body_hash,
                                             entity->meta.ToJson(), entity->meta.expires_at_ms);
  if (touched.ok()) {
    if (*touched) touched_.Add();
  } else {
    LogWarn("kv_touch_failed", {{"key", entity->key}, {"error", touched.error().ToLogString()}});
  }
}

Task<void> Orchestrator::Drop(std::string key) {
  edge_.Erase(key);
  if (!kv_) co_return;
  Context ctx;
  ctx.request_id = key;
  Result<bool> erased = co_await kv_->Erase(ctx, key);
  if (!erased.ok()) {
    LogWarn("kv_erase_failed", {{"key", key}, {"error", erased.error().ToLogString()}});
  } else if (keeper_ != nullptr) {
    const std::vector<std::string> keys{key};
    keeper_->Erased(keys);
  }
}

void Orchestrator::RememberFailure(const Query& query, const ProductionRef& production,
                                   const Error& error) {
  if (!query.write_edge || !render_failure_) return;
  const std::optional<FailureForm> form = render_failure_(error);
  if (!form) return;
  const auto ttl = TtlFor(form->status, query.ttl);
  if (ttl.count() <= 0) return;
  auto entity = std::make_shared<Entity>();
  entity->key = query.key;
  Metadata& meta = entity->meta;
  meta.status = form->status;
  meta.content_type = form->content_type;
  meta.content_length = form->body.size();
  meta.source_path = query.source;
  meta.origin = query.origin;
  meta.cache_tags = query.tags;
  meta.plan_digest = query.digest;
  meta.created_at_ms = NowMs();
  meta.expires_at_ms = meta.created_at_ms + Millis(ttl);
  entity->memory = std::make_shared<const std::string>(form->body);
  entity->location = form->location;
  entity->reason = form->reason;
  entity->head = std::make_shared<const std::string>(render_head_(*entity));
  // What was asked before a purge says nothing about afterwards.
  if (!production->BeginKeeping()) return purge_discarded_.Add();
  negative_.Insert(std::move(entity));
  production->EndKeeping();
  negative_stored_.Add();
}

Task<void> Orchestrator::Make(Context ctx, Query query, Settler& settler,
                              std::shared_ptr<Producer> producer) {
  const auto ttl = query.ttl.ok;
  NoteMiss(query);
  const bool wants_store = query.write_kv && kv_ && ttl.count() > 0;
  std::unique_ptr<kv::NewBody> body;
  SharedFd file;
  if (wants_store) {
    Result<std::unique_ptr<kv::NewBody>> created = co_await kv_->Create(ctx, query.expected_bytes);
    if (created.ok()) {
      body = std::move(*created);
      file = body->file();
    } else {
      // A store that is full or broken costs a counter and a line, not the answer.
      (NoteNoRoom(created.error()) ? store_skipped_ : store_failed_).Add();
      LogWarn("kv_create_failed", {{"key", query.key}, {"error", created.error().ToLogString()}});
    }
  }
  if (!file) {
    auto make_file = [this] { return staging_.NewFile(); };
    Result<SharedFd> staged = co_await blocking_.Run(io::Lane::kWrite, std::move(make_file));
    if (!staged.ok()) {
      LogError("staging_failed", {{"key", query.key}, {"error", staged.error().ToLogString()}});
      settler.Fail(
          Error(Code::kResourceExhausted, "no room to make this variant now", staged.error().detail)
              .WithReason("OVERLOADED"));
      co_return;
    }
    file = *staged;
  }

  productions_.Add();
  const ProductionRef production = settler.production();
  Result<Metadata> made = co_await producer->Produce(ctx, production, file);
  Result<EntityRef> entity = Error(Code::kInternal, "internal error");
  if (made.ok()) {
    entity = co_await Complete(query, std::move(*made), file, body != nullptr);
  } else {
    entity = std::move(made).error();
  }
  if (!entity.ok()) {
    RememberFailure(query, production, entity.error());
    settler.Fail(std::move(entity).error());
    co_return;
  }
  Outcome outcome;
  outcome.entity = *entity;
  const EntityRef whole = outcome.entity;
  const bool is_kept = production->BeginKeeping();
  if (!is_kept) {
    if (production->Look().phase != Production::Phase::kFailed) purge_discarded_.Add();
    // Those who wait get it, those who come for it later would not find it.
    production->job()->Fail(
        std::make_shared<const Error>(Code::kCancelled, "purged while it was made"));
    settler.Finish(std::move(outcome));
    co_return;
  }
  struct EndKeeping {
    ProductionRef production;
    ~EndKeeping() { production->EndKeeping(); }
  } end_keeping{production};
  negative_.Erase(query.key);
  if (query.write_edge && ttl.count() > 0) edge_.Insert(whole);
  settler.Finish(std::move(outcome));
  bool is_stored = false;
  if (body) is_stored = co_await Commit(query.key, whole, std::move(body));
  if (!is_stored && production->is_held() && !edge_.Find(query.key)) {
    Error lost(Code::kResourceExhausted, "the variant was made and could not be kept");
    production->job()->Fail(
        std::make_shared<const Error>(std::move(lost).WithReason("OVERLOADED")));
  }
}

Task<bool> Orchestrator::Commit(std::string key, EntityRef whole,
                                std::unique_ptr<kv::NewBody> body) {
  if (storing_.fetch_add(1) >= options_.max_background_stores) {
    storing_.fetch_sub(1);
    store_skipped_.Add();
    LogWarn("kv_store_skipped", {{"key", key}, {"reason", "too many stores under way"}});
    NotStored(whole);
    co_return false;
  }
  stores_under_way_.Add(1);
  kv::Record record;
  record.metadata = whole->meta.ToJson();
  record.tags = whole->meta.cache_tags;
  record.source = whole->meta.source_path;
  record.created_ms = whole->meta.created_at_ms;
  record.expires_ms = whole->meta.expires_at_ms;
  record.digest = whole->meta.plan_digest;
  record.body_size = whole->meta.content_length;
  record.body_hash = whole->meta.body_hash;
  Context ctx;
  ctx.request_id = key;
  std::optional<KvKeeper::Room> room;
  Result<void> stored;
  if (keeper_ != nullptr) {
    KvKeeper::Candidate candidate;
    candidate.id = whole->use_id;
    candidate.bytes = record.body_size + record.metadata.size();
    candidate.cost_seconds = whole->meta.encode_seconds;
    candidate.origin = whole->meta.origin;
    std::optional<KvKeeper::Room> made = co_await keeper_->MakeRoom(std::move(candidate));
    if (made) room.emplace(std::move(*made));
  }
  if (keeper_ == nullptr || room) {
    kv::Record copy = record;
    stored = co_await kv_->Commit(ctx, key, std::move(copy), std::move(body));
  } else {
    stored = Error(Code::kResourceExhausted, "the store has no room for it");
  }
  storing_.fetch_sub(1);
  stores_under_way_.Add(-1);
  if (stored.ok()) {
    stored_.Add();
    if (room) {
      keeper_->Stored(std::move(*room), key, record, whole->meta.encode_seconds,
                      whole->meta.origin);
    }
  } else {
    const bool is_skipped = NoteNoRoom(stored.error());
    (is_skipped ? store_skipped_ : store_failed_).Add();
    if (room || keeper_ == nullptr) {
      LogWarn("kv_store_failed", {{"key", key}, {"error", stored.error().ToLogString()}});
    } else {
      LogDebug("kv_not_admitted", {{"key", key}});
    }
    // What it was to replace must not be found any more: its source has changed.
    if (keeper_ != nullptr && keeper_->Look(key)) {
      Result<bool> erased = co_await kv_->Erase(ctx, key);
      const std::vector<std::string> keys{key};
      if (erased.ok()) keeper_->Erased(keys);
    }
    NotStored(whole);
  }
  co_return stored.ok();
}

bool Orchestrator::NoteNoRoom(const Error& error) {
  if (error.code != Code::kResourceExhausted) return false;
  if (keeper_ != nullptr) {
    error.reason == kv::kDiskFullReason ? keeper_->NoteDiskFull() : keeper_->NoteFull();
  }
  return true;
}

void Orchestrator::Evicted(const std::string& key, bool for_good) {
  const EntityRef copy = edge_.Look(key);
  if (!copy || !copy->kv_backed) return;
  if (for_good) {
    edge_.Erase(key, copy);
  } else {
    NotStored(copy);
  }
}

void Orchestrator::NotStored(const EntityRef& whole) {
  std::shared_ptr<Entity> copy = CopyOf(*whole);
  copy->kv_backed = false;
  edge_.Replace(whole, std::move(copy));
}

Task<void> Orchestrator::RunCheck(EntityRef entity, Query query,
                                  std::shared_ptr<Producer> producer) {
  Context ctx;
  ctx.deadline = std::chrono::steady_clock::now() + options_.production_timeout;
  ctx.request_id = query.key;
  Result<bool> unchanged = co_await producer->IsUnchanged(ctx, entity->meta);
  if (!unchanged.ok() && unchanged.error().code != Code::kNotFound) {
    LogDebug("source_check_failed",
             {{"key", query.key}, {"error", unchanged.error().ToLogString()}});
    co_return;  // the entry is fresh by its TTL; the next interval asks again
  }
  if (unchanged.ok() && *unchanged) {
    const int64_t now_ms = NowMs();
    const int64_t ttl_ms = TtlMsOf(*entity, query.ttl);
    const int64_t elapsed_ms = ttl_ms - (entity->meta.expires_at_ms - now_ms);
    if (elapsed_ms * 100 < ttl_ms * query.freshness.refresh_after_percent) co_return;
    const EntityRef renewed = Renewed(*entity, query.ttl);
    if (!edge_.Replace(entity, renewed)) co_return;  // purged or replaced meanwhile
    if (renewed->kv_backed && query.write_kv) co_await TouchKv(renewed);
    co_return;
  }
  changed_.Add();
  if (!unchanged.ok()) {
    co_await Drop(query.key);
    co_return;
  }
  // Made again behind the readers of the old one; those who come meanwhile still hit that.
  query.read_edge = false;
  query.read_kv = false;
  const io::Executor executor = co_await boost::asio::this_coro::executor;
  RefreshBehind(executor, query, producer);
}

}  // namespace vr::cache
