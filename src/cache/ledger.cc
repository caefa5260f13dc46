#include "cache/ledger.h"

#include <algorithm>
#include <utility>

namespace vr::cache {

Ledger::Ledger(const KeeperOptions& options)
    : policy_kind_(options.eviction), min_uses_(options.min_uses) {
  origins_.emplace_back().name = "other";
}

Result<Ledger> Ledger::Create(const KeeperOptions& options) {
  Ledger ledger(options);
  TRY(ledger.policy_, ledger.MakePolicy(options.max_bytes, 100'000));
  CHECK_OK(ledger.SetQuotas(options.origins, 0));
  return ledger;
}

Result<std::unique_ptr<capacity::EvictionPolicy>> Ledger::MakePolicy(uint64_t max_bytes,
                                                                     uint64_t expected) const {
  if (policy_kind_ == "none") return std::unique_ptr<capacity::EvictionPolicy>();
  capacity::PolicyOptions options;
  options.max_bytes = max_bytes;
  options.expected_entries = expected;
  options.min_uses = min_uses_;
  return capacity::MakePolicy(policy_kind_, options);
}

Result<void> Ledger::SetQuotas(const std::map<std::string, uint64_t, std::less<>>& quotas,
                               int64_t now_ms) {
  for (const auto& [name, quota] : quotas) {
    if (OriginOf(name) == 0) origins_.emplace_back().name = name;
  }
  for (size_t i = 1; i < origins_.size(); ++i) {
    LedgerOrigin& origin = origins_[i];
    const auto found = quotas.find(origin.name);
    const uint64_t quota = found == quotas.end() ? 0 : found->second;
    if (quota == origin.quota) continue;
    origin.quota = quota;
    origin.policy.reset();
    origin.is_lowering = false;
    if (quota == 0) continue;
    TRY(origin.policy, MakePolicy(quota, 1024));
    if (!origin.policy) continue;
    // Oldest use first, as they would have come.
    std::vector<const LedgerEntry*> own;
    for (const Place& place : places_) {
      if (place.is_taken && place.entry.origin == i) own.push_back(&place.entry);
    }
    std::sort(own.begin(), own.end(), [](const LedgerEntry* a, const LedgerEntry* b) {
      return a->used_ms != b->used_ms ? a->used_ms < b->used_ms : a->born < b->born;
    });
    for (const LedgerEntry* entry : own) {
      origin.policy->Insert(ItemOf(*entry), std::min(entry->used_ms, now_ms));
    }
  }
  return {};
}

capacity::Item Ledger::ItemOf(const LedgerEntry& entry) {
  capacity::Item item;
  item.id = entry.id;
  item.bytes = entry.bytes;
  item.cost_seconds = entry.cost_seconds;
  return item;
}

uint16_t Ledger::OriginOf(std::string_view name) const {
  // A configuration has a handful.
  for (size_t i = 1; i < origins_.size(); ++i) {
    if (origins_[i].name == name) return static_cast<uint16_t>(i);
  }
  return 0;
}

void Ledger::Put(LedgerEntry entry, int64_t now_ms) {
  if (const auto old = by_id_.find(entry.id); old != by_id_.end()) {
    const LedgerEntry before = Remove(old);
    if (before.key == entry.key) {
      entry.uses = before.uses;
      entry.used_ms = std::max(entry.used_ms, before.used_ms);
      entry.ttl_factor = before.ttl_factor;
    }
    // The policies are told of the new one below, under the same id.
    LedgerOrigin& from = origins_[before.origin];
    if (from.policy && before.origin != entry.origin) from.policy->Erase(entry.id);
  }
  entry.born = taken_++;
  uint32_t at = 0;
  if (free_.empty()) {
    at = static_cast<uint32_t>(places_.size());
    places_.emplace_back();
  } else {
    at = free_.back();
    free_.pop_back();
  }
  by_id_.emplace(entry.id, at);
  LedgerOrigin& origin = origins_[entry.origin];
  origin.bytes += entry.bytes;
  ++origin.entries;
  const capacity::Item item = ItemOf(entry);
  places_[at].entry = std::move(entry);
  places_[at].is_taken = true;
  if (policy_) policy_->Insert(item, now_ms);
  if (origin.policy) origin.policy->Insert(item, now_ms);
}

void Ledger::Note(const Use& use) {
  if (use.is_miss) {
    if (policy_) policy_->Miss(use.id, use.at_ms);
    for (LedgerOrigin& origin : origins_) {
      if (origin.policy) origin.policy->Miss(use.id, use.at_ms);
    }
    return;
  }
  LedgerEntry* const entry = Find(use.id);
  if (entry == nullptr) return;
  ++entry->uses;
  ++entry->uses_in_ttl;
  entry->used_ms = std::max(entry->used_ms, use.at_ms);
  if (policy_) policy_->Hit(use.id, use.at_ms);
  LedgerOrigin& origin = origins_[entry->origin];
  if (origin.policy) origin.policy->Hit(use.id, use.at_ms);
}

LedgerEntry Ledger::Remove(std::unordered_map<uint64_t, uint32_t>::iterator found) {
  const uint32_t at = found->second;
  by_id_.erase(found);
  Place& place = places_[at];
  LedgerEntry entry = std::move(place.entry);
  place.entry = LedgerEntry();
  place.is_taken = false;
  free_.push_back(at);
  LedgerOrigin& origin = origins_[entry.origin];
  origin.bytes -= entry.bytes;
  --origin.entries;
  return entry;
}

bool Ledger::Erase(uint64_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  const LedgerEntry entry = Remove(found);
  if (policy_) policy_->Erase(id);
  LedgerOrigin& origin = origins_[entry.origin];
  if (origin.policy) origin.policy->Erase(id);
  return true;
}

LedgerEntry* Ledger::Find(uint64_t id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &places_[found->second].entry;
}

const LedgerEntry* Ledger::Find(uint64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &places_[found->second].entry;
}

bool Ledger::Admit(const capacity::Item& item, uint16_t origin, bool by_quota, int64_t now_ms) {
  capacity::EvictionPolicy* const policy = by_quota ? origins_[origin].policy.get() : policy_.get();
  return policy != nullptr && policy->Admit(item, now_ms);
}

std::optional<LedgerEntry> Ledger::Evict(int64_t now_ms) {
  while (policy_) {
    const std::optional<uint64_t> id = policy_->Evict(now_ms);
    if (!id) break;
    const auto found = by_id_.find(*id);
    if (found == by_id_.end()) continue;
    LedgerEntry entry = Remove(found);
    LedgerOrigin& origin = origins_[entry.origin];
    if (origin.policy) origin.policy->Erase(*id);
    return entry;
  }
  return std::nullopt;
}

std::optional<LedgerEntry> Ledger::EvictOf(uint16_t index, int64_t now_ms) {
  while (origins_[index].policy) {
    const std::optional<uint64_t> id = origins_[index].policy->Evict(now_ms);
    if (!id) break;
    const auto found = by_id_.find(*id);
    if (found == by_id_.end()) continue;
    LedgerEntry entry = Remove(found);
    if (policy_) policy_->Erase(*id);
    return entry;
  }
  return std::nullopt;
}

void Ledger::Visit(size_t from, size_t count,
                   const std::function<void(const LedgerEntry&)>& visit) const {
  const size_t end = std::min(places_.size(), from + count);
  for (size_t i = from; i < end; ++i) {
    if (places_[i].is_taken) visit(places_[i].entry);
  }
}

std::vector<std::pair<std::string, std::string>> Ledger::SavePolicies() const {
  std::vector<std::pair<std::string, std::string>> saved;
  if (policy_) saved.emplace_back("", policy_->Save());
  for (const LedgerOrigin& origin : origins_) {
    if (origin.policy) saved.emplace_back(origin.name, origin.policy->Save());
  }
  return saved;
}

Result<void> Ledger::LoadPolicies(const std::vector<std::pair<std::string, std::string>>& saved) {
  Result<void> outcome;
  for (const auto& [name, state] : saved) {
    capacity::EvictionPolicy* policy = nullptr;
    if (name.empty()) {
      policy = policy_.get();
    } else if (const uint16_t origin = OriginOf(name); origin != 0) {
      policy = origins_[origin].policy.get();
    }
    if (policy == nullptr) continue;
    Result<void> loaded = policy->Load(state);
    if (!loaded.ok() && outcome.ok()) outcome = std::move(loaded);
  }
  return outcome;
}

}  // namespace vr::cache
