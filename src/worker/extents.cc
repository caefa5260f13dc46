#include "worker/extents.h"

#include <algorithm>
#include <iterator>

namespace vr::worker {

void ExtentSet::Add(uint64_t offset, uint64_t length) {
  if (length == 0) return;
  uint64_t begin = offset;
  uint64_t end = offset + length < offset ? UINT64_MAX : offset + length;
  auto it = ends_.upper_bound(begin);
  if (it != ends_.begin() && std::prev(it)->second >= begin) --it;
  while (it != ends_.end() && it->first <= end) {
    begin = std::min(begin, it->first);
    end = std::max(end, it->second);
    it = ends_.erase(it);
  }
  ends_.emplace(begin, end);
}

uint64_t ExtentSet::ReadyFrom(uint64_t offset) const {
  auto it = ends_.upper_bound(offset);
  if (it == ends_.begin()) return 0;
  --it;
  return it->second > offset ? it->second - offset : 0;
}

}  // namespace vr::worker
