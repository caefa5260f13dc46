#include "capacity/eviction_policy.h"

#include "capacity/lru.h"

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
  for (const Maker& maker : kMakers) {
    if (maker.name == name) return maker.make(options);
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
