// ExtentSet: which byte ranges of the source are known to be readable. Pure; thread-compatible.
#pragma once

#include <cstdint>
#include <map>

namespace vr::worker {

class ExtentSet {
 public:
  /// Adds [offset, offset+length), merging with its neighbours.
  void Add(uint64_t offset, uint64_t length);
  /// How many bytes from `offset` on are there without a gap.
  uint64_t ReadyFrom(uint64_t offset) const;

 private:
  std::map<uint64_t, uint64_t> ends_;  // start → end, disjoint and not touching
};

}  // namespace vr::worker
