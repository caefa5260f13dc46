// AgeingClock: time measured in half-lives of popularity, and popularity as a number that need not
// be touched to age.
//
// A request counts 2^-age. The score of an item is log2 of its aged count at some moment, plus that
// moment: it stays the same while nobody asks, and of two items the one with the higher score is
// the more popular one at every later moment. So an order by score never has to be refreshed.
// The clock runs with time and, so that a store whose content turns over within minutes does not
// remember for a day, with the bytes that want in. Plain values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace vr::capacity {

class AgeingClock {
 public:
  explicit AgeingClock(int64_t half_life_ms) : half_life_ms_(half_life_ms) {}

  void AdvanceTo(int64_t now_ms) {
    if (is_set_ && now_ms > last_ms_) {
      now_ += static_cast<double>(now_ms - last_ms_) / half_life_ms_;
    }
    last_ms_ = now_ms;
    is_set_ = true;
  }
  void AdvanceBy(double half_lives) { now_ += half_lives; }

  double now() const { return now_; }  ///< half-lives since the policy was made
  /// Of something asked for `count` times just now.
  double ScoreOf(double count) const { return std::log2(count) + now_; }
  double CountOf(double score) const { return std::exp2(score - now_); }
  /// The score after `more` requests now.
  double Add(double score, double more = 1) const { return ScoreOf(CountOf(score) + more); }

 private:
  double half_life_ms_;
  double now_ = 0;
  int64_t last_ms_ = 0;
  bool is_set_ = false;
};

}  // namespace vr::capacity
