#include "capacity/min_uses.h"

#include <utility>

namespace vr::capacity {

MinUses::MinUses(std::unique_ptr<EvictionPolicy> inner, const PolicyOptions& options)
    : min_uses_(options.min_uses),
      inner_(std::move(inner)),
      clock_(options.half_life_ms),
      uses_(options.expected_entries) {}

void MinUses::Miss(uint64_t id, int64_t now_ms) {
  clock_.AdvanceTo(now_ms);
  uses_.AgeTo(clock_.now());
  uses_.Count(id);
  inner_->Miss(id, now_ms);
}

bool MinUses::Admit(const Item& item, int64_t now_ms) {
  return uses_.Estimate(item.id) >= min_uses_ && inner_->Admit(item, now_ms);
}

}  // namespace vr::capacity
