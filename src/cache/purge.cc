#include "cache/purge.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <limits>

#include "cache/orchestrator.h"
#include "cache/purge_journal.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

constexpr size_t kPage = 1000;

bool HasTag(const std::vector<std::string>& tags, const std::string& tag) {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

/// The listing that holds every entry of the scope, and perhaps others.
Task<Result<kv::Page>> ListScope(kv::KvStore& kv, Context ctx, const PurgeScope& scope,
                                 std::string cursor) {
  if (scope.tag) return kv.ListByTag(std::move(ctx), *scope.tag, std::move(cursor), kPage);
  if (scope.source) return kv.ListBySource(std::move(ctx), *scope.source, std::move(cursor), kPage);
  // A key is the first of those that begin with it.
  if (scope.key) return kv.ListByPrefix(std::move(ctx), *scope.key, std::move(cursor), 1);
  return kv.ListByPrefix(std::move(ctx), scope.prefix.value_or(""), std::move(cursor), kPage);
}

const char* NameOf(PurgeMode mode) {
  switch (mode) {
    case PurgeMode::kHard:
      return "hard";
    case PurgeMode::kSoft:
      return "soft";
    case PurgeMode::kDryRun:
      return "dry-run";
  }
  return "hard";
}

void LogPurge(PurgeMode mode, const PurgeReport& report) {
  LogInfo("purge", {{"mode", NameOf(mode)},
                    {"kv_entries", report.kv_entries},
                    {"edge_entries", report.edge_entries},
                    {"productions", report.productions}});
}

}  // namespace

bool PurgeScope::is_valid() const {
  const int set = (key ? 1 : 0) + (tag ? 1 : 0) + (source ? 1 : 0) + (prefix ? 1 : 0) +
                  (origin ? 1 : 0) + (created_before_ms ? 1 : 0) + (everything ? 1 : 0);
  return set == 1;
}

bool PurgeScope::Matches(std::string_view entry_key, const Metadata& meta) const {
  if (key) return entry_key == *key;
  if (tag) return HasTag(meta.cache_tags, *tag);
  if (source) return meta.source_path == *source;
  if (prefix) return entry_key.starts_with(*prefix);
  if (origin) return meta.origin == *origin;
  if (created_before_ms) return meta.created_at_ms < *created_before_ms;
  return everything;
}

bool PurgeScope::Matches(const kv::Listed& row) const {
  if (key) return row.key == *key;
  if (prefix) return row.key.starts_with(*prefix);
  if (everything) return true;
  if (tag) return !row.is_readable || HasTag(row.record.tags, *tag);
  if (source) return !row.is_readable || row.record.source == *source;
  if (created_before_ms) return row.is_readable && row.record.created_ms < *created_before_ms;
  // Only the metadata knows its origin.
  Result<Metadata> meta = Metadata::FromJson(row.record.metadata);
  return !meta.ok() || meta->origin == origin;
}

std::shared_ptr<Entity> Orchestrator::StaleCopyOf(const Entity& entity) const {
  std::shared_ptr<Entity> copy = CopyOf(entity);
  const int64_t now_ms = NowMs();
  if (copy->meta.expires_at_ms == 0 || copy->meta.expires_at_ms > now_ms) {
    copy->meta.expires_at_ms = now_ms;
  }
  return copy;
}

uint64_t Orchestrator::PurgeMemory(const PurgeScope& scope, PurgeMode mode) {
  std::vector<std::shared_ptr<Entity>> staled;
  const auto takes = [&](const Entity& entity) {
    if (!scope.Matches(entity.key, entity.meta)) return false;
    // What the KV holds comes back from there, stale. What it does not would be gone.
    if (mode == PurgeMode::kSoft && !entity.kv_backed) staled.push_back(StaleCopyOf(entity));
    return true;
  };
  const auto matches = [&scope](const Entity& entity) {
    return scope.Matches(entity.key, entity.meta);
  };
  uint64_t hit = edge_.EraseIf(takes) + negative_.EraseIf(matches);
  jobs_.ForgetFailures();
  for (std::shared_ptr<Entity>& entity : staled) {
    if (!edge_.Find(entity->key)) edge_.Insert(std::move(entity));
  }
  for (PurgeTarget* target : purge_targets_) hit += target->Purge(scope, mode, NowMs());
  return hit;
}

Task<Result<PurgeReport>> Orchestrator::Purge(Context ctx, PurgeScope scope, PurgeMode mode) {
  if (!scope.is_valid()) {
    co_return Error(
        Code::kInvalidArgument,
        "a purge names exactly one of key, tag, source, prefix, origin, createdBefore, everything");
  }
  if (mode == PurgeMode::kDryRun) co_return co_await CountPurge(std::move(ctx), std::move(scope));
  // Once begun it goes on to its end, whether or not somebody waits for it: a client that leaves
  // must not leave half of a scope behind.
  const io::Executor executor = co_await boost::asio::this_coro::executor;
  auto shot = std::make_shared<io::OneShot<Result<PurgeReport>>>();
  auto run = [this, shot, ctx, scope, mode]() -> Task<void> {
    Result<PurgeReport> report = co_await RunPurge(ctx, scope, mode);
    shot->Set(std::move(report));
  };
  if (!group_.Spawn(executor, run)) {
    co_return Error(Code::kUnavailable, "the server is shutting down");
  }
  std::optional<Result<PurgeReport>> report = co_await shot->Wait(ctx.deadline);
  if (!report) {
    co_return Error(Code::kDeadlineExceeded, "the purge is still going on; ask again");
  }
  co_return std::move(*report);
}

Task<Result<PurgeReport>> Orchestrator::CountPurge(Context ctx, PurgeScope scope) {
  PurgeReport report;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, flight] : flights_) {
      const bool is_unkept = flight.production->keeping() == Production::Keeping::kNotYet;
      report.productions += is_unkept && IsInFlightOf(flight, scope);
    }
  }
  const auto matches = [&scope](const Entity& entity) {
    return scope.Matches(entity.key, entity.meta);
  };
  report.edge_entries = edge_.CountIf(matches) + negative_.CountIf(matches);
  for (PurgeTarget* target : purge_targets_) {
    report.edge_entries += target->Purge(scope, PurgeMode::kDryRun, NowMs());
  }
  PurgeIntent intent;
  intent.scope = std::move(scope);
  intent.mode = PurgeMode::kDryRun;
  intent.horizon_ms = std::numeric_limits<int64_t>::max();
  CO_TRY(report.kv_entries, co_await PurgeKv(std::move(ctx), std::move(intent)));
  LogPurge(PurgeMode::kDryRun, report);
  co_return report;
}

bool Orchestrator::IsInFlightOf(const Flight& flight, const PurgeScope& scope) const {
  Metadata like;
  like.cache_tags = flight.query.tags;
  like.source_path = flight.query.source;
  like.origin = flight.query.origin;
  like.created_at_ms = NowMs();
  return scope.Matches(flight.query.key, like);
}

Task<Result<uint64_t>> Orchestrator::PurgeFlights(Context ctx, PurgeScope scope, bool only_held) {
  uint64_t marked = 0;
  std::vector<ProductionRef> keeping;
  {
    MutexLock lock(mutex_);
    for (auto flight = flights_.begin(); flight != flights_.end();) {
      const ProductionRef& production = flight->second.production;
      if (!IsInFlightOf(flight->second, scope) || (only_held && production->is_making())) {
        ++flight;
        continue;
      }
      const Production::Keeping at = production->MarkPurged();
      // What is kept is found in edge and KV, and counted there.
      marked += at == Production::Keeping::kNotYet;
      if (at == Production::Keeping::kNow) keeping.push_back(production);
      // Whoever asks from now on starts afresh.
      flight = flights_.erase(flight);
    }
  }
  // What is being kept at this moment is in edge and KV soon; then it can be found and removed.
  for (const ProductionRef& production : keeping) {
    for (;;) {
      const uint64_t ticket = production->ticket();
      if (!production->is_keeping()) break;
      const bool changed = co_await production->WaitChange(ticket, ctx.deadline);
      if (!changed) {
        co_return Error(Code::kDeadlineExceeded,
                        "a store under way did not end in time; purge again");
      }
    }
  }
  co_return marked;
}

Task<Result<PurgeReport>> Orchestrator::RunPurge(Context ctx, PurgeScope scope, PurgeMode mode) {
  PurgeReport report;
  // Productions first: what finishes from now on is not stored.
  CO_TRY(report.productions, co_await PurgeFlights(ctx, scope, false));
  report.edge_entries = PurgeMemory(scope, mode);
  if (kv_) {
    PurgeIntent intent;
    intent.scope = scope;
    intent.mode = mode;
    // Everything that was there when we were asked was created by then, even if the clock has been
    // set back since.
    intent.horizon_ms = std::max(NowMs(), kv_->usage().newest_ms);
    CO_TRY(const uint64_t noted, co_await kv_->journal().Begin(ctx, EncodeIntent(intent)));
    CO_TRY(report.kv_entries, co_await PurgeKv(ctx, intent));
    // Productions that began meanwhile may have read what was still there, and be about to put it
    // into the edge.
    CO_TRY([[maybe_unused]] const uint64_t held, co_await PurgeFlights(ctx, scope, true));
    const auto promoted = [&scope](const Entity& entity) {
      return entity.kv_backed && scope.Matches(entity.key, entity.meta);
    };
    report.edge_entries += edge_.EraseIf(promoted);
    CO_CHECK(co_await kv_->journal().End(ctx, noted));
  }
  purged_.Add(static_cast<double>(report.kv_entries));
  LogPurge(mode, report);
  co_return report;
}

Task<Result<uint64_t>> Orchestrator::PurgeKv(Context ctx, PurgeIntent intent) {
  uint64_t hit = 0;
  if (!kv_) co_return hit;
  std::string cursor;
  do {
    CO_TRY(kv::Page page, co_await ListScope(*kv_, ctx, intent.scope, cursor));
    cursor = intent.scope.key ? std::string() : std::move(page.cursor);
    // Reading a thousand pieces of metadata takes too long for a loop.
    auto choose = [rows = std::move(page.rows), intent]() -> Result<std::vector<std::string>> {
      std::vector<std::string> keys;
      for (const kv::Listed& row : rows) {
        if (row.record.created_ms > intent.horizon_ms || !intent.scope.Matches(row)) continue;
        keys.push_back(row.key);
      }
      return keys;
    };
    CO_TRY(std::vector<std::string> keys,
           co_await blocking_.Run(io::Lane::kRead, std::move(choose)));
    hit += keys.size();
    if (keys.empty() || intent.mode == PurgeMode::kDryRun) continue;
    if (intent.mode == PurgeMode::kSoft) {
      CO_TRY([[maybe_unused]] const size_t expired,
             co_await kv_->ExpireMany(ctx, std::move(keys), NowMs()));
    } else {
      CO_TRY([[maybe_unused]] const size_t erased, co_await kv_->EraseMany(ctx, keys));
      if (keeper_ != nullptr) keeper_->Erased(keys);
    }
  } while (!cursor.empty());
  co_return hit;
}

Task<Result<uint64_t>> Orchestrator::PurgeByRule(PurgeRule rule, int64_t made_until_ms) {
  PurgeIntent intent;
  intent.mode = PurgeMode::kHard;
  intent.horizon_ms = made_until_ms;
  PurgeScope& scope = intent.scope;
  if (!rule.tag.empty()) scope.tag = rule.tag;
  if (!rule.origin.empty()) scope.origin = rule.origin;
  if (!rule.source.empty()) scope.source = rule.source;
  if (!rule.prefix.empty()) scope.prefix = rule.prefix;
  scope.everything = !scope.tag && !scope.origin && !scope.source && !scope.prefix;
  Context ctx;
  ctx.request_id = "purge-rule";
  // Without a journal: what a crash leaves is taken by the next run.
  CO_TRY(const uint64_t hit, co_await PurgeKv(ctx, intent));
  edge_.EraseIf([&intent](const Entity& entity) {
    return entity.meta.created_at_ms <= intent.horizon_ms &&
           intent.scope.Matches(entity.key, entity.meta);
  });
  co_return hit;
}

Task<Result<uint64_t>> Orchestrator::FinishPurges(Context ctx) {
  uint64_t finished = 0;
  if (!kv_) co_return finished;
  CO_TRY(std::vector<kv::Journal::Row> rows, co_await kv_->journal().Pending(ctx));
  for (const kv::Journal::Row& row : rows) {
    Result<PurgeIntent> read = DecodeIntent(row.bytes);
    if (!read.ok()) LogError("purge_journal_unreadable", {{"error", read.error().ToLogString()}});
    const PurgeIntent intent = read.ok() ? std::move(*read) : WorstIntent();
    CO_TRY(const uint64_t hit, co_await PurgeKv(ctx, intent));
    CO_CHECK(co_await kv_->journal().End(ctx, row.id));
    purged_.Add(static_cast<double>(hit));
    LogWarn("purge_finished",
            {{"mode", NameOf(intent.mode)}, {"kv_entries", hit}, {"reason", "it was interrupted"}});
    ++finished;
  }
  co_return finished;
}

}  // namespace vr::cache
