// Replays a trace against a policy, doing to it what a store does: hits, misses, admission,
// eviction until there is room. Pure; the clock is the trace's.
#pragma once

#include <cstdint>
#include <vector>

#include "capacity/eviction_policy.h"
#include "capacity/trace.h"

namespace vr::capacity {

struct Outcome {
  uint64_t requests = 0;
  uint64_t hits = 0;
  uint64_t bytes = 0;  ///< asked for
  uint64_t hit_bytes = 0;
  double seconds = 0;  ///< of encoding, had there been no store
  double seconds_saved = 0;
  uint64_t evictions = 0;
  uint64_t refusals = 0;    ///< not admitted, or larger than the store
  uint64_t most_bytes = 0;  ///< that were ever held; never more than the store's
  uint64_t most_entries = 0;

  double hit_rate() const {
    return Ratio(static_cast<double>(hits), static_cast<double>(requests));
  }
  double byte_hit_rate() const {
    return Ratio(static_cast<double>(hit_bytes), static_cast<double>(bytes));
  }
  double saved_rate() const { return Ratio(seconds_saved, seconds); }

 private:
  static double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }
};

/// How a store keeps its limit. Marks of 100 %: it evicts when something finds no room, and no more
/// than that needs. Others: as KvKeeper does, see docs/capacity.md.
struct StoreRules {
  uint64_t max_bytes = 0;
  uint32_t high_watermark = 100;  ///< percent of max_bytes: beyond, eviction begins
  /// Percent of max_bytes: there it ends; what would not fit below has to be admitted; what is
  /// larger is not stored.
  uint32_t low_watermark = 100;
  uint64_t metadata_bytes = 0;  ///< what each entry takes beside its body
};

/// `policy` must be new. An entry that is asked for with another size than it is held with is a hit
/// of the size it is asked for with.
/// @param[out] held  ids of what the store holds at the end, in no order; may be null
Outcome Replay(const std::vector<TraceRequest>& requests, EvictionPolicy& policy,
               const StoreRules& rules, std::vector<uint64_t>* held = nullptr);

struct Footprint {
  uint64_t entries = 0;
  uint64_t bytes = 0;  ///< of all different entries, each with its first size
};
Footprint MeasureFootprint(const std::vector<TraceRequest>& requests);

}  // namespace vr::capacity
