// Stereo: a piece of sound as we keep it between decoder and encoder: left and right, floats around
// 0 with full scale at 1.
#pragma once

#include <cstddef>
#include <vector>

namespace vr::worker {

struct Stereo {
  std::vector<float> left, right;

  size_t size() const { return left.size(); }
  void Append(const float* l, const float* r, size_t count) {
    left.insert(left.end(), l, l + count);
    right.insert(right.end(), r, r + count);
  }
  void AppendSilence(size_t count) {
    left.resize(left.size() + count);
    right.resize(right.size() + count);
  }
  void DropFront(size_t count) {
    const auto n = static_cast<std::ptrdiff_t>(count);
    left.erase(left.begin(), left.begin() + n);
    right.erase(right.begin(), right.begin() + n);
  }
  void Clear() {
    left.clear();
    right.clear();
  }
};

}  // namespace vr::worker
