#include "capacity/simulator.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/check.h"
#include "capacity/item_table.h"

namespace vr::capacity {

namespace {

class SimulatedStore {
 public:
  SimulatedStore(EvictionPolicy& policy, uint64_t max_bytes)
      : policy_(policy), max_bytes_(max_bytes) {}

  void Serve(const TraceRequest& request) {
    outcome_.requests += 1;
    outcome_.bytes += request.bytes;
    outcome_.seconds += request.cost_seconds;
    if (held_.contains(request.id)) {
      outcome_.hits += 1;
      outcome_.hit_bytes += request.bytes;
      outcome_.seconds_saved += request.cost_seconds;
      policy_.Hit(request.id, request.time_ms);
      return;
    }
    policy_.Miss(request.id, request.time_ms);
    Store(request);
  }
  const Outcome& outcome() const { return outcome_; }

 private:
  void Store(const TraceRequest& request) {
    const Item item{request.id, request.bytes, request.cost_seconds};
    const bool has_room = policy_.bytes() + item.bytes <= max_bytes_;
    if (item.bytes > max_bytes_ || (!has_room && !policy_.Admit(item, request.time_ms))) {
      outcome_.refusals += 1;
      return;
    }
    while (policy_.bytes() + item.bytes > max_bytes_) {
      const std::optional<uint64_t> victim = policy_.Evict(request.time_ms);
      VR_CHECK(victim && held_.erase(*victim) == 1);
      outcome_.evictions += 1;
    }
    policy_.Insert(item, request.time_ms);
    held_.insert(item.id);
    outcome_.most_bytes = std::max(outcome_.most_bytes, policy_.bytes());
    outcome_.most_entries = std::max<uint64_t>(outcome_.most_entries, policy_.entries());
  }

  EvictionPolicy& policy_;
  const uint64_t max_bytes_;
  boost::unordered_flat_set<uint64_t, IdHash> held_;
  Outcome outcome_;
};

}  // namespace

Outcome Replay(const std::vector<TraceRequest>& requests, EvictionPolicy& policy,
               uint64_t max_bytes) {
  SimulatedStore store(policy, max_bytes);
  for (const TraceRequest& request : requests) store.Serve(request);
  return store.outcome();
}

Footprint MeasureFootprint(const std::vector<TraceRequest>& requests) {
  Footprint footprint;
  boost::unordered_flat_set<uint64_t, IdHash> seen;
  for (const TraceRequest& request : requests) {
    if (!seen.insert(request.id).second) continue;
    footprint.entries += 1;
    footprint.bytes += request.bytes;
  }
  return footprint;
}

}  // namespace vr::capacity
