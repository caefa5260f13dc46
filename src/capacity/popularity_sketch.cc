#include "capacity/popularity_sketch.h"

#include <algorithm>
#include <bit>

namespace vr::capacity {

namespace {
/// splitmix64's finaliser.
uint64_t Mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}
constexpr uint64_t kLeastWidth = 64;
/// Counts per place of a row from which on a stranger would seem to have been asked for.
constexpr uint64_t kFullAt = 8;
}  // namespace

PopularitySketch::PopularitySketch(uint64_t expected)
    : mask_(std::bit_ceil(std::max(expected, kLeastWidth)) - 1), counters_(kRows * (mask_ + 1)) {}

std::array<size_t, PopularitySketch::kRows> PopularitySketch::PlacesOf(uint64_t id) const {
  const uint64_t first = Mix(id + 0x9e3779b97f4a7c15);
  const uint64_t step = Mix(first) | 1;
  std::array<size_t, kRows> places;
  for (size_t row = 0; row < kRows; ++row) {
    places[row] = row * (mask_ + 1) + ((first + row * step) & mask_);
  }
  return places;
}

void PopularitySketch::Count(uint64_t id) {
  const auto places = PlacesOf(id);
  const uint32_t now = Estimate(id);
  if (now == kMaxCount) return;
  for (const size_t place : places) {
    if (counters_[place] == now) ++counters_[place];
  }
  if (++counted_ > kFullAt * (mask_ + 1)) Halve();
}

uint32_t PopularitySketch::Estimate(uint64_t id) const {
  uint32_t least = kMaxCount;
  for (const size_t place : PlacesOf(id)) least = std::min<uint32_t>(least, counters_[place]);
  return least;
}

void PopularitySketch::AgeTo(double half_lives) {
  for (int n = 0; n < 8 && half_lives >= age_ + 1; ++n) {  // the eighth leaves nothing
    Halve();
    age_ += 1;
  }
  if (half_lives >= age_ + 1) age_ = half_lives;
}

void PopularitySketch::Halve() {
  for (uint8_t& counter : counters_) counter /= 2;
  counted_ /= 2;
}

std::string_view PopularitySketch::raw() const {
  return {reinterpret_cast<const char*>(counters_.data()), counters_.size()};
}

void PopularitySketch::SetRaw(std::string_view counters) {
  if (counters.size() != counters_.size()) return;
  std::copy(counters.begin(), counters.end(), counters_.begin());
}

}  // namespace vr::capacity
