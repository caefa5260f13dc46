// MinUses: any policy, but what was asked for less often than `min_uses` times of late is not
// admitted while there is no room.
#pragma once

#include "capacity/ageing_clock.h"
#include "capacity/eviction_policy.h"
#include "capacity/popularity_sketch.h"

namespace vr::capacity {

class MinUses final : public EvictionPolicy {
 public:
  MinUses(std::unique_ptr<EvictionPolicy> inner, const PolicyOptions& options);

  std::string_view name() const override { return inner_->name(); }
  void Insert(const Item& item, int64_t now_ms) override { inner_->Insert(item, now_ms); }
  void Hit(uint64_t id, int64_t now_ms) override { inner_->Hit(id, now_ms); }
  void Erase(uint64_t id) override { inner_->Erase(id); }
  void Miss(uint64_t id, int64_t now_ms) override;
  bool Admit(const Item& item, int64_t now_ms) override;
  std::optional<uint64_t> Evict(int64_t now_ms) override { return inner_->Evict(now_ms); }
  size_t entries() const override { return inner_->entries(); }
  uint64_t bytes() const override { return inner_->bytes(); }
  /// Its own counts are not kept over a restart.
  std::string Save() const override { return inner_->Save(); }
  Result<void> Load(std::string_view state) override { return inner_->Load(state); }

 private:
  const uint32_t min_uses_;
  const std::unique_ptr<EvictionPolicy> inner_;
  AgeingClock clock_;
  PopularitySketch uses_;
};

}  // namespace vr::capacity
