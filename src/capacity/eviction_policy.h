// EvictionPolicy: which entries of a full store are worth their bytes.
//
// A policy knows items by id and never touches the store: whoever owns it tells it of stores, hits
// and removals, and asks it what to evict until the store is small enough. The same objects run
// inside the server and inside the simulator (`video-resizer simulate`), so what a trace shows is
// what a store does. Not thread-safe: the owner serialises. Nothing here blocks or reads a clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vr::capacity {

/// An entry as far as a policy cares.
struct Item {
  uint64_t id = 0;          ///< Hash64Of the entry's key
  uint64_t bytes = 0;       ///< what it takes in the store, body and metadata
  double cost_seconds = 0;  ///< CPU seconds it took to make, so what a hit saves
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  /// As in the configuration: "lru", "s3-fifo", "cost-aware".
  virtual std::string_view name() const = 0;

  /// It is in the store from now on; replaces an older one with that id.
  virtual void Insert(const Item& item, int64_t now_ms) = 0;
  /// It was served. Unknown ids are ignored.
  virtual void Hit(uint64_t id, int64_t now_ms) = 0;
  /// It has left the store by other ways than Evict() (purge, expiry). Unknown ids are ignored.
  virtual void Erase(uint64_t id) = 0;
  /// Somebody asked for it and it is not in the store. Counts its popularity before it is stored.
  virtual void Miss(uint64_t id, int64_t now_ms) = 0;
  /// Whether storing it is better than keeping what would have to go for it. Asked only when there
  /// is no room.
  virtual bool Admit(const Item& item, int64_t now_ms) = 0;
  /// Names what goes next and forgets it (it may stay in a ghost list). nullopt: nothing is held.
  virtual std::optional<uint64_t> Evict(int64_t now_ms) = 0;

  virtual size_t entries() const = 0;
  virtual uint64_t bytes() const = 0;  ///< of all items held

  /// What it has learned (recency, popularity, ghosts), to be loaded after a restart; versioned,
  /// its size bounded by the number of entries (docs/formats).
  virtual std::string Save() const = 0;
  /// Takes over what Save() gave for the items that Insert() named since; others are dropped. Call
  /// it after the store's items were inserted.
  /// @errors kCorruption, kUnsupported: nothing is changed
  virtual Result<void> Load(std::string_view state) = 0;
};

struct PolicyOptions {
  uint64_t max_bytes = 0;  ///< of the store it serves; sizes sketches and ghost lists
  uint64_t expected_entries = 100'000;
  int64_t half_life_ms = 24 * 3600 * 1000LL;  ///< popularity counts half after that long
  /// While there is no room, what was asked for less often of late is not admitted; 1 to 255.
  uint32_t min_uses = 1;
};

/// @errors kInvalidArgument: names the value and what is allowed
Result<std::unique_ptr<EvictionPolicy>> MakePolicy(std::string_view name,
                                                   const PolicyOptions& options);

/// Every name that MakePolicy() knows.
std::vector<std::string_view> PolicyNames();

}  // namespace vr::capacity
