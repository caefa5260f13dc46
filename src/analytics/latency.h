// LatencyCounts: how long requests took, in buckets that grow by a quarter of a power of two: a
// percentile read from them is at most 12 % off. Plain value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace vr::analytics {

/// The first bucket ends at 16 µs, the last begins at 2^30 µs (18 minutes).
inline constexpr size_t kLatencyBuckets = 106;

constexpr size_t LatencyBucketOf(uint64_t micros) {
  if (micros < 16) return 0;
  const int octave = 63 - std::countl_zero(micros);  // at least 4
  const uint64_t quarter = micros >> (octave - 2) & 3;
  return std::min<size_t>(1 + static_cast<size_t>(octave - 4) * 4 + quarter, kLatencyBuckets - 1);
}
/// Where a bucket begins, microseconds.
constexpr uint64_t LatencyBucketStart(size_t bucket) {
  if (bucket == 0) return 0;
  const size_t octave = 4 + (bucket - 1) / 4;
  return (uint64_t{4} + (bucket - 1) % 4) << (octave - 2);
}

struct LatencyCounts {
  std::array<uint32_t, kLatencyBuckets> counts{};

  void Add(uint64_t micros) { ++counts[LatencyBucketOf(micros)]; }
  void Merge(const LatencyCounts& more) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += more.counts[i];
  }
  uint64_t total() const {
    uint64_t sum = 0;
    for (const uint32_t n : counts) sum += n;
    return sum;
  }
  /// The middle of the bucket in which that share of all lies, microseconds; 0 when there are none.
  /// @param share 0 to 1
  double Percentile(double share) const {
    const uint64_t all = total();
    if (all == 0) return 0;
    auto rank = static_cast<uint64_t>(share * static_cast<double>(all) + 0.9999999);
    rank = std::clamp<uint64_t>(rank, 1, all);
    uint64_t seen = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      seen += counts[i];
      if (seen < rank) continue;
      const uint64_t begin = LatencyBucketStart(i);
      const uint64_t end = i + 1 < counts.size() ? LatencyBucketStart(i + 1) : begin;
      return static_cast<double>(begin + end) / 2;
    }
    return 0;
  }
  bool operator==(const LatencyCounts&) const = default;
};

}  // namespace vr::analytics
