#include "cache/purge.h"

#include <algorithm>

#include "cache/orchestrator.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

constexpr size_t kPage = 500;

/// The listing that holds every entry of the scope, and perhaps others.
Task<Result<kv::Page>> ListScope(kv::KvStore& kv, Context ctx, const PurgeScope& scope,
                                 std::string cursor) {
  if (scope.tag) return kv.ListByTag(std::move(ctx), *scope.tag, std::move(cursor), kPage);
  if (scope.source) return kv.ListBySource(std::move(ctx), *scope.source, std::move(cursor), kPage);
  const std::string prefix = scope.prefix ? *scope.prefix : scope.key ? *scope.key : std::string();
  return kv.ListByPrefix(std::move(ctx), prefix, std::move(cursor), kPage);
}

}  // namespace

bool PurgeScope::is_valid() const {
  const int set = (key ? 1 : 0) + (tag ? 1 : 0) + (source ? 1 : 0) + (prefix ? 1 : 0) +
                  (origin ? 1 : 0) + (created_before_ms ? 1 : 0) + (everything ? 1 : 0);
  return set == 1;
}

bool PurgeScope::Matches(std::string_view entry_key, const Metadata& meta) const {
  if (key) return entry_key == *key;
  if (tag)
    return std::find(meta.cache_tags.begin(), meta.cache_tags.end(), *tag) != meta.cache_tags.end();
  if (source) return meta.source_path == *source;
  if (prefix) return entry_key.starts_with(*prefix);
  if (origin) return meta.origin == *origin;
  if (created_before_ms) return meta.created_at_ms < *created_before_ms;
  return everything;
}

std::shared_ptr<Entity> Orchestrator::StaleCopyOf(const Entity& entity) const {
  std::shared_ptr<Entity> copy = CopyOf(entity);
  const int64_t now_ms = NowMs();
  if (copy->meta.expires_at_ms == 0 || copy->meta.expires_at_ms > now_ms) {
    copy->meta.expires_at_ms = now_ms;
  }
  return copy;
}

Task<Result<PurgeReport>> Orchestrator::Purge(Context ctx, PurgeScope scope, PurgeMode mode) {
  if (!scope.is_valid()) {
    co_return Error(
        Code::kInvalidArgument,
        "a purge names exactly one of key, tag, source, prefix, origin, createdBefore, everything");
  }
  PurgeReport report;
  const bool is_dry = mode == PurgeMode::kDryRun;

  std::vector<ProductionRef> keeping;
  // Productions first: what finishes from now on is not stored, and whoever asks from now on starts
  // afresh.
  {
    MutexLock lock(mutex_);
    for (auto flight = flights_.begin(); flight != flights_.end();) {
      Metadata like;
      like.cache_tags = flight->second.query.tags;
      like.source_path = flight->second.query.source;
      like.origin = flight->second.query.origin;
      like.created_at_ms = NowMs();
      if (!scope.Matches(flight->second.query.key, like)) {
        ++flight;
        continue;
      }
      ++report.productions;
      if (is_dry) {
        ++flight;
        continue;
      }
      if (flight->second.production->MarkPurged()) keeping.push_back(flight->second.production);
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
  const auto matches = [&scope](const Entity& entity) {
    return scope.Matches(entity.key, entity.meta);
  };
  if (is_dry) {
    report.edge_entries = edge_.CountIf(matches) + negative_.CountIf(matches);
  } else {
    std::vector<std::shared_ptr<Entity>> staled;
    const auto takes = [&](const Entity& entity) {
      if (!matches(entity)) return false;
      // What the KV holds comes back from there, stale. What it does not would be gone.
      if (mode == PurgeMode::kSoft && !entity.kv_backed) staled.push_back(StaleCopyOf(entity));
      return true;
    };
    report.edge_entries = edge_.EraseIf(takes) + negative_.EraseIf(matches);
    for (std::shared_ptr<Entity>& entity : staled) {
      if (!edge_.Find(entity->key)) edge_.Insert(std::move(entity));
    }
  }

  for (PurgeTarget* target : purge_targets_) {
    report.edge_entries += target->Purge(scope, mode, NowMs());
  }
  if (kv_) {
    std::string cursor;
    do {
      CO_TRY(kv::Page page, co_await ListScope(*kv_, ctx, scope, cursor));
      cursor = page.cursor;
      for (kv::Listed& row : page.rows) {
        Result<Metadata> meta = Metadata::FromJson(row.record.metadata);
        // What cannot be read is in the scope if the index says so.
        const bool is_indexed = scope.tag || scope.source || scope.prefix || scope.everything;
        if (meta.ok() ? !scope.Matches(row.key, *meta) : !is_indexed) continue;
        ++report.kv_entries;
        if (is_dry) continue;
        if (mode == PurgeMode::kSoft) {
          const int64_t now_ms = NowMs();
          if (row.record.expires_ms != 0 && row.record.expires_ms <= now_ms) continue;
          CO_TRY([[maybe_unused]] const bool touched,
                 co_await kv_->Touch(ctx, row.key, row.record.metadata, now_ms));
        } else {
          CO_TRY([[maybe_unused]] const bool erased, co_await kv_->Erase(ctx, row.key));
        }
      }
    } while (!cursor.empty());
    // A KV hit may have been promoted between the two.
    const auto promoted = [&](const Entity& entity) { return entity.kv_backed && matches(entity); };
    if (!is_dry) report.edge_entries += edge_.EraseIf(promoted);
  }
  if (!is_dry) purged_.Add(static_cast<double>(report.kv_entries));
  LogInfo("purge", {{"mode", mode == PurgeMode::kHard   ? "hard"
                             : mode == PurgeMode::kSoft ? "soft"
                                                        : "dry-run"},
                    {"kv_entries", report.kv_entries},
                    {"edge_entries", report.edge_entries},
                    {"productions", report.productions}});
  co_return report;
}

}  // namespace vr::cache
