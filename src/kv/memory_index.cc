#include "kv/memory_index.h"

namespace vr::kv {
namespace {
uint64_t BytesOf(const IndexEntry& e) {
  return e.body_size + e.metadata_size;
}
}  // namespace

std::optional<IndexEntry> MemoryIndex::Find(std::string_view key) const {
  const Shard& shard = ShardOf(key);
  MutexLock lock(shard.mutex);
  const auto it = shard.map.find(key);
  if (it == shard.map.end()) return std::nullopt;
  return it->second;
}

void MemoryIndex::Put(std::string_view key, IndexEntry entry) {
  entry.version = last_version_.fetch_add(1, std::memory_order_relaxed) + 1;
  Shard& shard = ShardOf(key);
  {
    MutexLock lock(shard.mutex);
    const auto it = shard.map.find(key);
    if (it == shard.map.end()) {
      shard.map.emplace(std::string(key), entry);
      entries_.fetch_add(1, std::memory_order_relaxed);
      bytes_.fetch_add(BytesOf(entry), std::memory_order_relaxed);
      return;
    }
    // Unsigned arithmetic wraps, so one addition serves growing and shrinking.
    bytes_.fetch_add(BytesOf(entry) - BytesOf(it->second), std::memory_order_relaxed);
    it->second = entry;
  }
  if (listen_) listen_(key);
}

void MemoryIndex::Erase(std::string_view key) {
  Shard& shard = ShardOf(key);
  {
    MutexLock lock(shard.mutex);
    const auto it = shard.map.find(key);
    if (it == shard.map.end()) return;
    entries_.fetch_sub(1, std::memory_order_relaxed);
    bytes_.fetch_sub(BytesOf(it->second), std::memory_order_relaxed);
    shard.map.erase(it);
  }
  if (listen_) listen_(key);
}

Usage MemoryIndex::usage() const {
  Usage usage;
  usage.entries = entries_.load(std::memory_order_relaxed);
  usage.bytes = bytes_.load(std::memory_order_relaxed);
  return usage;
}

void MemoryIndex::ForEach(
    const std::function<void(const std::string& key, const IndexEntry&)>& visit) const {
  for (const Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (const auto& [key, entry] : shard.map) visit(key, entry);
  }
}

}  // namespace vr::kv
