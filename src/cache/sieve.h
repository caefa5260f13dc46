// Sieve<T>: a byte-bounded, sharded map of immutable things with SIEVE eviction: what the layers in
// memory are made of.
//
// A hit takes one shard's mutex, finds the item and sets its "visited" bit; nothing moves. SIEVE
// (Zhang et al., NSDI '24): one FIFO queue and a hand that walks from old to new, spares what was
// visited since its last pass and evicts the first item that was not. T has a `std::string key`;
// ChargeOf(const T&) says what an item costs in bytes, FilesOf(const T&) how many descriptors it
// holds; both never change. Thread-safe; never waits.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "base/mutex.h"
#include "cache/options.h"

namespace vr::cache {

template <class T>
class Sieve {
 public:
  using Ref = std::shared_ptr<const T>;
  explicit Sieve(EdgeOptions options);

  /// The item under `key`, fresh or not; null when there is none.
  Ref Find(std::string_view key);
  /// The same, and it does not count as a use.
  Ref Look(std::string_view key);
  /// Puts or replaces. What is larger than a shard's share of the limit is not kept.
  /// @return whether it is held now
  bool Insert(Ref item);
  /// Puts `item`, which costs the same, in the place of `expected`, unless that is no longer there.
  bool Replace(const Ref& expected, Ref item);
  /// Removes `key`; with `expected`, only if it still holds that very item. @return whether
  /// something was removed.
  bool Erase(std::string_view key, const Ref& expected = nullptr);
  void Clear();
  /// Removes everything `matches` says yes to. Looks at every item, one shard locked at a time.
  /// @return how many
  size_t EraseIf(const std::function<bool(const T&)>& matches);
  size_t CountIf(const std::function<bool(const T&)>& matches);

  /// The most that one item may cost and be kept.
  uint64_t max_item_bytes() const { return shard_bytes_; }
  bool enabled() const { return options_.max_bytes > 0; }
  const EdgeOptions& options() const { return options_; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t entries() const { return entries_.load(std::memory_order_relaxed); }
  uint64_t evictions() const { return evictions_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kShards = 64;
  struct Node {
    Ref item;
    uint64_t charge = 0;
    bool visited = false;
  };
  using Queue = std::list<Node>;  // newest in front
  struct Shard {
    Mutex mutex;
    Queue queue GUARDED_BY(mutex);
    typename Queue::iterator hand GUARDED_BY(mutex) = queue.end();
    /// Keys are views of the item's own key.
    std::unordered_map<std::string_view, typename Queue::iterator> index GUARDED_BY(mutex);
    uint64_t bytes GUARDED_BY(mutex) = 0;
    uint32_t files GUARDED_BY(mutex) = 0;
  };
  Shard& ShardOf(std::string_view key);
  void Remove(Shard& shard, typename Queue::iterator node) REQUIRES(shard.mutex);
  void EvictOne(Shard& shard) REQUIRES(shard.mutex);

  const EdgeOptions options_;
  const uint64_t shard_bytes_;
  const uint32_t shard_files_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> bytes_{0}, entries_{0}, evictions_{0};
};

template <class T>
Sieve<T>::Sieve(EdgeOptions options)
    : options_(options),
      shard_bytes_(options.max_bytes / kShards),
      shard_files_(std::max<uint32_t>(1, options.max_open_files / kShards)) {}

template <class T>
typename Sieve<T>::Shard& Sieve<T>::ShardOf(std::string_view key) {
  return shards_[Hash64Of(key) % kShards];
}

template <class T>
typename Sieve<T>::Ref Sieve<T>::Find(std::string_view key) {
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(key);
  if (found == shard.index.end()) return nullptr;
  found->second->visited = true;
  return found->second->item;
}

template <class T>
typename Sieve<T>::Ref Sieve<T>::Look(std::string_view key) {
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(key);
  return found == shard.index.end() ? nullptr : found->second->item;
}

template <class T>
bool Sieve<T>::Insert(Ref item) {
  const uint64_t charge = ChargeOf(*item);
  const uint32_t files = FilesOf(*item);
  Shard& shard = ShardOf(item->key);
  MutexLock lock(shard.mutex);
  if (const auto old = shard.index.find(item->key); old != shard.index.end()) {
    Remove(shard, old->second);
  }
  if (charge > shard_bytes_ || files > shard_files_) return false;
  while (!shard.queue.empty() &&
         (shard.bytes + charge > shard_bytes_ || shard.files + files > shard_files_)) {
    EvictOne(shard);
  }
  shard.queue.push_front(Node{std::move(item), charge, false});
  const auto node = shard.queue.begin();
  shard.index.emplace(node->item->key, node);
  shard.bytes += charge;
  shard.files += files;
  bytes_.fetch_add(charge, std::memory_order_relaxed);
  entries_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

template <class T>
bool Sieve<T>::Replace(const Ref& expected, Ref item) {
  Shard& shard = ShardOf(expected->key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(expected->key);
  if (found == shard.index.end() || found->second->item != expected) return false;
  // The index's key is a view of the item's own: move it to the new one.
  const auto node = found->second;
  shard.index.erase(found);
  node->item = std::move(item);
  shard.index.emplace(node->item->key, node);
  return true;
}

template <class T>
bool Sieve<T>::Erase(std::string_view key, const Ref& expected) {
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(key);
  if (found == shard.index.end()) return false;
  if (expected && found->second->item != expected) return false;
  Remove(shard, found->second);
  return true;
}

template <class T>
void Sieve<T>::Clear() {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    while (!shard.queue.empty()) Remove(shard, shard.queue.begin());
  }
}

template <class T>
size_t Sieve<T>::EraseIf(const std::function<bool(const T&)>& matches) {
  size_t erased = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (auto node = shard.queue.begin(); node != shard.queue.end();) {
      const auto next = std::next(node);
      if (matches(*node->item)) {
        Remove(shard, node);
        ++erased;
      }
      node = next;
    }
  }
  return erased;
}

template <class T>
size_t Sieve<T>::CountIf(const std::function<bool(const T&)>& matches) {
  size_t count = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (const Node& node : shard.queue) count += matches(*node.item) ? 1 : 0;
  }
  return count;
}

template <class T>
void Sieve<T>::Remove(Shard& shard, typename Queue::iterator node) {
  if (shard.hand == node) {
    shard.hand = node == shard.queue.begin() ? shard.queue.end() : std::prev(node);
  }
  shard.index.erase(node->item->key);
  shard.bytes -= node->charge;
  shard.files -= FilesOf(*node->item);
  bytes_.fetch_sub(node->charge, std::memory_order_relaxed);
  entries_.fetch_sub(1, std::memory_order_relaxed);
  shard.queue.erase(node);
}

template <class T>
void Sieve<T>::EvictOne(Shard& shard) {
  // The hand moves from the oldest (back) towards the newest (front) and wraps around.
  typename Queue::iterator hand = shard.hand;
  const auto older_end = shard.queue.end();
  if (hand == older_end) hand = std::prev(older_end);
  while (hand->visited) {
    hand->visited = false;
    hand = hand == shard.queue.begin() ? std::prev(older_end) : std::prev(hand);
  }
  shard.hand = hand == shard.queue.begin() ? older_end : std::prev(hand);
  Remove(shard, hand);
  evictions_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace vr::cache
