// ItemTable: the items a policy holds, found by id; and ItemQueue, an order among them.
//
// Nodes lie in one array and are named by their index, which stays until they are removed; a hit
// costs one look-up and allocates nothing. Node is a struct that begins as `ItemNode`; what a
// policy remembers of an item it adds there. Thread-compatible.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "capacity/eviction_policy.h"

namespace vr::capacity {

using Index = uint32_t;
inline constexpr Index kNoIndex = UINT32_MAX;

/// Ids are hashes in a store, but may be small numbers in a trace.
struct IdHash {
  using is_avalanching = void;
  size_t operator()(uint64_t id) const {
    id ^= id >> 32;
    id *= 0x9e3779b97f4a7c15;
    return id ^ id >> 29;
  }
};

struct ItemNode {
  uint64_t id = 0;
  uint64_t bytes = 0;
};

template <class Node>
class ItemTable {
 public:
  explicit ItemTable(size_t expected) {
    nodes_.reserve(expected);
    index_.reserve(expected);
  }

  /// kNoIndex when it is not held.
  Index Find(uint64_t id) const {
    const auto found = index_.find(id);
    return found == index_.end() ? kNoIndex : found->second;
  }
  /// `item` must not be held yet.
  Index Add(const Item& item) {
    Index at;
    if (free_.empty()) {
      at = static_cast<Index>(nodes_.size());
      nodes_.emplace_back();
    } else {
      at = free_.back();
      free_.pop_back();
      nodes_[at] = Node();
    }
    nodes_[at].id = item.id;
    nodes_[at].bytes = item.bytes;
    bytes_ += item.bytes;
    index_.emplace(item.id, at);
    return at;
  }
  void Remove(Index at) {
    bytes_ -= nodes_[at].bytes;
    index_.erase(nodes_[at].id);
    free_.push_back(at);
  }

  Node& operator[](Index at) { return nodes_[at]; }
  const Node& operator[](Index at) const { return nodes_[at]; }
  size_t size() const { return index_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  std::vector<Node> nodes_;
  std::vector<Index> free_;
  boost::unordered_flat_map<uint64_t, Index, IdHash> index_;
  uint64_t bytes_ = 0;
};

/// A node that can stand in an ItemQueue.
struct QueuedNode : ItemNode {
  Index newer = kNoIndex;
  Index older = kNoIndex;
};

/// Nodes of a table from the newest to the oldest. A node stands in one queue at most, and leaves
/// it before it leaves the table.
template <class Node>
class ItemQueue {
 public:
  explicit ItemQueue(ItemTable<Node>& table) : table_(table) {}

  void PushNewest(Index at) {
    Node& node = table_[at];
    node.newer = kNoIndex;
    node.older = newest_;
    (newest_ == kNoIndex ? oldest_ : table_[newest_].newer) = at;
    newest_ = at;
    Count(node);
  }
  void PushOldest(Index at) {
    Node& node = table_[at];
    node.older = kNoIndex;
    node.newer = oldest_;
    (oldest_ == kNoIndex ? newest_ : table_[oldest_].older) = at;
    oldest_ = at;
    Count(node);
  }
  void Remove(Index at) {
    const Node& node = table_[at];
    (node.newer == kNoIndex ? newest_ : table_[node.newer].older) = node.older;
    (node.older == kNoIndex ? oldest_ : table_[node.older].newer) = node.newer;
    bytes_ -= node.bytes;
    --size_;
  }

  /// Oldest first.
  std::vector<uint64_t> Ids() const {
    std::vector<uint64_t> ids;
    ids.reserve(size_);
    for (Index at = oldest_; at != kNoIndex; at = table_[at].newer) ids.push_back(table_[at].id);
    return ids;
  }

  Index newest() const { return newest_; }
  Index oldest() const { return oldest_; }
  size_t size() const { return size_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Count(const Node& node) {
    bytes_ += node.bytes;
    ++size_;
  }

  ItemTable<Node>& table_;
  Index newest_ = kNoIndex;
  Index oldest_ = kNoIndex;
  size_t size_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace vr::capacity
