// What the keeper of the durable store does now and then: learn what is there, take out what
// nobody has used for long or what a rule names, write down what was learned.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "cache/entity.h"
#include "cache/keeper.h"
#include "cache/state_file.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

constexpr size_t kPage = 1000;
/// Entries that are looked at without letting go of the lock: below a millisecond.
constexpr size_t kSlice = 4096;
/// Entries erased or shortened in one call.
constexpr size_t kChunk = 256;
constexpr int64_t kReconcileEveryMs = 3'600'000;

/// 24 bytes per entry, and what policies have learned.
constexpr uint64_t kMostStateBytes = uint64_t{4} << 30;

Result<KeeperState> ReadState(const std::string& path) {
  TRY(const std::string bytes, ReadStateFile(path, kMostStateBytes));
  return DecodeState(bytes);
}

}  // namespace

void KvKeeper::Tick() {
  if (!executor_ || is_keeping_house_.exchange(true)) return;
  auto keep = [this]() -> Task<void> { return KeepHouse(); };
  if (!group_.Spawn(*executor_, keep)) is_keeping_house_ = false;
}

Task<void> KvKeeper::KeepHouse() {
  if (!is_loaded_) co_await Load();
  if (is_loaded_) {
    const int64_t now_ms = NowMs();
    co_await Reconcile();
    co_await ShortenUnused(now_ms);
    if (now_ms >= next_purge_ms_) {
      next_purge_ms_ = now_ms + std::chrono::milliseconds(options_.purge_interval).count();
      co_await PurgeUnused(now_ms);
      co_await PurgeByRules(now_ms);
    }
    if (now_ms >= next_save_ms_) {
      next_save_ms_ = now_ms + std::chrono::milliseconds(options_.save_interval).count();
      co_await Save();
    }
  }
  is_keeping_house_ = false;
  Wake();
}

Task<Result<void>> KvKeeper::List(std::shared_ptr<std::vector<LedgerEntry>> rows) {
  std::string cursor;
  do {
    Context ctx;
    ctx.request_id = "listing";
    if (is_closing_) co_return Error(Code::kCancelled, "the server is shutting down");
    CO_TRY(kv::Page page, co_await kv_.ListByPrefix(ctx, "", cursor, kPage));
    cursor = std::move(page.cursor);
    // Reading a thousand pieces of metadata takes too long for a loop.
    auto read = [this, rows, listed = std::move(page.rows)]() -> Result<bool> {
      for (const kv::Listed& row : listed) {
        if (!row.is_readable) continue;  // a newer program's: not ours to judge
        Result<Metadata> meta = Metadata::FromJson(row.record.metadata);
        LedgerEntry entry;
        entry.key = row.key;
        entry.id = Hash64Of(row.key);
        entry.bytes = row.record.body_size + row.record.metadata.size();
        entry.created_ms = entry.used_ms = entry.fresh_ms = row.record.created_ms;
        entry.expires_ms = row.record.expires_ms;
        if (meta.ok()) {
          entry.cost_seconds = static_cast<float>(meta->encode_seconds);
          MutexLock lock(mutex_);
          entry.origin = ledger_.OriginOf(meta->origin);
        }
        rows->push_back(std::move(entry));
      }
      return true;
    };
    CO_TRY([[maybe_unused]] const bool done,
           co_await blocking_.Run(io::Lane::kRead, std::move(read)));
  } while (!cursor.empty());
  co_return Result<void>();
}

Task<void> KvKeeper::Load() {
  {
    MutexLock lock(mutex_);
    is_listing_ = true;
    erased_meanwhile_.clear();
  }
  auto rows = std::make_shared<std::vector<LedgerEntry>>();
  Result<void> listed = co_await List(rows);
  if (!listed.ok()) {
    LogWarn("kv_listing_failed", {{"error", listed.error().ToLogString()}});
    co_return;  // the next tick tries again
  }
  KeeperState state;
  bool has_state = false;
  if (!options_.state_file.empty()) {
    auto read = [path = options_.state_file] { return ReadState(path); };
    Result<KeeperState> kept = co_await blocking_.Run(io::Lane::kRead, std::move(read));
    if (kept.ok()) {
      state = std::move(*kept);
      has_state = true;
    } else if (kept.error().code != Code::kNotFound || !rows->empty()) {
      LogWarn("kv_state_not_loaded", {{"file", options_.state_file},
                                      {"error", kept.error().ToLogString()},
                                      {"entries", rows->size()}});
    }
  }
  const int64_t now_ms = NowMs();
  auto order = [rows, has_state, uses = std::move(state.uses)]() -> Result<bool> {
    std::unordered_map<uint64_t, KeptUse> by_id;
    by_id.reserve(uses.size());
    for (const KeptUse& use : uses) by_id.emplace(use.id, use);
    for (LedgerEntry& entry : *rows) {
      const auto found = by_id.find(entry.id);
      if (found == by_id.end()) continue;
      entry.used_ms = std::max(entry.used_ms, found->second.used_ms);
      entry.uses = found->second.uses;
      entry.ttl_factor = found->second.ttl_factor;
    }
    // Into the policy as they were used, the oldest first.
    std::sort(rows->begin(), rows->end(), [](const LedgerEntry& a, const LedgerEntry& b) {
      return a.used_ms != b.used_ms ? a.used_ms < b.used_ms : a.key < b.key;
    });
    return has_state;
  };
  Result<bool> ordered = co_await blocking_.Run(io::Lane::kRead, std::move(order));
  if (!ordered.ok()) co_return;
  for (size_t at = 0; at < rows->size(); at += kSlice) {
    auto put = [this, rows, at, has_state, now_ms]() -> Result<bool> {
      MutexLock lock(mutex_);
      for (size_t i = at; i < std::min(rows->size(), at + kSlice); ++i) {
        LedgerEntry& entry = (*rows)[i];
        if (ledger_.Knows(entry.id) || erased_meanwhile_.contains(entry.id)) continue;
        const int64_t used_ms = entry.used_ms;
        // When it was used last is not known: nothing goes for not being used on a guess.
        if (!has_state) entry.used_ms = now_ms;
        ledger_.Put(std::move(entry), std::min(used_ms, now_ms));
      }
      return true;
    };
    Result<bool> done = co_await blocking_.Run(io::Lane::kRead, std::move(put));
    if (!done.ok()) co_return;
  }
  size_t known = 0;
  {
    MutexLock lock(mutex_);
    if (has_state && state.policy == options_.eviction) {
      Result<void> loaded = ledger_.LoadPolicies(state.policies);
      if (!loaded.ok()) {
        LogWarn("kv_state_not_loaded", {{"file", options_.state_file},
                                        {"policy", options_.eviction},
                                        {"error", loaded.error().ToLogString()}});
      }
    }
    is_listing_ = false;
    erased_meanwhile_.clear();
    known = ledger_.entries();
    ShowOrigins();
  }
  is_loaded_.store(true, std::memory_order_release);
  LogInfo("kv_keeper_ready",
          {{"entries", known}, {"policy", options_.eviction}, {"with_state", has_state}});
}

Task<void> KvKeeper::Reconcile() {
  const int64_t now_ms = NowMs();
  uint64_t before = 0;
  {
    MutexLock lock(mutex_);
    const uint64_t known = ledger_.entries();
    const uint64_t there = kv_.usage().entries;
    const uint64_t off = known > there ? known - there : there - known;
    if (now_ms < next_reconcile_ms_ || off <= 16 + there / 100) co_return;
    next_reconcile_ms_ = now_ms + kReconcileEveryMs;
    before = ledger_.taken();
    is_listing_ = true;
    erased_meanwhile_.clear();
  }
  auto rows = std::make_shared<std::vector<LedgerEntry>>();
  Result<void> listed = co_await List(rows);
  if (listed.ok()) {
    std::unordered_set<uint64_t> there;
    for (const LedgerEntry& entry : *rows) there.insert(entry.id);
    std::vector<uint64_t> gone;
    MutexLock lock(mutex_);
    for (LedgerEntry& entry : *rows) {
      if (ledger_.Knows(entry.id) || erased_meanwhile_.contains(entry.id)) continue;
      entry.used_ms = now_ms;
      ledger_.Put(std::move(entry), now_ms);
    }
    ledger_.Visit(0, ledger_.places(), [&](const LedgerEntry& entry) {
      if (entry.born < before && !there.contains(entry.id)) gone.push_back(entry.id);
    });
    for (const uint64_t id : gone) ledger_.Erase(id);
    LogInfo("kv_keeper_reconciled", {{"gone", gone.size()}, {"entries", ledger_.entries()}});
    ShowOrigins();
  }
  MutexLock lock(mutex_);
  is_listing_ = false;
  erased_meanwhile_.clear();
}

Task<void> KvKeeper::PurgeUnused(int64_t now_ms) {
  int64_t used_before_ms = 0;
  size_t places = 0;
  {
    MutexLock lock(mutex_);
    if (max_unused_.count() == 0) co_return;
    Absorb();
    used_before_ms = now_ms - std::chrono::milliseconds(max_unused_).count();
    places = ledger_.places();
  }
  for (size_t at = 0; at < places; at += kSlice) {
    std::vector<uint64_t> ids;
    {
      MutexLock lock(mutex_);
      ledger_.Visit(at, kSlice, [&](const LedgerEntry& entry) {
        if (entry.used_ms < used_before_ms) ids.push_back(entry.id);
      });
    }
    for (size_t from = 0; from < ids.size(); from += kChunk) {
      std::vector<Victim> victims;
      {
        MutexLock lock(mutex_);
        for (size_t i = from; i < std::min(ids.size(), from + kChunk); ++i) {
          const LedgerEntry* const entry = ledger_.Find(ids[i]);
          if (entry == nullptr || entry->used_ms >= used_before_ms) continue;
          victims.push_back(Victim{*entry, Reason::kUnused});
          ledger_.Erase(ids[i]);
        }
        is_changed_ |= !victims.empty();
        ShowOrigins();
      }
      if (victims.empty()) continue;
      const bool is_done = co_await EraseVictims(std::move(victims));
      if (!is_done) co_return;
    }
  }
}

Task<void> KvKeeper::PurgeByRules(int64_t now_ms) {
  std::vector<PurgeRule> rules;
  {
    MutexLock lock(mutex_);
    rules = rules_;
  }
  if (!hooks_.purge) co_return;
  for (const PurgeRule& rule : rules) {
    const int64_t until_ms = now_ms - std::chrono::milliseconds(rule.older_than).count();
    Result<uint64_t> purged = co_await hooks_.purge(rule, until_ms);
    if (!purged.ok()) {
      LogWarn("purge_rule_failed", {{"error", purged.error().ToLogString()}});
    } else if (*purged > 0) {
      evictions_[static_cast<size_t>(Reason::kRule)].Add(static_cast<double>(*purged));
      LogInfo("purge_rule", {{"entries", *purged},
                             {"older_than_seconds", rule.older_than.count()},
                             {"tag", rule.tag},
                             {"origin", rule.origin},
                             {"source", rule.source},
                             {"prefix", rule.prefix}});
    }
  }
}

KeeperState KvKeeper::Gather() {
  KeeperState state;
  state.saved_ms = NowMs();
  state.policy = options_.eviction;
  size_t places = 0;
  {
    MutexLock lock(mutex_);
    Absorb();
    places = ledger_.places();
    state.policies = ledger_.SavePolicies();
    is_changed_ = false;
  }
  for (size_t at = 0; at < places; at += kSlice) {
    MutexLock lock(mutex_);
    ledger_.Visit(at, kSlice, [&](const LedgerEntry& entry) {
      KeptUse use;
      use.id = entry.id;
      use.used_ms = entry.used_ms;
      use.uses = entry.uses;
      use.ttl_factor = entry.ttl_factor;
      state.uses.push_back(use);
    });
  }
  return state;
}

Result<void> KvKeeper::SaveNow() {
  if (options_.state_file.empty() || !is_loaded_) return {};
  return WriteStateFile(options_.state_file, EncodeState(Gather()));
}

Task<void> KvKeeper::Save() {
  {
    MutexLock lock(mutex_);
    if (!is_changed_) co_return;
  }
  auto save = [this]() -> Result<bool> {
    CHECK_OK(SaveNow());
    return true;
  };
  Result<bool> saved = co_await blocking_.Run(io::Lane::kWrite, std::move(save));
  if (!saved.ok()) {
    LogWarn("kv_state_not_saved",
            {{"file", options_.state_file}, {"error", saved.error().ToLogString()}});
  }
}

// --- adaptive TTL ---

double KvKeeper::TtlFactor(uint64_t id) {
  if (!options_.adaptive_ttl.enabled) return 1;
  MutexLock lock(mutex_);
  const LedgerEntry* const entry = ledger_.Find(id);
  return entry == nullptr ? 1 : entry->ttl_factor;
}

double KvKeeper::NextTtlFactor(uint64_t id) {
  const AdaptiveTtlOptions& rules = options_.adaptive_ttl;
  if (!rules.enabled) return 1;
  MutexLock lock(mutex_);
  Absorb();
  const LedgerEntry* const entry = ledger_.Find(id);
  if (entry == nullptr) return 1;
  double factor = entry->ttl_factor;
  if (entry->uses_in_ttl >= rules.popular_uses) {
    factor *= 2;
  } else if (entry->uses_in_ttl <= 1) {
    factor /= 2;  // the use that found it expired, or none
  }
  return std::clamp(factor, rules.min_factor, rules.max_factor);
}

void KvKeeper::Renewed(uint64_t id, int64_t now_ms, int64_t expires_ms, double factor) {
  MutexLock lock(mutex_);
  LedgerEntry* const entry = ledger_.Find(id);
  if (entry == nullptr) return;
  entry->fresh_ms = now_ms;
  entry->expires_ms = expires_ms;
  entry->ttl_factor = static_cast<float>(factor);
  entry->uses_in_ttl = 0;
  is_changed_ = true;
}

Task<void> KvKeeper::ShortenUnused(int64_t now_ms) {
  const AdaptiveTtlOptions& rules = options_.adaptive_ttl;
  if (!rules.enabled) co_return;
  size_t places = 0;
  {
    MutexLock lock(mutex_);
    Absorb();
    places = ledger_.places();
  }
  for (size_t at = 0; at < places; at += kSlice) {
    std::vector<std::string> keys;
    {
      MutexLock lock(mutex_);
      std::vector<uint64_t> ids;
      ledger_.Visit(at, kSlice, [&](const LedgerEntry& entry) {
        const int64_t ttl_ms = entry.expires_ms - entry.fresh_ms;
        const bool is_old = entry.expires_ms > now_ms && now_ms - entry.fresh_ms > ttl_ms / 2;
        const bool can_shrink = entry.ttl_factor / 2 >= rules.min_factor;
        if (entry.uses_in_ttl == 0 && is_old && can_shrink) ids.push_back(entry.id);
      });
      for (const uint64_t id : ids) {
        LedgerEntry* const entry = ledger_.Find(id);
        keys.push_back(entry->key);
        entry->ttl_factor /= 2;
        entry->expires_ms = now_ms;
      }
      is_changed_ |= !ids.empty();
    }
    for (size_t from = 0; from < keys.size(); from += kChunk) {
      std::vector<std::string> some(
          keys.begin() + static_cast<std::ptrdiff_t>(from),
          keys.begin() + static_cast<std::ptrdiff_t>(std::min(keys.size(), from + kChunk)));
      Context ctx;
      ctx.request_id = "adaptive-ttl";
      Result<size_t> changed = co_await kv_.ExpireMany(ctx, std::move(some), now_ms);
      if (!changed.ok()) {
        LogWarn("kv_shorten_failed", {{"error", changed.error().ToLogString()}});
        co_return;
      }
    }
  }
}

}  // namespace vr::cache
