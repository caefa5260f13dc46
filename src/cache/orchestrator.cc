#include "cache/orchestrator.h"

#include <boost/asio/this_coro.hpp>

#include "cache/ttl.h"

namespace vr::cache {

namespace {

/// How often a caller tries for itself after it joined what was not admitted.
constexpr int kMaxRefusedLeaders = 8;

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

namespace {

EdgeOptions RecentReadsOf(const Options& options) {
  EdgeOptions recent = options.edge;
  recent.max_bytes = options.edge.max_bytes > 0 ? 0 : options.recent_reads_max_bytes;
  recent.max_open_files = options.recent_reads_max_files;
  return recent;
}

}  // namespace

Orchestrator::Orchestrator(Options options, kv::KvStore* kv, Staging& staging,
                           io::Blocking& blocking, const Clock& clock, Metrics& metrics,
                           HeadRenderer render_head, FailureRenderer render_failure)
    : options_(options),
      kv_(options.enable_kv ? kv : nullptr),
      staging_(staging),
      blocking_(blocking),
      clock_(clock),
      render_head_(std::move(render_head)),
      render_failure_(std::move(render_failure)),
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
      stale_(metrics.GetCounter("video_resizer_stale_total", "Answers served after their TTL")),
      revalidated_(metrics.GetCounter("video_resizer_revalidated_total",
                                      "Expired entries whose source proved unchanged")),
      touched_(metrics.GetCounter("video_resizer_kv_touches_total", "TTLs renewed in the KV")),
      checks_(metrics.GetCounter("video_resizer_source_checks_total",
                                 "Entries in use compared with their source")),
      changed_(metrics.GetCounter("video_resizer_source_changes_total",
                                  "Entries in use whose source had changed or gone")),
      negative_stored_(metrics.GetCounter("video_resizer_negative_stored_total",
                                          "Failures remembered for a short time")),
      purged_(metrics.GetCounter("video_resizer_purged_total", "Entries purged from the KV")),
      purge_discarded_(metrics.GetCounter("video_resizer_purge_discarded_total",
                                          "Results not kept because a purge came meanwhile")),
      abandoned_(metrics.GetCounter("video_resizer_abandoned_total",
                                    "Productions given up because nobody waited any more")),
      stores_under_way_(metrics.GetGauge("video_resizer_kv_stores_under_way",
                                         "Variants being stored in the background")),
      edge_(options.edge),
      jobs_(options.jobs, clock),
      recent_reads_(std::make_shared<Edge>(RecentReadsOf(options))),
      negative_(EdgeOptions{options.negative_max_bytes, options.edge.max_object_in_memory, 0}) {
  if (kv_ && recent_reads_->enabled()) {
    // What has left the store must not keep its file.
    kv_->OnChange([recent = recent_reads_](std::string_view key) { recent->Erase(key); });
  }
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

void Orchestrator::UseKeeper(KvKeeper& keeper) {
  if (kv_ == nullptr) return;
  keeper_ = &keeper;
  KvKeeper::Hooks hooks;
  hooks.evicted = [this](const std::string& key, bool for_good) { Evicted(key, for_good); };
  hooks.purge = [this](PurgeRule rule, int64_t made_until_ms) {
    return PurgeByRule(std::move(rule), made_until_ms);
  };
  keeper.SetHooks(std::move(hooks));
}

void Orchestrator::NoteMiss(const Query& query) {
  if (keeper_ != nullptr && query.write_kv) keeper_->NoteMiss(Hash64Of(query.key), NowMs());
}

size_t Orchestrator::flights() const {
  MutexLock lock(mutex_);
  return flights_.size();
}

EntityRef Orchestrator::LookupEdge(std::string_view key, const Hash128& digest) {
  return LookupEdge(key, digest, NowMs());
}

EntityRef Orchestrator::LookupEdge(std::string_view key, const Hash128& digest, int64_t now_ms) {
  for (Edge* edge : {&edge_, &negative_}) {
    if (!edge->enabled()) continue;
    EntityRef found = edge->Find(key);
    if (found && found->meta.plan_digest == digest && found->is_fresh(now_ms)) {
      NoteUse(*found, now_ms);
      return found;
    }
  }
  return nullptr;
}

EntityRef Orchestrator::LookupRecentRead(std::string_view key, const Hash128& digest) {
  return LookupRecentRead(key, digest, NowMs());
}

EntityRef Orchestrator::LookupRecentRead(std::string_view key, const Hash128& digest,
                                         int64_t now_ms) {
  if (!kv_ || !recent_reads_->enabled()) return nullptr;
  EntityRef found = recent_reads_->Find(key);
  if (!found || found->meta.plan_digest != digest || !found->is_fresh(now_ms)) return nullptr;
  // The store is asked each time: what is purged there is gone here with it.
  if (kv_->Version(key) != found->kv_version) return nullptr;
  NoteUse(*found, now_ms);
  return found;
}

ProductionRef Orchestrator::InFlight(const std::string& key, const Hash128& digest) {
  Query query;
  query.key = key;
  query.digest = digest;
  const std::string flight = FlightOf(query);
  MutexLock lock(mutex_);
  const auto found = flights_.find(flight);
  return found == flights_.end() ? nullptr : found->second.production;
}

std::string Orchestrator::FlightOf(const Query& query) {
  std::string flight = query.key;
  flight += '\0';
  flight += query.digest.ToHex();
  flight += query.write_kv ? 'k' : '-';
  return flight;
}

std::string Orchestrator::ApartFlightOf(const Query& query) {
  return FlightOf(query) + '#' + std::to_string(apart_.fetch_add(1));
}

ProductionRef Orchestrator::JoinOrLead(const Query& query, const std::string& flight, bool* leads) {
  MutexLock lock(mutex_);
  return FlightLocked(query, flight, leads);
}

ProductionRef Orchestrator::FlightLocked(const Query& query, const std::string& flight,
                                         bool* leads) {
  const auto [slot, is_new] = flights_.try_emplace(flight);
  *leads = is_new;
  if (is_new) slot->second = Flight{std::make_shared<Production>(), query};
  return slot->second.production;
}

bool Orchestrator::Launch(io::Executor executor, const Query& query,
                          const ProductionRef& production,
                          const std::shared_ptr<Producer>& producer, const std::string& flight) {
  auto run = [this, query, production, producer, flight]() -> Task<void> {
    return RunProduction(query, production, producer, flight);
  };
  if (group_.Spawn(executor, run)) return true;
  LeaveFlight(flight, production);
  production->Fail(
      Error(Code::kUnavailable, "the server is shutting down").WithReason("OVERLOADED"));
  return false;
}

void Orchestrator::RefreshBehind(io::Executor executor, const Query& query,
                                 const std::shared_ptr<Producer>& producer) {
  const std::string flight = FlightOf(query);
  bool leads = false;
  const ProductionRef production = JoinOrLead(query, flight, &leads);
  if (leads) Launch(executor, query, production, producer, flight);
}

Task<Result<Answer>> Orchestrator::Fetch(Context ctx, Query query,
                                         std::shared_ptr<Producer> producer) {
  const io::Executor executor = co_await boost::asio::this_coro::executor;
  if (query.read_edge) {
    if (EntityRef hit = LookupEdge(query.key, query.digest)) {
      co_return Answer{std::move(hit), nullptr, Layer::kEdge};
    }
    // Stale, but young enough to be served while it is refreshed behind (RFC 5861 §3), or its
    // origin has only just failed (§4).
    EntityRef stale = edge_.Find(query.key);
    if (stale && stale->meta.plan_digest == query.digest) {
      const int64_t now_ms = NowMs();
      const bool is_young =
          now_ms - stale->meta.expires_at_ms <
          std::chrono::milliseconds(query.freshness.stale_while_revalidate).count();
      const bool has_just_failed = now_ms < stale->stale_ok_until_ms;
      if (is_young && !has_just_failed) RefreshBehind(executor, query, producer);
      if (is_young || has_just_failed) {
        stale_.Add();
        NoteUse(*stale, now_ms);
        co_return Answer{std::move(stale), nullptr, Layer::kEdge, Freshness::kStale};
      }
    }
  }
  const std::string flight = query.join ? FlightOf(query) : ApartFlightOf(query);
  if (const auto told = jobs_.FailureOf(flight)) co_return Error(*told);
  bool leads = false;
  const ProductionRef production = JoinOrLeadWaiting(query, flight, &leads);
  const auto waiter = std::make_shared<const Waiter>(production);
  // Made already, on its way into the KV: that is a hit of what the KV is about to hold (read your
  // own write), not one more request that waited.
  const bool is_made =
      !leads && query.read_kv && production->Look().phase == Production::Phase::kDone;
  if (!leads) {
    if (!is_made) joins_.Add();
  } else if (Launch(executor, query, production, producer, flight)) {
    WatchWaiters(executor, production, flight);
  }

  const SteadyTime begun = std::chrono::steady_clock::now();
  const SteadyTime range_deadline = begun + options_.cold_range_wait;
  for (;;) {
    const uint64_t ticket = production->ticket();
    const Production::View view = production->Look();
    const Layer made = !query.join ? Layer::kBypass : leads ? Layer::kTransform : Layer::kJoined;
    if (view.phase == Production::Phase::kDone) {
      Outcome outcome = production->outcome();
      Layer layer = outcome.from == Outcome::From::kEdge ? Layer::kEdge
                    : outcome.from == Outcome::From::kKv ? Layer::kKv
                                                         : made;
      if (is_made && layer == Layer::kJoined && outcome.entity->kv_backed) layer = Layer::kKv;
      if (outcome.freshness == Freshness::kStale) stale_.Add();
      if (outcome.from != Outcome::From::kMade || layer == Layer::kKv) {
        NoteUse(*outcome.entity, NowMs());
      } else if (!leads) {
        NoteMiss(query);
      }
      co_return Answer{std::move(outcome.entity), nullptr, layer, outcome.freshness};
    }
    if (view.phase == Production::Phase::kFailed) {
      // What its leader was refused is not held against us.
      if (leads || !production->is_refused() || query.refused_leaders >= kMaxRefusedLeaders) {
        co_return Error(*production->error());
      }
      ++query.refused_leaders;
      Result<Answer> again = co_await Fetch(std::move(ctx), std::move(query), std::move(producer));
      co_return again;
    }
    SteadyTime look_again = SteadyTime::max();
    if (IsTooLong(*production, view, query.patience, begun, look_again)) {
      production->Hold();
      Answer told;
      told.job = production->job();
      told.layer = made;
      co_return told;
    }
    const bool takes_any = query.growing == Growing::kAny;
    if (view.phase == Production::Phase::kStreaming &&
        (takes_any ||
         (query.growing == Growing::kStoredForm && production->head()->has_stored_form()))) {
      if (!leads) NoteMiss(query);
      co_return Answer{nullptr, production, made, Freshness::kFresh, waiter};
    }
    SteadyTime deadline = ctx.deadline;
    if (!takes_any) deadline = std::min(deadline, range_deadline);
    const SteadyTime wake = std::min(deadline, look_again);
    const bool changed = co_await production->WaitChange(ticket, wake);
    if (!changed && wake == deadline) {
      if (!takes_any && deadline == range_deadline) {
        co_return Error(Code::kResourceExhausted,
                        "this part of the variant is still being made; try again shortly")
            .WithReason("OVERLOADED");
      }
      co_return Error(Code::kDeadlineExceeded, "the variant was not ready in time")
          .WithReason("TRANSFORM_TIMEOUT");
    }
  }
}

bool Orchestrator::IsTooLong(const Production& production, const Production::View& view,
                             const Patience& patience, SteadyTime begun, SteadyTime& deadline) {
  const JobRef job = production.job();
  if (!job) return false;  // still being looked for
  const SteadyTime now = std::chrono::steady_clock::now();
  const auto is_over = [&](SteadyTime end) {
    if (now >= end) return true;
    deadline = std::min(deadline, end);
    return false;
  };
  if (patience.most && is_over(begun + *patience.most)) return true;
  if (patience.threshold.count() == 0) return false;
  if (std::chrono::duration<double>(production.estimated_seconds()) > patience.threshold) {
    return true;
  }
  // Waiting for a worker, or for a slow source, counts as well.
  return view.phase == Production::Phase::kWorking && is_over(job->begun() + patience.threshold);
}

void Orchestrator::LeaveFlight(const std::string& flight, const ProductionRef& production) {
  if (flight.empty()) return;
  MutexLock lock(mutex_);
  const auto found = flights_.find(flight);
  if (found != flights_.end() && found->second.production == production) flights_.erase(found);
}

bool Orchestrator::IsCheckDue(const Entity& entity, const FreshnessOptions& rules) const {
  return IsCheckDue(entity, rules, NowMs());
}

bool Orchestrator::IsCheckDue(const Entity& entity, const FreshnessOptions& rules,
                              int64_t now_ms) const {
  const int64_t interval = std::chrono::milliseconds(rules.source_check_interval).count();
  if (interval == 0 || entity.meta.source_validator.empty()) return false;
  int64_t last = entity.checked_at_ms.load(std::memory_order_relaxed);
  const int64_t since = last != 0 ? last : entity.meta.created_at_ms;
  if (now_ms - since < interval) return false;
  return entity.checked_at_ms.compare_exchange_strong(last, now_ms, std::memory_order_relaxed);
}

void Orchestrator::CheckSource(io::Executor executor, EntityRef entity, Query query,
                               std::shared_ptr<Producer> producer) {
  checks_.Add();
  auto check = [this, entity, query, producer]() -> Task<void> {
    return RunCheck(entity, query, producer);
  };
  group_.Spawn(executor, check);
}

Task<EntityRef> Orchestrator::Borrow(Context ctx, std::string key, Hash128 digest) {
  EntityRef held = edge_.Look(key);
  if (!held || held->meta.plan_digest != digest) {
    held = co_await ReadKv(std::move(ctx), std::move(key), digest);
  }
  if (!held || !held->is_fresh(NowMs()) || held->meta.status != http::kOk) co_return nullptr;
  co_return held;
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
  AbandonUnwanted();
  return group_.WaitEmpty(deadline);
}

}  // namespace vr::cache
