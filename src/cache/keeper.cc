#include "cache/keeper.h"

#include <algorithm>
#include <utility>

#include "cache/entity.h"
#include "capacity/watermark.h"
#include "observe/log.h"

namespace vr::cache {

using capacity::PercentOf;

namespace {

/// Evicted in one go: some milliseconds of the store's write lane.
constexpr size_t kBatch = 128;
/// Times a store looks for room that eviction has made and others have taken.
constexpr int kRounds = 32;
/// However many stores wait, room is made for so much of the limit at a time, or for the largest of
/// them: a burst must not empty the store.
constexpr uint64_t kRushShare = 8;
/// A store that waits longer for eviction than this is not made.
constexpr std::chrono::seconds kRoomWait{30};
/// A full disk takes so much of what is stored, and no oftener than this: it may be others who fill
/// it.
constexpr uint64_t kReliefShare = 20;
constexpr std::chrono::seconds kReliefEvery{10};

}  // namespace

class KvKeeper::Wanted {
 public:
  Wanted(KvKeeper& keeper, uint64_t bytes, uint16_t origin)
      : keeper_(keeper), bytes_(bytes), origin_(origin) {
    MutexLock lock(keeper_.mutex_);
    keeper_.wanted_bytes_ += bytes_;
    keeper_.wanted_.insert(bytes_);
    keeper_.ledger_.origins()[origin_].wanted += bytes_;
  }
  ~Wanted() {
    MutexLock lock(keeper_.mutex_);
    keeper_.wanted_bytes_ -= bytes_;
    keeper_.wanted_.erase(keeper_.wanted_.find(bytes_));
    keeper_.ledger_.origins()[origin_].wanted -= bytes_;
  }
  Wanted(const Wanted&) = delete;
  Wanted& operator=(const Wanted&) = delete;

 private:
  KvKeeper& keeper_;
  const uint64_t bytes_;
  const uint16_t origin_;
};

Result<std::unique_ptr<KvKeeper>> KvKeeper::Create(KeeperOptions options, Deps deps) {
  TRY(Ledger ledger, Ledger::Create(options));
  return std::unique_ptr<KvKeeper>(new KvKeeper(std::move(options), deps, std::move(ledger)));
}

KvKeeper::KvKeeper(KeeperOptions options, Deps deps, Ledger ledger)
    : options_(std::move(options)),
      kv_(deps.kv),
      blocking_(deps.blocking),
      clock_(deps.clock),
      metrics_(deps.metrics),
      evicted_bytes_(metrics_.GetCounter("video_resizer_kv_evicted_bytes_total",
                                         "Bytes of entries evicted from the store")),
      disk_full_(metrics_.GetCounter("video_resizer_kv_disk_full_total",
                                     "Variants not stored because the disk was full")),
      lost_uses_(metrics_.GetGauge("video_resizer_kv_uses_lost",
                                   "Uses of entries that were not counted since the start")),
      uses_([this] { Wake(); }),
      ledger_(std::move(ledger)),
      rules_(options_.purge_rules),
      max_unused_(options_.max_unused) {
  for (const char* reason : {"high_watermark", "quota", "disk_full", "unused", "rule"}) {
    evictions_.push_back(metrics_.GetCounter("video_resizer_kv_evictions_total",
                                             "Entries evicted from the store",
                                             {{"reason", reason}, {"policy", options_.eviction}}));
  }
  metrics_.GetGauge("video_resizer_kv_limit_bytes", "Most bytes the store may hold")
      .Set(static_cast<double>(options_.max_bytes));
  metrics_
      .GetGauge("video_resizer_kv_limit_entries", "Most entries the store may hold; 0: no limit")
      .Set(static_cast<double>(options_.max_entries));
  {
    MutexLock lock(mutex_);
    ShowOrigins();
  }
  for (const char* result : {"admitted", "after_eviction", "rejected", "no_room", "too_large"}) {
    metrics_.GetCounter("video_resizer_kv_admission_total",
                        "Variants that asked for room in the store", {{"result", result}});
  }
}

KvKeeper::~KvKeeper() = default;

void KvKeeper::Start(io::Executor executor) {
  executor_ = executor;
  next_save_ms_ = NowMs() + std::chrono::milliseconds(options_.save_interval).count();
  Tick();
}

bool KvKeeper::Close(SteadyTime deadline) {
  is_closing_ = true;
  group_.Close();
  tended_.NotifyAll();
  return group_.WaitEmpty(deadline);
}

void KvKeeper::Reload(const KeeperOptions& options) {
  MutexLock lock(mutex_);
  rules_ = options.purge_rules;
  max_unused_ = options.max_unused;
  Result<void> set = ledger_.SetQuotas(options.origins, NowMs());
  if (!set.ok()) LogWarn("kv_quota_failed", {{"error", set.error().ToLogString()}});
  ShowOrigins();
}

size_t KvKeeper::entries() const {
  MutexLock lock(mutex_);
  return ledger_.entries();
}

void KvKeeper::Count(const char* result) {
  metrics_
      .GetCounter("video_resizer_kv_admission_total", "Variants that asked for room in the store",
                  {{"result", result}})
      .Add();
}

void KvKeeper::Absorb() {
  const std::vector<Use> uses = uses_.Take();
  for (const Use& use : uses) ledger_.Note(use);
  is_changed_ |= !uses.empty();
  lost_uses_.Set(static_cast<double>(uses_.lost()));
}

void KvKeeper::ShowOrigins() {
  const std::vector<LedgerOrigin>& origins = ledger_.origins();
  for (size_t i = 0; i < origins.size(); ++i) {
    if (i == origin_bytes_.size()) {
      origin_bytes_.push_back(metrics_.GetGauge(
          "video_resizer_kv_origin_bytes", "Bytes in the store by the origin they were made of",
          {{"origin", origins[i].name}}));
    }
    origin_bytes_[i].Set(static_cast<double>(origins[i].bytes));
  }
}

KvKeeper::Answer KvKeeper::Claim(const Candidate& candidate, uint16_t index, bool is_first) {
  MutexLock lock(mutex_);
  Absorb();
  const kv::Usage usage = kv_.usage();
  LedgerOrigin& origin = ledger_.origins()[index];
  const uint64_t bytes = candidate.bytes;
  const bool has_bytes = usage.bytes + reserved_bytes_ + bytes <= options_.max_bytes;
  const bool has_entries =
      options_.max_entries == 0 || usage.entries + reserved_entries_ + 1 <= options_.max_entries;
  const bool has_quota =
      origin.quota == 0 || origin.bytes + origin.reserved + bytes <= origin.quota;
  const auto low = [this](uint64_t limit) { return PercentOf(limit, options_.low_watermark); };
  if (is_first) {
    // Eviction ends at the low watermark: what is larger would never find room.
    if (bytes > low(options_.max_bytes) || (origin.quota != 0 && bytes > low(origin.quota))) {
      return Answer::kTooLarge;
    }
    // From there on each newcomer has something else evicted, sooner or later.
    const bool is_full = usage.bytes + reserved_bytes_ + bytes > low(options_.max_bytes) ||
                         (options_.max_entries != 0 &&
                          usage.entries + reserved_entries_ + 1 > low(options_.max_entries));
    const bool is_quota_full =
        origin.quota != 0 && origin.bytes + origin.reserved + bytes > low(origin.quota);
    // What replaces an older one has been admitted before.
    const bool is_new = !ledger_.Knows(candidate.id);
    if (is_new && ledger_.evicts() && is_loaded_ && (is_full || is_quota_full)) {
      capacity::Item item;
      item.id = candidate.id;
      item.bytes = bytes;
      item.cost_seconds = candidate.cost_seconds;
      const int64_t now_ms = NowMs();
      if (is_quota_full && !ledger_.Admit(item, index, true, now_ms)) return Answer::kRefused;
      if (is_full && !ledger_.Admit(item, index, false, now_ms)) return Answer::kRefused;
    }
  }
  if (has_bytes && has_entries && has_quota) {
    reserved_bytes_ += bytes;
    ++reserved_entries_;
    origin.reserved += bytes;
    return Answer::kFits;
  }
  if (is_first && !(ledger_.evicts() && is_loaded_)) return Answer::kNoRoom;
  return Answer::kWait;
}

Task<std::optional<KvKeeper::Room>> KvKeeper::MakeRoom(Candidate candidate) {
  uint16_t origin = 0;
  {
    MutexLock lock(mutex_);
    origin = ledger_.OriginOf(candidate.origin);
  }
  std::optional<Wanted> wanted;
  const SteadyTime deadline = std::chrono::steady_clock::now() + kRoomWait;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t ticket = tended_.ticket();
    const Answer answer = Claim(candidate, origin, round == 0);
    if (answer == Answer::kFits) {
      Count(round == 0 ? "admitted" : "after_eviction");
      co_return std::optional<Room>(std::in_place, *this, candidate.bytes, origin);
    }
    if (answer != Answer::kWait) {
      Count(answer == Answer::kRefused    ? "rejected"
            : answer == Answer::kTooLarge ? "too_large"
                                          : "no_room");
      // Refused or not, what is over the mark goes.
      Wake();
      co_return std::nullopt;
    }
    if (!wanted) wanted.emplace(*this, candidate.bytes, origin);
    if (!Wake()) break;
    const bool has_come = co_await tended_.WaitChange(ticket, deadline);
    if (!has_come) break;
  }
  Count("no_room");
  co_return std::nullopt;
}

void KvKeeper::GiveBack(uint64_t bytes, uint16_t origin) {
  MutexLock lock(mutex_);
  GiveBackLocked(bytes, origin);
}

void KvKeeper::GiveBackLocked(uint64_t bytes, uint16_t origin) {
  reserved_bytes_ -= bytes;
  --reserved_entries_;
  ledger_.origins()[origin].reserved -= bytes;
}

void KvKeeper::Stored(Room room, const std::string& key, const kv::Record& record,
                      double cost_seconds, const std::string& origin) {
  LedgerEntry entry;
  entry.key = key;
  entry.id = Hash64Of(key);
  entry.bytes = record.body_size + record.metadata.size();
  entry.cost_seconds = static_cast<float>(cost_seconds);
  entry.created_ms = entry.used_ms = entry.fresh_ms = record.created_ms;
  entry.expires_ms = record.expires_ms;
  bool is_over = false;
  {
    MutexLock lock(mutex_);
    // From here on it counts as what the store holds, and once.
    room.keeper_ = nullptr;
    GiveBackLocked(room.bytes_, room.origin_);
    Absorb();
    entry.origin = ledger_.OriginOf(origin);
    const uint16_t index = entry.origin;
    erased_meanwhile_.erase(entry.id);
    ledger_.Put(std::move(entry), NowMs());
    is_changed_ = true;
    ShowOrigins();
    const kv::Usage usage = kv_.usage();
    const LedgerOrigin& own = ledger_.origins()[index];
    is_over = usage.bytes > PercentOf(options_.max_bytes, options_.high_watermark) ||
              (options_.max_entries != 0 &&
               usage.entries > PercentOf(options_.max_entries, options_.high_watermark)) ||
              (own.quota != 0 && own.bytes > PercentOf(own.quota, options_.high_watermark));
  }
  if (is_over) Wake();
}

void KvKeeper::Erased(const std::vector<std::string>& keys) {
  MutexLock lock(mutex_);
  for (const std::string& key : keys) {
    const uint64_t id = Hash64Of(key);
    if (is_listing_) erased_meanwhile_.insert(id);
    const LedgerEntry* const known = ledger_.Find(id);
    if (known != nullptr && known->key == key) ledger_.Erase(id);
  }
  is_changed_ |= !keys.empty();
  ShowOrigins();
}

void KvKeeper::NoteDiskFull() {
  disk_full_.Add();
  {
    MutexLock lock(mutex_);
    const SteadyTime now = clock_.SteadyNow();
    if (!ledger_.evicts() || now < next_relief_) return;
    next_relief_ = now + kReliefEvery;
    to_free_ = kv_.usage().bytes / kReliefShare + 1;
  }
  Wake();
}

std::optional<KvKeeper::View> KvKeeper::Look(const std::string& key) {
  MutexLock lock(mutex_);
  Absorb();
  const LedgerEntry* const entry = ledger_.Find(Hash64Of(key));
  if (entry == nullptr || entry->key != key) return std::nullopt;
  View view;
  view.uses = entry->uses;
  view.used_ms = entry->used_ms;
  view.ttl_factor = entry->ttl_factor;
  return view;
}

bool KvKeeper::Wake() {
  if (!executor_) return false;
  int at = tending_.load();
  for (;;) {
    if (at == 2) return true;
    if (tending_.compare_exchange_weak(at, at + 1)) break;
  }
  if (at == 1) return true;  // once more, when it is through
  auto tend = [this]() -> Task<void> { return Tend(); };
  if (group_.Spawn(*executor_, tend)) return true;
  tending_ = 0;
  return false;
}

Task<void> KvKeeper::Tend() {
  for (;;) {
    co_await EvictAll();
    tended_.NotifyAll();
    int at = 1;
    if (tending_.compare_exchange_strong(at, 0)) co_return;
    tending_ = 1;
  }
}

Task<void> KvKeeper::EvictAll() {
  while (!is_closing_) {
    std::vector<Victim> victims = ChooseVictims();
    if (victims.empty()) co_return;
    const bool is_done = co_await EraseVictims(std::move(victims));
    if (!is_done) co_return;
    tended_.NotifyAll();
  }
}

std::vector<KvKeeper::Victim> KvKeeper::ChooseVictims() {
  std::vector<Victim> victims;
  MutexLock lock(mutex_);
  Absorb();
  if (!is_loaded_ || !ledger_.evicts()) return victims;
  const int64_t now_ms = NowMs();
  const kv::Usage usage = kv_.usage();
  const uint64_t largest = wanted_.empty() ? 0 : *wanted_.rbegin();
  uint64_t bytes = usage.bytes + reserved_bytes_ +
                   std::min(wanted_bytes_, std::max(largest, options_.max_bytes / kRushShare));
  uint64_t entries =
      usage.entries + reserved_entries_ +
      std::min<uint64_t>(wanted_.size(), std::max<uint64_t>(1, options_.max_entries / kRushShare));
  uint64_t to_free = to_free_;
  const auto take = [&](std::optional<LedgerEntry> victim, Reason reason) {
    if (!victim) return false;
    bytes -= std::min(bytes, victim->bytes);
    entries -= std::min<uint64_t>(entries, 1);
    to_free -= std::min(to_free, victim->bytes);
    victims.push_back(Victim{std::move(*victim), reason});
    return true;
  };

  for (uint16_t i = 0; i < ledger_.origins().size(); ++i) {
    LedgerOrigin& origin = ledger_.origins()[i];
    if (origin.quota == 0) continue;
    const uint64_t wanted = std::min(origin.wanted, std::max(largest, origin.quota / kRushShare));
    const auto held = [&origin, wanted] { return origin.bytes + origin.reserved + wanted; };
    if (held() > PercentOf(origin.quota, options_.high_watermark)) origin.is_lowering = true;
    const uint64_t low = PercentOf(origin.quota, options_.low_watermark);
    while (origin.is_lowering && held() > low && victims.size() < kBatch) {
      const bool has_more = take(ledger_.EvictOf(i, now_ms), Reason::kQuota);
      if (!has_more) break;
    }
    if (victims.size() < kBatch) origin.is_lowering = false;
  }

  const auto is_above = [&](uint32_t percent) {
    return bytes > PercentOf(options_.max_bytes, percent) ||
           (options_.max_entries != 0 && entries > PercentOf(options_.max_entries, percent));
  };
  if (is_above(options_.high_watermark)) is_lowering_ = true;
  while (is_lowering_ && is_above(options_.low_watermark) && victims.size() < kBatch) {
    const bool has_more = take(ledger_.Evict(now_ms), Reason::kHighWatermark);
    if (!has_more) break;
  }
  if (victims.size() < kBatch) is_lowering_ = false;

  while (to_free > 0 && victims.size() < kBatch) {
    const bool has_more = take(ledger_.Evict(now_ms), Reason::kDiskFull);
    if (!has_more) to_free = 0;
  }
  to_free_ = to_free;
  is_changed_ |= !victims.empty();
  ShowOrigins();
  return victims;
}

Task<bool> KvKeeper::EraseVictims(std::vector<Victim> victims) {
  std::vector<std::string> keys;
  keys.reserve(victims.size());
  for (const Victim& victim : victims) keys.push_back(victim.entry.key);
  Context ctx;
  ctx.request_id = "eviction";
  Result<size_t> erased = co_await kv_.EraseMany(ctx, keys);
  if (!erased.ok()) {
    LogWarn("kv_evict_failed", {{"error", erased.error().ToLogString()}});
    TakeBack(std::move(victims));
    co_return false;
  }
  std::vector<std::string> stored_again;
  uint64_t bytes = 0;
  for (const Victim& victim : victims) {
    bytes += victim.entry.bytes;
    evictions_[static_cast<size_t>(victim.reason)].Add();
    const bool is_for_good = victim.reason == Reason::kUnused;
    if (hooks_.evicted) hooks_.evicted(victim.entry.key, is_for_good);
    MutexLock lock(mutex_);
    if (ledger_.Knows(victim.entry.id)) stored_again.push_back(victim.entry.key);
  }
  evicted_bytes_.Add(static_cast<double>(bytes));
  LogDebug("kv_evicted", {{"entries", victims.size()}, {"bytes", bytes}});
  if (!stored_again.empty()) co_await LookAgain(std::move(stored_again));
  co_return true;
}

Task<void> KvKeeper::LookAgain(std::vector<std::string> keys) {
  for (const std::string& key : keys) {
    Context ctx;
    ctx.request_id = key;
    Result<std::optional<kv::Found>> found = co_await kv_.Get(ctx, key);
    if (!found.ok() || *found) continue;
    const std::vector<std::string> gone{key};
    Erased(gone);
    if (hooks_.evicted) hooks_.evicted(key, false);
  }
}

void KvKeeper::TakeBack(std::vector<Victim> victims) {
  MutexLock lock(mutex_);
  for (Victim& victim : victims) {
    if (ledger_.Knows(victim.entry.id)) continue;
    const int64_t used_ms = victim.entry.used_ms;
    ledger_.Put(std::move(victim.entry), used_ms);
  }
  is_lowering_ = false;
  to_free_ = 0;
  for (LedgerOrigin& origin : ledger_.origins()) origin.is_lowering = false;
  ShowOrigins();
}

}  // namespace vr::cache
