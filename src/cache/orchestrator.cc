#include "cache/orchestrator.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>

#include "cache/ttl.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

/// Same key and same plan: only those may share a production. Bypass of the KV flies apart.
std::string FlightOf(const Query& query) {
  std::string flight = query.key;
  flight += '\0';
  flight += query.digest.ToHex();
  flight += query.write_kv ? 'k' : '-';
  return flight;
}

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

}  // namespace

std::string_view ToString(Layer layer) {
  switch (layer) {
    case Layer::kEdge:
      return "edge";
    case Layer::kKv:
      return "kv";
    case Layer::kJoined:
      return "joined";
    case Layer::kTransform:
      return "transform";
    case Layer::kBypass:
      return "bypass";
  }
  return "transform";
}

Orchestrator::Orchestrator(Options options, kv::KvStore* kv, Staging& staging,
                           io::Blocking& blocking, const Clock& clock, Metrics& metrics,
                           HeadRenderer render_head)
    : options_(options),
      kv_(options.enable_kv ? kv : nullptr),
      staging_(staging),
      blocking_(blocking),
      clock_(clock),
      render_head_(std::move(render_head)),
      stored_(metrics.GetCounter("video_resizer_kv_stores_total", "Attempts to store a variant",
                                 {{"result", "stored"}})),
      store_failed_(metrics.GetCounter("video_resizer_kv_stores_total",
                                       "Attempts to store a variant", {{"result", "failed"}})),
      store_skipped_(metrics.GetCounter("video_resizer_kv_stores_total",
                                        "Attempts to store a variant", {{"result", "skipped"}})),
      kv_read_failed_(metrics.GetCounter("video_resizer_kv_read_errors_total",
                                         "KV reads that failed; the request went on")),
      kv_corrupt_(metrics.GetCounter("video_resizer_kv_unreadable_total",
                                     "KV records whose metadata could not be read")),
      productions_(
          metrics.GetCounter("video_resizer_productions_total", "Variants that had to be made")),
      joins_(metrics.GetCounter("video_resizer_joins_total",
                                "Requests that joined a production already under way")),
      edge_(options.edge) {
  auto edge_bytes = metrics.GetGauge("video_resizer_edge_bytes", "Memory of edge entries");
  auto edge_entries = metrics.GetGauge("video_resizer_edge_entries", "Entries in the edge");
  auto edge_evictions =
      metrics.GetGauge("video_resizer_edge_evictions", "Entries evicted from the edge since start");
  auto flights_gauge = metrics.GetGauge("video_resizer_productions_in_flight",
                                        "Productions, including those being stored");
  metrics.OnRender([this, edge_bytes, edge_entries, edge_evictions, flights_gauge]() mutable {
    edge_bytes.Set(static_cast<double>(edge_.bytes()));
    edge_entries.Set(static_cast<double>(edge_.entries()));
    edge_evictions.Set(static_cast<double>(edge_.evictions()));
    flights_gauge.Set(static_cast<double>(flights()));
  });
}

Orchestrator::~Orchestrator() = default;

size_t Orchestrator::flights() const {
  MutexLock lock(mutex_);
  return flights_.size();
}

EntityRef Orchestrator::LookupEdge(std::string_view key, const Hash128& digest) {
  if (!edge_.enabled()) return nullptr;
  EntityRef found = edge_.Find(key);
  if (!found) return nullptr;
  if (found->meta.plan_digest != digest) return nullptr;
  if (!found->is_fresh(ToUnixMillis(clock_.Now()))) return nullptr;
  return found;
}

ProductionRef Orchestrator::InFlight(const std::string& key, const Hash128& digest) {
  Query query;
  query.key = key;
  query.digest = digest;
  const std::string flight = FlightOf(query);
  MutexLock lock(mutex_);
  const auto found = flights_.find(flight);
  return found == flights_.end() ? nullptr : found->second;
}

Task<Result<Answer>> Orchestrator::Fetch(Context ctx, Query query,
                                         std::shared_ptr<Producer> producer) {
  if (query.read_edge) {
    if (EntityRef hit = LookupEdge(query.key, query.digest))
      co_return Answer{std::move(hit), nullptr, Layer::kEdge};
  }
  const io::Executor executor = co_await boost::asio::this_coro::executor;
  const std::string flight = FlightOf(query);
  ProductionRef production;
  bool leads = true;
  if (query.join) {
    MutexLock lock(mutex_);
    ProductionRef& slot = flights_[flight];
    leads = slot == nullptr;
    if (leads) slot = std::make_shared<Production>();
    production = slot;
  } else {
    production = std::make_shared<Production>();
  }
  if (leads) {
    const std::string registered = query.join ? flight : std::string();
    auto run = [this, query, production, producer, registered]() -> Task<void> {
      return RunProduction(query, production, producer, registered);
    };
    if (!group_.Spawn(executor, run)) {
      LeaveFlight(registered, production);
      Error closing =
          Error(Code::kUnavailable, "the server is shutting down").WithReason("OVERLOADED");
      production->Fail(closing);
      co_return closing;
    }
  } else {
    joins_.Add();
  }

  const SteadyTime range_deadline = std::chrono::steady_clock::now() + options_.cold_range_wait;
  for (;;) {
    const uint64_t ticket = production->ticket();
    const Production::View view = production->Look();
    const bool is_bypass = !query.join;
    const Layer layer = is_bypass                   ? Layer::kBypass
                        : production->found_in_kv() ? Layer::kKv
                        : leads                     ? Layer::kTransform
                                                    : Layer::kJoined;
    if (view.phase == Production::Phase::kDone)
      co_return Answer{production->entity(), nullptr, layer};
    if (view.phase == Production::Phase::kFailed) co_return Error(*production->error());
    if (view.phase == Production::Phase::kStreaming && !query.needs_whole) {
      co_return Answer{nullptr, production, layer};
    }
    SteadyTime deadline = ctx.deadline;
    if (query.needs_whole) deadline = std::min(deadline, range_deadline);
    const bool changed = co_await production->WaitChange(ticket, deadline);
    if (!changed) {
      if (query.needs_whole && deadline == range_deadline) {
        co_return Error(Code::kResourceExhausted,
                        "this part of the variant is still being made; try again shortly")
            .WithReason("OVERLOADED");
      }
      co_return Error(Code::kDeadlineExceeded, "the variant was not ready in time")
          .WithReason("TRANSFORM_TIMEOUT");
    }
  }
}

void Orchestrator::LeaveFlight(const std::string& flight, const ProductionRef& production) {
  if (flight.empty()) return;
  MutexLock lock(mutex_);
  const auto found = flights_.find(flight);
  if (found != flights_.end() && found->second == production) flights_.erase(found);
}

Task<EntityRef> Orchestrator::EntityFromKv(std::string key, kv::Found found, Metadata meta) {
  auto entity = std::make_shared<Entity>();
  entity->key = std::move(key);
  entity->meta = std::move(meta);
  entity->meta.content_length = found.body.size;
  entity->kv_backed = true;
  entity->memory = found.body.memory;
  entity->file = found.body.file;
  if (!entity->memory && found.body.size <= options_.edge.max_object_in_memory && edge_.enabled()) {
    const SharedFd file = found.body.file;
    const uint64_t keep = options_.edge.max_object_in_memory;
    auto load = [file, keep] { return Measure(file->get(), keep); };
    Result<Measured> measured = co_await blocking_.Run(io::Lane::kRead, std::move(load));
    if (measured.ok() && measured->memory) {
      entity->memory = measured->memory;
      entity->file = nullptr;
    }
  }
  entity->head = std::make_shared<const std::string>(render_head_(*entity));
  EntityRef published = std::move(entity);
  co_return published;
}

Task<EntityRef> Orchestrator::LookupKv(Context ctx, std::string key, Hash128 digest) {
  if (!kv_) co_return nullptr;
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
  const int64_t now_ms = ToUnixMillis(clock_.Now());
  meta->expires_at_ms = held.record.expires_ms;
  if (meta->plan_digest != digest) co_return nullptr;
  if (meta->expires_at_ms != 0 && meta->expires_at_ms <= now_ms) co_return nullptr;
  co_return co_await EntityFromKv(std::move(key), std::move(held), std::move(*meta));
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

  // Whatever happens below, nobody may be left waiting.
  struct FailIfLeft {
    Orchestrator* self;
    std::string flight;
    ProductionRef production;
    bool settled = false;
    ~FailIfLeft() {
      self->LeaveFlight(flight, production);
      if (!settled)
        production->Fail(Error(Code::kInternal, "internal error", "production task was dropped"));
    }
  } guard{this, flight, production};

  if (query.read_kv) {
    EntityRef found = co_await LookupKv(ctx, query.key, query.digest);
    if (found) {
      if (query.write_edge) edge_.Insert(found);
      production->Finish(std::move(found), /*found_in_kv=*/true);
      guard.settled = true;
      co_return;
    }
  }

  const auto ttl = query.ttl.ok;
  const bool wants_store = query.write_kv && kv_ && ttl.count() > 0;
  std::unique_ptr<kv::NewBody> body;
  SharedFd file;
  if (wants_store) {
    Result<std::unique_ptr<kv::NewBody>> created = co_await kv_->Create(ctx, 0);
    if (created.ok()) {
      body = std::move(*created);
      file = body->file();
    } else {
      // A store that is full or broken costs a counter and a line, not the answer.
      (created.error().code == Code::kResourceExhausted ? store_skipped_ : store_failed_).Add();
      LogWarn("kv_create_failed", {{"key", query.key}, {"error", created.error().ToLogString()}});
    }
  }
  if (!file) {
    auto make_file = [this] { return staging_.NewFile(); };
    Result<SharedFd> staged = co_await blocking_.Run(io::Lane::kWrite, std::move(make_file));
    if (!staged.ok()) {
      Error failure = std::move(staged).error().In("staging");
      LogError("staging_failed", {{"key", query.key}, {"error", failure.ToLogString()}});
      LeaveFlight(flight, production);
      production->Fail(
          Error(Code::kResourceExhausted, "no room to make this variant now", failure.detail)
              .WithReason("OVERLOADED"));
      guard.settled = true;
      co_return;
    }
    file = *staged;
  }

  productions_.Add();
  Result<Metadata> made = co_await producer->Produce(ctx, production, file);
  Result<EntityRef> entity = Error(Code::kInternal, "internal error");
  if (made.ok()) {
    entity = co_await Complete(query, std::move(*made), file, body != nullptr);
  } else {
    entity = std::move(made).error();
  }
  if (!entity.ok()) {
    // Out of the map first: whoever asks after seeing this failure starts afresh.
    LeaveFlight(flight, production);
    production->Fail(std::move(entity).error());
    guard.settled = true;
    co_return;
  }
  const EntityRef whole = *entity;
  if (query.write_edge && ttl.count() > 0) edge_.Insert(whole);
  production->Finish(whole, /*found_in_kv=*/false);
  guard.settled = true;

  if (!body) co_return;
  if (storing_.fetch_add(1) >= options_.max_background_stores) {
    storing_.fetch_sub(1);
    store_skipped_.Add();
    LogWarn("kv_store_skipped", {{"key", query.key}, {"reason", "too many stores under way"}});
    co_return;
  }
  kv::Record record;
  record.metadata = whole->meta.ToJson();
  record.tags = whole->meta.cache_tags;
  record.source = whole->meta.source_path;
  record.created_ms = whole->meta.created_at_ms;
  record.expires_ms = whole->meta.expires_at_ms;
  record.digest = whole->meta.plan_digest;
  record.body_size = whole->meta.content_length;
  record.body_hash = whole->meta.body_hash;
  Context store_ctx;
  store_ctx.request_id = query.key;
  Result<void> stored =
      co_await kv_->Commit(store_ctx, query.key, std::move(record), std::move(body));
  storing_.fetch_sub(1);
  if (stored.ok()) {
    stored_.Add();
  } else {
    (stored.error().code == Code::kResourceExhausted ? store_skipped_ : store_failed_).Add();
    LogWarn("kv_store_failed", {{"key", query.key}, {"error", stored.error().ToLogString()}});
  }
}

Task<Explanation> Orchestrator::Explain(Context ctx, std::string key, Hash128 digest) {
  Explanation out;
  const int64_t now_ms = ToUnixMillis(clock_.Now());
  const auto fill = [&](Explanation::Held& held, const Metadata& meta) {
    held.present = true;
    held.created_at_ms = meta.created_at_ms;
    held.expires_at_ms = meta.expires_at_ms;
    held.fresh = meta.expires_at_ms == 0 || now_ms < meta.expires_at_ms;
    held.same_plan = meta.plan_digest == digest;
    held.bytes = meta.content_length;
  };
  out.edge.asked = edge_.enabled();
  if (const EntityRef entity = edge_.Find(key)) fill(out.edge, entity->meta);
  out.in_production = InFlight(key, digest) != nullptr;
  out.kv.asked = kv_ != nullptr;
  if (kv_) {
    Result<std::optional<kv::Found>> found = co_await kv_->Get(ctx, key);
    if (found.ok() && *found) {
      Result<Metadata> meta = Metadata::FromJson((*found)->record.metadata);
      if (meta.ok()) {
        meta->expires_at_ms = (*found)->record.expires_ms;
        fill(out.kv, *meta);
      }
    }
  }
  co_return out;
}

bool Orchestrator::Drain(SteadyTime deadline) {
  group_.Close();
  return group_.WaitEmpty(deadline);
}

}  // namespace vr::cache
