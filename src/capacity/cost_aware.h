// CostAwarePolicy: keeps the bytes that save the most encoding.
//
// The worth of an item is its popularity (requests, aged) times the CPU seconds a hit saves, per
// byte it takes; the least worth goes first. Popularity is counted from the first miss on (sketch),
// in the store (exactly), and after it has left (ghosts), so what comes back does not begin at one.
// What is not stored yet has to be worth more than what would have to go for it.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "capacity/ageing_clock.h"
#include "capacity/eviction_policy.h"
#include "capacity/ghost_list.h"
#include "capacity/item_table.h"
#include "capacity/lazy_heap.h"
#include "capacity/popularity_sketch.h"

namespace vr::capacity {

class CostAwarePolicy final : public EvictionPolicy {
 public:
  explicit CostAwarePolicy(const PolicyOptions& options);

  std::string_view name() const override { return "cost-aware"; }
  void Insert(const Item& item, int64_t now_ms) override;
  void Hit(uint64_t id, int64_t now_ms) override;
  void Erase(uint64_t id) override;
  void Miss(uint64_t id, int64_t now_ms) override;
  bool Admit(const Item& item, int64_t now_ms) override;
  std::optional<uint64_t> Evict(int64_t now_ms) override;
  size_t entries() const override { return items_.size(); }
  uint64_t bytes() const override { return items_.bytes(); }
  std::string Save() const override;
  Result<void> Load(std::string_view state) override;

 private:
  struct Node : ItemNode {
    double score = 0;  ///< popularity, AgeingClock
    float gain = 0;    ///< log2 of the seconds that a hit saves per byte
    uint32_t heap_place = 0;
  };
  struct Places {
    ItemTable<Node>* items;
    uint32_t& operator()(Index at) const { return (*items)[at].heap_place; }
  };
  struct Scored {
    uint64_t id = 0;
    float score = 0;  ///< less the clock's time
  };

  static float GainOf(const Item& item);
  /// log2 of seconds saved per byte and request, comparable at any time.
  float WorthOf(Index at) const;
  /// Of what is not held.
  double ScoreOf(uint64_t id);
  void CountPressure(uint64_t bytes);
  Index FindLeast();
  double DensityOfVictims(uint64_t bytes);
  float AgeOf(double score) const;
  static void PutScored(std::string& out, const std::vector<Scored>& all);
  static std::vector<Scored> ReadScored(ByteReader& in);
  void Remember(const Node& node);
  void Remove(Index at);

  const uint64_t max_bytes_;
  AgeingClock clock_;
  ItemTable<Node> items_;
  LazyHeap<Places> heap_;
  PopularitySketch strangers_;  ///< what was asked for and is neither held nor a ghost
  GhostList<float> ghosts_;     ///< their scores
};

}  // namespace vr::capacity
