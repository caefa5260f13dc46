// PopularitySketch: about how often each id was counted of late, in a fixed amount of memory.
//
// A count-min sketch with conservative update: an estimate is never too low and, while fewer ids
// than `expected` are about, rarely too high. It forgets by halving everything, once per half-life
// and when it has counted so much that estimates would become coarse. Thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vr::capacity {

class PopularitySketch {
 public:
  static constexpr uint32_t kMaxCount = 255;

  /// Takes 4 to 8 bytes for each id that is expected.
  explicit PopularitySketch(uint64_t expected);

  void Count(uint64_t id);
  uint32_t Estimate(uint64_t id) const;
  /// Halves once for each whole half-life since the last call. `half_lives` only grows.
  void AgeTo(double half_lives);

  /// The counters as they lie, and back; those of a sketch of another size are not taken.
  std::string_view raw() const;
  void SetRaw(std::string_view counters);

 private:
  static constexpr size_t kRows = 4;
  std::array<size_t, kRows> PlacesOf(uint64_t id) const;
  void Halve();

  uint64_t mask_;
  std::vector<uint8_t> counters_;  ///< row by row
  uint64_t counted_ = 0;           ///< since about the last Halve(), which halves it too
  double age_ = 0;
};

}  // namespace vr::capacity
