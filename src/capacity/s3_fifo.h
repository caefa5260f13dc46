// S3FifoPolicy: three first-in-first-out queues instead of one order of recency (Yang et al., "FIFO
// queues are all you need for cache eviction", SOSP '23), bounded by bytes.
//
// What is new waits in a small queue of a tenth of the bytes; what was asked for twice there, or
// returns soon after it left, goes to the main queue, whose items get another round for each of
// their last uses. One-hit wonders leave by the small queue and never reach the main one.
#pragma once

#include "capacity/eviction_policy.h"
#include "capacity/ghost_list.h"
#include "capacity/item_table.h"

namespace vr::capacity {

class S3FifoPolicy final : public EvictionPolicy {
 public:
  explicit S3FifoPolicy(const PolicyOptions& options);

  std::string_view name() const override { return "s3-fifo"; }
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
  struct Node : QueuedNode {
    uint8_t uses = 0;  ///< since it entered its queue or was spared there; at most kMaxUses
    bool is_main = false;
  };
  using Queue = ItemQueue<Node>;
  struct Row;
  struct Nothing {};

  Queue& QueueOf(const Node& node) { return node.is_main ? main_ : small_; }
  bool IsSmallsTurn() const;
  void MoveToMain(Index at);
  void Remove(Index at);
  void Restore(const std::vector<Row>& rows, bool is_main);

  const uint64_t max_bytes_;
  ItemTable<Node> items_;
  Queue small_;
  Queue main_;
  GhostList<Nothing> ghosts_;
};

}  // namespace vr::capacity
