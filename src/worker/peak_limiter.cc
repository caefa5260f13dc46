#include "worker/peak_limiter.h"

#include <algorithm>
#include <cmath>

namespace vr::worker {
namespace {
constexpr int64_t kOne = int64_t{1} << 30;
constexpr int kReleaseShift = 12;  // back to full in about 4096 samples
}  // namespace

PeakLimiter::PeakLimiter(int rate) : window_(std::max(1, rate / 200)) {}

void PeakLimiter::Push(const float* left, const float* right, size_t count, Stereo& out) {
  for (size_t i = 0; i < count; ++i) {
    waiting_.left.push_back(left[i]);
    waiting_.right.push_back(right[i]);
    Take(left[i], right[i], out);
  }
  if (waiting_from_ > 4096) waiting_.DropFront(std::exchange(waiting_from_, 0));
}

void PeakLimiter::Flush(Stereo& out) {
  while (waiting_from_ < waiting_.size()) Take(0, 0, out);
  waiting_.Clear();
  waiting_from_ = 0;
  peaks_.clear();
  held_.clear();
  taken_ = last_ = sum_ = 0;
}

void PeakLimiter::Take(float left, float right, Stereo& out) {
  const double peak = std::max(std::fabs(left), std::fabs(right));
  int64_t reduction = 0;
  if (peak > kCeiling) {
    reduction = kOne - static_cast<int64_t>(std::floor(kCeiling / peak * kOne));
    reduction = std::clamp<int64_t>(reduction, 0, kOne);
  } else if (!(peak <= kCeiling)) {
    reduction = kOne;  // not a number
  }
  // The largest reduction among the next window_ samples, for the oldest of them.
  while (!peaks_.empty() && peaks_.back().second <= reduction) peaks_.pop_back();
  peaks_.emplace_back(taken_, reduction);
  ++taken_;
  if (taken_ < window_) return;
  const int64_t at = taken_ - window_;
  while (peaks_.front().first < at) peaks_.pop_front();
  const int64_t released = std::max<int64_t>(0, last_ - (last_ >> kReleaseShift) - 1);
  last_ = std::max(peaks_.front().second, released);
  held_.push_back(last_);
  sum_ += last_;
  if (static_cast<int64_t>(held_.size()) > window_) {
    sum_ -= held_.front();
    held_.pop_front();
  }
  float l = waiting_.left[waiting_from_], r = waiting_.right[waiting_from_];
  ++waiting_from_;
  if (sum_ != 0) {
    const auto n = static_cast<int64_t>(held_.size());
    const double gain = 1 - static_cast<double>(sum_) / static_cast<double>(n * kOne);
    const auto limited = [gain](float x) {
      return std::clamp(static_cast<float>(x * gain), -kCeiling, kCeiling);
    };
    l = limited(l);
    r = limited(r);
  }
  out.left.push_back(std::isfinite(l) ? l : 0);
  out.right.push_back(std::isfinite(r) ? r : 0);
}

}  // namespace vr::worker
