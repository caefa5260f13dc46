// MemoryIndex: every key of the embedded store, in memory, so that a miss is answered without
// leaving the loop, and usage is a load of two numbers. Filled by one scan at open. Thread-safe; a
// shard's lock is held for one map operation.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"
#include "base/mutex.h"
#include "kv/kv_store.h"

namespace vr::kv {

struct IndexEntry {
  uint64_t body_id = 0;
  uint64_t body_size = 0;  ///< bytes
  int64_t expires_ms = 0;  ///< ms since the epoch; 0 = never
  Hash128 digest;
  uint32_t metadata_size = 0;  ///< bytes
  bool is_inline = false;
  bool is_readable = true;  ///< false: written by a newer program; a miss for us
  uint64_t version = 0;     ///< given by the index: another one with each Put()
};

class MemoryIndex {
 public:
  std::optional<IndexEntry> Find(std::string_view key) const;
  void Put(std::string_view key, IndexEntry entry);
  void Erase(std::string_view key);
  Usage usage() const;
  /// Is told of each key whose entry was replaced or erased, after that; must not call back. Before
  /// anybody else is inside.
  void OnChange(std::function<void(std::string_view key)> listen) { listen_ = std::move(listen); }
  /// Visits all entries, one shard's lock held at a time; `visit` must not call back.
  void ForEach(const std::function<void(const std::string& key, const IndexEntry&)>& visit) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return Hash64Of(s); }
  };
  struct Shard {
    mutable Mutex mutex;
    std::unordered_map<std::string, IndexEntry, Hash, std::equal_to<>> map GUARDED_BY(mutex);
  };
  // The map uses the hash's low bits, the shards its high ones.
  Shard& ShardOf(std::string_view key) { return shards_[Hash64Of(key) >> 58]; }
  const Shard& ShardOf(std::string_view key) const { return shards_[Hash64Of(key) >> 58]; }

  std::array<Shard, 64> shards_;
  std::atomic<uint64_t> entries_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> last_version_{0};
  std::function<void(std::string_view)> listen_;
};

}  // namespace vr::kv
