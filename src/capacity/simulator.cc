#include "capacity/simulator.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/check.h"
#include "capacity/item_table.h"
#include "capacity/watermark.h"

namespace vr::capacity {

namespace {

class SimulatedStore {
 public:
  SimulatedStore(EvictionPolicy& policy, const StoreRules& rules)
      : policy_(policy),
        rules_(rules),
        high_(PercentOf(rules.max_bytes, rules.high_watermark)),
        low_(PercentOf(rules.max_bytes, rules.low_watermark)) {}

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
  std::vector<uint64_t> held() const { return {held_.begin(), held_.end()}; }

 private:
  void Store(const TraceRequest& request) {
    const Item item{request.id, request.bytes + rules_.metadata_bytes, request.cost_seconds};
    const bool is_below = policy_.bytes() + item.bytes <= low_;
    if (item.bytes > low_ || (!is_below && !policy_.Admit(item, request.time_ms))) {
      outcome_.refusals += 1;
      return;
    }
    if (policy_.bytes() + item.bytes > rules_.max_bytes) LowerTo(low_ - item.bytes, request);
    policy_.Insert(item, request.time_ms);
    held_.insert(item.id);
    outcome_.most_bytes = std::max(outcome_.most_bytes, policy_.bytes());
    outcome_.most_entries = std::max<uint64_t>(outcome_.most_entries, policy_.entries());
    if (policy_.bytes() > high_) LowerTo(low_, request);
  }
  void LowerTo(uint64_t bytes, const TraceRequest& request) {
    while (policy_.bytes() > bytes) {
      const std::optional<uint64_t> victim = policy_.Evict(request.time_ms);
      VR_CHECK(victim && held_.erase(*victim) == 1);
      outcome_.evictions += 1;
    }
  }

  EvictionPolicy& policy_;
  const StoreRules rules_;
  const uint64_t high_, low_;
  boost::unordered_flat_set<uint64_t, IdHash> held_;
  Outcome outcome_;
};

}  // namespace

Outcome Replay(const std::vector<TraceRequest>& requests, EvictionPolicy& policy,
               const StoreRules& rules, std::vector<uint64_t>* held) {
  SimulatedStore store(policy, rules);
  for (const TraceRequest& request : requests) store.Serve(request);
  if (held != nullptr) *held = store.held();
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
