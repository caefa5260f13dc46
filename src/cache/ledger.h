// Ledger: what the keeper of the durable store knows of every entry (size, cost, origin, use), and
// the eviction policies that are told of it: one for all, and one more for each origin with a quota
// of its own, of that origin's entries alone.
//
// About 250 bytes per entry with a key of 80, and what the policy takes. Entries go by a hash of 64
// bits of their key; of two keys with one hash the later is known. Not thread-safe: KvKeeper
// serialises. Nothing here waits or reads a clock.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "cache/options.h"
#include "cache/use_log.h"
#include "capacity/eviction_policy.h"

namespace vr::cache {

struct LedgerEntry {
  std::string key;
  uint64_t id = 0;
  uint64_t bytes = 0;  ///< body and metadata
  float cost_seconds = 0;
  uint16_t origin = 0;  ///< index in Ledger::origins()
  int64_t created_ms = 0;
  int64_t used_ms = 0;     ///< last use
  int64_t fresh_ms = 0;    ///< when its TTL began
  int64_t expires_ms = 0;  ///< 0 = never
  uint32_t uses = 0;
  uint32_t uses_in_ttl = 0;  ///< of them, since its TTL began
  float ttl_factor = 1;
  uint64_t born = 0;  ///< how many entries the ledger had taken before it
};

struct LedgerOrigin {
  std::string name;  ///< "other" for what no configured origin claims
  uint64_t quota = 0;
  uint64_t bytes = 0, entries = 0;
  uint64_t reserved = 0;  ///< bytes promised to stores under way
  uint64_t wanted = 0;    ///< bytes that stores wait for
  bool is_lowering = false;
  std::unique_ptr<capacity::EvictionPolicy> policy;  ///< null without a quota
};

class Ledger {
 public:
  /// @errors kInvalidArgument (no such policy)
  static Result<Ledger> Create(const KeeperOptions& options);

  /// It is in the store; uses of an older one under that key go on counting.
  void Put(LedgerEntry entry, int64_t now_ms);
  void Note(const Use& use);
  /// @return whether it was known
  bool Erase(uint64_t id);
  bool Knows(uint64_t id) const { return by_id_.contains(id); }
  /// Null when not known. Do not change key, id, bytes or origin.
  LedgerEntry* Find(uint64_t id);
  const LedgerEntry* Find(uint64_t id) const;

  bool Admit(const capacity::Item& item, uint16_t origin, bool by_quota, int64_t now_ms);
  /// The next to go, of all or of one origin; it is not known any more.
  std::optional<LedgerEntry> Evict(int64_t now_ms);
  std::optional<LedgerEntry> EvictOf(uint16_t origin, int64_t now_ms);
  bool evicts() const { return policy_ != nullptr; }
  std::string_view policy_name() const { return policy_ ? policy_->name() : "none"; }

  uint16_t OriginOf(std::string_view name) const;
  std::vector<LedgerOrigin>& origins() { return origins_; }
  const std::vector<LedgerOrigin>& origins() const { return origins_; }
  /// Other quotas, by name; who is not named has none. Origins that are new are known from here on.
  /// @errors as Create()
  Result<void> SetQuotas(const std::map<std::string, uint64_t, std::less<>>& quotas,
                         int64_t now_ms);

  size_t entries() const { return by_id_.size(); }
  uint64_t taken() const { return taken_; }
  /// For walks in pieces: visits the entries of `count` places from `from` on. Places are stable;
  /// `visit` must not change the ledger.
  size_t places() const { return places_.size(); }
  void Visit(size_t from, size_t count, const std::function<void(const LedgerEntry&)>& visit) const;

  /// What the policies have learned, by the origin's name; "" = that for all.
  std::vector<std::pair<std::string, std::string>> SavePolicies() const;
  /// @errors what the first that cannot be read says; the others are taken over
  Result<void> LoadPolicies(const std::vector<std::pair<std::string, std::string>>& saved);

 private:
  struct Place {
    LedgerEntry entry;
    bool is_taken = false;
  };
  explicit Ledger(const KeeperOptions& options);
  Result<std::unique_ptr<capacity::EvictionPolicy>> MakePolicy(uint64_t max_bytes,
                                                               uint64_t expected) const;
  LedgerEntry Remove(std::unordered_map<uint64_t, uint32_t>::iterator found);
  static capacity::Item ItemOf(const LedgerEntry& entry);

  std::string policy_kind_;
  uint32_t min_uses_;
  std::unique_ptr<capacity::EvictionPolicy> policy_;
  std::deque<Place> places_;
  std::vector<uint32_t> free_;
  std::unordered_map<uint64_t, uint32_t> by_id_;
  std::vector<LedgerOrigin> origins_;  ///< the first is "other"
  uint64_t taken_ = 0;
};

}  // namespace vr::cache
