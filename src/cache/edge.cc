#include "cache/edge.h"

#include <algorithm>

#include "base/hash.h"

namespace vr::cache {

namespace {

/// Entity, list node, index slot and allocator overhead, measured as roughly this with glibc.
constexpr uint64_t kEntryOverhead = 1024;

uint64_t ChargeOf(const Entity& entity) {
  uint64_t charge =
      kEntryOverhead + 2 * entity.key.size() + (entity.head ? entity.head->size() : 0);
  for (const std::string& tag : entity.meta.cache_tags) charge += tag.size() + 32;
  if (entity.memory) charge += entity.memory->size();
  return charge;
}

}  // namespace

Edge::Edge(EdgeOptions options)
    : options_(options),
      shard_bytes_(options.max_bytes / kShards),
      shard_files_(std::max<uint32_t>(1, options.max_open_files / kShards)) {}

Edge::Shard& Edge::ShardOf(std::string_view key) {
  return shards_[Hash64Of(key) % kShards];
}

EntityRef Edge::Find(std::string_view key) {
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(key);
  if (found == shard.index.end()) return nullptr;
  found->second->visited = true;
  return found->second->entity;
}

bool Edge::Insert(EntityRef entity) {
  const uint64_t charge = ChargeOf(*entity);
  Shard& shard = ShardOf(entity->key);
  MutexLock lock(shard.mutex);
  if (const auto old = shard.index.find(entity->key); old != shard.index.end()) {
    Remove(shard, old->second);
  }
  if (charge > shard_bytes_) return false;
  const bool is_file = entity->file != nullptr;
  while (!shard.queue.empty() &&
         (shard.bytes + charge > shard_bytes_ || (is_file && shard.files >= shard_files_))) {
    EvictOne(shard);
  }
  shard.queue.push_front(Node{std::move(entity), charge, false});
  const auto node = shard.queue.begin();
  shard.index.emplace(node->entity->key, node);
  shard.bytes += charge;
  if (is_file) ++shard.files;
  bytes_.fetch_add(charge, std::memory_order_relaxed);
  entries_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool Edge::Replace(const EntityRef& expected, EntityRef entity) {
  Shard& shard = ShardOf(expected->key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(expected->key);
  if (found == shard.index.end() || found->second->entity != expected) return false;
  // The index's key is a view of the entity's own: move it to the new one.
  const auto node = found->second;
  shard.index.erase(found);
  node->entity = std::move(entity);
  shard.index.emplace(node->entity->key, node);
  return true;
}

bool Edge::Erase(std::string_view key, const EntityRef& expected) {
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mutex);
  const auto found = shard.index.find(key);
  if (found == shard.index.end()) return false;
  if (expected && found->second->entity != expected) return false;
  Remove(shard, found->second);
  return true;
}

void Edge::Clear() {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    while (!shard.queue.empty()) Remove(shard, shard.queue.begin());
  }
}

size_t Edge::EraseIf(const std::function<bool(const Entity&)>& matches) {
  size_t erased = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (auto node = shard.queue.begin(); node != shard.queue.end();) {
      const auto next = std::next(node);
      if (matches(*node->entity)) {
        Remove(shard, node);
        ++erased;
      }
      node = next;
    }
  }
  return erased;
}

size_t Edge::CountIf(const std::function<bool(const Entity&)>& matches) {
  size_t count = 0;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (const Node& node : shard.queue) count += matches(*node.entity) ? 1 : 0;
  }
  return count;
}

void Edge::Remove(Shard& shard, Queue::iterator node) {
  if (shard.hand == node) {
    shard.hand = node == shard.queue.begin() ? shard.queue.end() : std::prev(node);
  }
  shard.index.erase(node->entity->key);
  shard.bytes -= node->charge;
  if (node->entity->file) --shard.files;
  bytes_.fetch_sub(node->charge, std::memory_order_relaxed);
  entries_.fetch_sub(1, std::memory_order_relaxed);
  shard.queue.erase(node);
}

void Edge::EvictOne(Shard& shard) {
  // The hand moves from the oldest (back) towards the newest (front) and wraps around.
  Queue::iterator hand = shard.hand;
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
