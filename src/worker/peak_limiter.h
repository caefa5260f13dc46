// PeakLimiter: keeps a mix below full scale by turning it down around its peaks, so that voices
// need not be turned down everywhere for the rare moment in which all channels are loud. What stays
// below the ceiling passes bit by bit. Pure; as many samples come out as went in.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "worker/stereo.h"

namespace vr::worker {

class PeakLimiter {
 public:
  /// No sample that comes out is larger.
  static constexpr float kCeiling = 0.94F;  // -0.5 dB: coders overshoot a little

  /// @param rate samples per second
  explicit PeakLimiter(int rate);
  /// Appends to `out` what is decided; some milliseconds stay inside.
  void Push(const float* left, const float* right, size_t count, Stereo& out);
  void Flush(Stereo& out);

 private:
  void Take(float left, float right, Stereo& out);

  // Gains are fixed point, 1 = 1 << 30, kept as what is missing to 1: sums stay exact.
  const int64_t window_;  // samples looked ahead, and over which a gain is reached
  Stereo waiting_;        // not yet out
  size_t waiting_from_ = 0;
  int64_t taken_ = 0;
  std::deque<std::pair<int64_t, int64_t>> peaks_;  // (position, reduction), falling
  std::deque<int64_t> held_;                       // the last window_ reductions with release
  int64_t last_ = 0, sum_ = 0;
};

}  // namespace vr::worker
