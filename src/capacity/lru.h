// LruPolicy: what was not used for longest goes first. The measure for the others.
#pragma once

#include "capacity/eviction_policy.h"
#include "capacity/item_table.h"

namespace vr::capacity {

class LruPolicy final : public EvictionPolicy {
 public:
  explicit LruPolicy(const PolicyOptions& options);

  std::string_view name() const override { return "lru"; }
  void Insert(const Item& item, int64_t now_ms) override;
  void Hit(uint64_t id, int64_t now_ms) override;
  void Erase(uint64_t id) override;
  void Miss(uint64_t, int64_t) override {}
  bool Admit(const Item&, int64_t) override { return true; }
  std::optional<uint64_t> Evict(int64_t now_ms) override;
  size_t entries() const override { return items_.size(); }
  uint64_t bytes() const override { return items_.bytes(); }
  std::string Save() const override;
  Result<void> Load(std::string_view state) override;

 private:
  void Remove(Index at);

  ItemTable<QueuedNode> items_;
  ItemQueue<QueuedNode> queue_;
};

}  // namespace vr::capacity
