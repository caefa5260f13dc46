// ClockGuard: tells a damaged time stamp from a gap. One bit of a broadcast's 33 can move a packet
// by a day; believed, it would freeze the picture or be filled with hours of silence. Main thread
// only.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace vr::worker {

class ClockGuard {
 public:
  /// @param us the next time stamp, microseconds, in decoding order. @return false: it leaps by
  /// more than ten seconds and those before did not agree on that: leave it out of account
  bool Accept(int64_t us) {
    if (!has_last_ || std::llabs(us - last_) <= kLeap) return Take(us);
    // A real gap or a restarted clock goes on where it leapt to.
    agreeing_ = agreeing_ > 0 && std::llabs(us - candidate_) <= kAgreement ? agreeing_ + 1 : 1;
    candidate_ = us;
    return agreeing_ >= kWitnesses && Take(us);
  }

 private:
  bool Take(int64_t us) {
    has_last_ = true;
    last_ = us;
    agreeing_ = 0;
    return true;
  }

  static constexpr int64_t kLeap = 10'000'000;
  static constexpr int64_t kAgreement = 2'000'000;
  static constexpr int kWitnesses = 3;
  bool has_last_ = false;
  int64_t last_ = 0, candidate_ = 0;
  int agreeing_ = 0;
};

}  // namespace vr::worker
