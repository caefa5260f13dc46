// SievePolicy: the edge's policy (cache/sieve.h; Zhang et al., NSDI '24) as one queue and without
// shards, so that the simulator can compare it with the others at equal bytes.
#pragma once

#include "capacity/eviction_policy.h"
#include "capacity/item_table.h"

namespace vr::capacity {

class SievePolicy final : public EvictionPolicy {
 public:
  explicit SievePolicy(const PolicyOptions& options);

  std::string_view name() const override { return "sieve"; }
  void Insert(const Item& item, int64_t now_ms) override;
  void Hit(uint64_t id, int64_t now_ms) override;
  void Erase(uint64_t id) override;
  void Miss(uint64_t, int64_t) override {}
  bool Admit(const Item&, int64_t) override { return true; }
  std::optional<uint64_t> Evict(int64_t now_ms) override;
  size_t entries() const override { return items_.size(); }
  uint64_t bytes() const override { return items_.bytes(); }
  /// Without the hand: after a restart it begins at the oldest.
  std::string Save() const override;
  Result<void> Load(std::string_view state) override;

 private:
  struct Node : QueuedNode {
    bool visited = false;
  };
  void Remove(Index at);

  ItemTable<Node> items_;
  ItemQueue<Node> queue_;
  Index hand_ = kNoIndex;  ///< the next to be looked at; none: the oldest
};

}  // namespace vr::capacity
