#include "worker/time_stretch.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vr::worker {
namespace {
constexpr double kHalfSeconds = 0.015;
constexpr double kReachSeconds = 0.010;  // less when slow: an error of the place grows
constexpr int kCoarse = 4;               // places and samples left out when looking roughly
constexpr double kNearness = 0.02;       // what the farthest place must be better by
constexpr size_t kDropAt = 1 << 15;      // samples
}  // namespace

TimeStretch::TimeStretch(int rate, double speed)
    : speed_(speed),
      half_(std::max<int64_t>(8, std::llround(rate * kHalfSeconds))),
      reach_(std::max<int64_t>(4, std::llround(rate * kReachSeconds * std::min(1.0, 2 * speed)))),
      rise_(static_cast<size_t>(half_)),
      base_(-(half_ + reach_)) {
  for (size_t i = 0; i < rise_.size(); ++i) {
    const double phase = (static_cast<double>(i) + 0.5) / static_cast<double>(half_);
    rise_[i] = static_cast<float>(0.5 - 0.5 * std::cos(std::numbers::pi * phase));
  }
  in_.AppendSilence(static_cast<size_t>(-base_));
  mono_.resize(in_.size());
}

void TimeStretch::Push(const float* left, const float* right, size_t count, Stereo& out) {
  in_.Append(left, right, count);
  for (size_t i = 0; i < count; ++i) mono_.push_back(left[i] + right[i]);
  taken_ += static_cast<int64_t>(count);
  MakeWhatIsThere(out);
}

void TimeStretch::Flush(int64_t total, Stereo& out) {
  while (made_ < total) {
    const auto silence = static_cast<size_t>(half_ + reach_);
    in_.AppendSilence(silence);
    mono_.resize(mono_.size() + silence);
    MakeWhatIsThere(out);
  }
  const int64_t extra = made_ - total;
  if (extra <= 0) return;
  out.left.resize(out.left.size() - static_cast<size_t>(extra));
  out.right.resize(out.right.size() - static_cast<size_t>(extra));
  made_ = total;
}

int64_t TimeStretch::Place(int64_t number) const {
  return std::llround(static_cast<double>(number * half_) * speed_);
}

void TimeStretch::MakeWhatIsThere(Stereo& out) {
  const auto end = [this] { return base_ + static_cast<int64_t>(in_.size()); };
  while (Place(next_) + reach_ + half_ <= end()) MakePiece(next_++, out);
  const int64_t needed = std::min(Place(next_) - reach_ - half_, last_place_);
  const int64_t old = needed - base_;
  if (old < static_cast<int64_t>(kDropAt)) return;
  in_.DropFront(static_cast<size_t>(old));
  mono_.erase(mono_.begin(), mono_.begin() + old);
  base_ = needed;
}

void TimeStretch::MakePiece(int64_t number, Stereo& out) {
  const int64_t place = number == 0 ? 0 : BestPlace(Place(number));
  const auto first = static_cast<size_t>(place - half_ - base_);
  const auto half = static_cast<size_t>(half_);
  if (number > 0) {
    for (size_t i = 0; i < half; ++i) {
      out.left.push_back(fading_.left[i] + in_.left[first + i] * rise_[i]);
      out.right.push_back(fading_.right[i] + in_.right[first + i] * rise_[i]);
    }
    made_ += half_;
  }
  fading_.Clear();
  for (size_t i = 0; i < half; ++i) {
    const float fall = rise_[half - 1 - i];
    fading_.left.push_back(in_.left[first + half + i] * fall);
    fading_.right.push_back(in_.right[first + half + i] * fall);
  }
  last_place_ = place;
}

double TimeStretch::Likeness(const float* wanted, int64_t place, int step) const {
  const float* there = mono_.data() + (place - half_ - base_);
  float both = 0, energy = 0;
  for (int64_t i = 0; i < half_; i += step) {
    both += wanted[i] * there[i];
    energy += there[i] * there[i];
  }
  return energy > 1e-9F ? both / std::sqrt(static_cast<double>(energy)) : 0;
}

int64_t TimeStretch::BestPlace(int64_t ideal) const {
  // The last piece would go on with these.
  const float* wanted = mono_.data() + (last_place_ - base_);
  double loudness = 0;
  for (int64_t i = 0; i < half_; ++i) loudness += static_cast<double>(wanted[i]) * wanted[i];
  if (loudness < 1e-9) return ideal;
  int64_t best = ideal;
  double best_score = -1e30;
  const auto look = [&](int64_t off, int step) {
    const double far = std::abs(static_cast<double>(off)) / static_cast<double>(reach_);
    // Of equals, as in a steady tone, the nearest.
    const double score = Likeness(wanted, ideal + off, step) * std::sqrt(step) -
                         kNearness * far * std::sqrt(loudness);
    if (score > best_score) {
      best_score = score;
      best = ideal + off;
    }
  };
  for (int64_t off = -(reach_ / kCoarse) * kCoarse; off <= reach_; off += kCoarse) {
    look(off, kCoarse);
  }
  const int64_t rough = best - ideal;
  best_score = -1e30;
  for (int64_t off = std::max(-reach_, rough - kCoarse + 1);
       off <= std::min(reach_, rough + kCoarse - 1); ++off) {
    look(off, 1);
  }
  return best;
}

}  // namespace vr::worker
