// Edge (L1): the response cache of this process. Byte-bounded, sharded, SIEVE eviction.
//
// A hit takes one shard's mutex, finds the entry and sets its "visited" bit; nothing moves. SIEVE
// (Zhang et al., NSDI '24): one FIFO queue and a hand that walks from old to new, spares what was
// visited since its last pass and evicts the first entry that was not. Entities up to
// `max_object_in_memory` are held as memory, larger ones as an open file: their bytes live in the
// kernel's page cache. Thread-safe; never waits.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"
#include "cache/entity.h"
#include "cache/options.h"

namespace vr::cache {

class Edge {
 public:
  explicit Edge(EdgeOptions options);

  /// The entity under `key`, fresh or not; null when there is none.
  EntityRef Find(std::string_view key);
  /// Puts or replaces. What is larger than a shard's share of the limit is not kept.
  /// @return whether it is held now
  bool Insert(EntityRef entity);
  /// Puts `entity` in the place of `expected`, unless that is no longer there.
  bool Replace(const EntityRef& expected, EntityRef entity);
  /// Removes `key`; with `expected`, only if it still holds that very entity. @return whether
  /// something was removed.
  bool Erase(std::string_view key, const EntityRef& expected = nullptr);
  void Clear();
  /// Removes everything `matches` says yes to. Looks at every entry, one shard locked at a time.
  /// @return how many
  size_t EraseIf(const std::function<bool(const Entity&)>& matches);
  size_t CountIf(const std::function<bool(const Entity&)>& matches);

  bool enabled() const { return options_.max_bytes > 0; }
  const EdgeOptions& options() const { return options_; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t entries() const { return entries_.load(std::memory_order_relaxed); }
  uint64_t evictions() const { return evictions_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kShards = 64;
  struct Node {
    EntityRef entity;
    uint64_t charge = 0;
    bool visited = false;
  };
  using Queue = std::list<Node>;  // newest in front
  struct Shard {
    Mutex mutex;
    Queue queue GUARDED_BY(mutex);
    Queue::iterator hand GUARDED_BY(mutex) = queue.end();
    /// Keys are views of the entity's own key.
    std::unordered_map<std::string_view, Queue::iterator> index GUARDED_BY(mutex);
    uint64_t bytes GUARDED_BY(mutex) = 0;
    uint32_t files GUARDED_BY(mutex) = 0;
  };
  Shard& ShardOf(std::string_view key);
  void Remove(Shard& shard, Queue::iterator node) REQUIRES(shard.mutex);
  void EvictOne(Shard& shard) REQUIRES(shard.mutex);

  const EdgeOptions options_;
  const uint64_t shard_bytes_;
  const uint32_t shard_files_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> bytes_{0}, entries_{0}, evictions_{0};
};

}  // namespace vr::cache
