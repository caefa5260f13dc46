#include "capacity/eviction_policy.h"

#include "capacity/cost_aware.h"
#include "capacity/lru.h"
#include "capacity/min_uses.h"
#include "capacity/s3_fifo.h"
#include "capacity/sieve.h"

namespace vr::capacity {

namespace {
/// Indexes have 32 bits, and a sketch for more would not fit in memory.
constexpr uint64_t kMaxExpected = 1ULL << 30;

template <class Policy>
std::unique_ptr<EvictionPolicy> Make(const PolicyOptions& options) {
  return std::make_unique<Policy>(options);
}

struct Maker {
  std::string_view name;
  std::unique_ptr<EvictionPolicy> (*make)(const PolicyOptions&);
};
constexpr Maker kMakers[] = {
    {"lru", Make<LruPolicy>},
    {"s3-fifo", Make<S3FifoPolicy>},
    {"sieve", Make<SievePolicy>},
    {"cost-aware", Make<CostAwarePolicy>},
};
}  // namespace

Result<std::unique_ptr<EvictionPolicy>> MakePolicy(std::string_view name,
                                                   const PolicyOptions& options) {
  if (options.expected_entries == 0 || options.expected_entries > kMaxExpected) {
    return Error(Code::kInvalidArgument, "expected entries: 1 to 1073741824 are allowed");
  }
  if (options.half_life_ms <= 0) {
    return Error(Code::kInvalidArgument, "half-life of popularity: more than 0 ms is needed");
  }
  if (options.min_uses < 1 || options.min_uses > PopularitySketch::kMaxCount) {
    return Error(Code::kInvalidArgument, "least uses for admission: 1 to 255 are allowed");
  }
  for (const Maker& maker : kMakers) {
    if (maker.name != name) continue;
    std::unique_ptr<EvictionPolicy> made = maker.make(options);
    if (options.min_uses > 1) made = std::make_unique<MinUses>(std::move(made), options);
    return made;
  }
  std::string known;
  for (const Maker& maker : kMakers) known += (known.empty() ? "" : ", ") + std::string(maker.name);
  return Error(Code::kInvalidArgument,
               "there is no eviction policy \"" + std::string(name) + "\", there are: " + known);
}

std::vector<std::string_view> PolicyNames() {
  std::vector<std::string_view> names;
  for (const Maker& maker : kMakers) names.push_back(maker.name);
  return names;
}

}  // namespace vr::capacity
