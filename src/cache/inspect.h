// What an operator may look at: entries and variants, as the store has them. Pure data; the
// functions are Orchestrator's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vr::cache {

struct EntryView {
  std::string key;
  std::string metadata_json;  ///< as stored; expiresAt is the store's
  bool in_edge = false;
  bool in_kv = false;
  bool in_production = false;
  /// Of an entry of the store, as far as it is known.
  struct Use {
    uint64_t uses = 0;
    int64_t last_ms = 0;
    double ttl_factor = 1;
  };
  std::optional<Use> use;
};

struct VariantPage {
  std::vector<EntryView> variants;  ///< ordered by key
  std::string cursor;               ///< pass to the next call; empty = end
};

}  // namespace vr::cache
