// What may be looked at without being used: entries and variants, as the store has them. Pure data;
// the functions are Orchestrator's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cache/entity.h"

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

/// What a source's variants are, as far as was looked.
struct Held {
  struct Variant {
    std::string key;
    Metadata meta;  ///< expires_at_ms is the store's
  };
  std::vector<Variant> variants;  ///< ordered by key
  bool is_cut = false;            ///< there are more that nobody has looked at
};

}  // namespace vr::cache
