// TimeStretch: sound faster or slower at its own pitch: overlapping pieces of 30 ms, each taken
// from within 10 ms of its place where it continues the piece before best.
//
// Every piece's place is computed from its number, so nothing drifts, and a moment of the source is
// found within some milliseconds of where it belongs (libavfilter's atempo: measured 45 ms early at
// half speed, 120 ms at a quarter, and whole beeps lost above double speed). Pure and
// deterministic.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/stereo.h"

namespace vr::worker {

class TimeStretch {
 public:
  /// @param rate samples per second; `speed` > 0: 2 = half as long
  TimeStretch(int rate, double speed);
  /// Appends what can be made to `out`.
  void Push(const float* left, const float* right, size_t count, Stereo& out);
  /// The rest, so that `total` samples have come out altogether.
  void Flush(int64_t total, Stereo& out);
  int64_t taken() const { return taken_; }

 private:
  void MakeWhatIsThere(Stereo& out);
  void MakePiece(int64_t number, Stereo& out);
  int64_t Place(int64_t number) const;
  int64_t BestPlace(int64_t ideal) const;
  double Likeness(const float* wanted, int64_t place, int step) const;

  const double speed_;
  const int64_t half_;       // samples of half a piece
  const int64_t reach_;      // a piece may come from this far off its place
  std::vector<float> rise_;  // window of a piece's first half
  Stereo in_;
  std::vector<float> mono_;
  int64_t base_;  // source sample of in_[0]
  int64_t taken_ = 0, next_ = 0, made_ = 0;
  int64_t last_place_ = 0;
  Stereo fading_;  // second half of the last piece
};

}  // namespace vr::worker
