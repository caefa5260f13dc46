#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace vr::bench {

/// Latencies in nanoseconds, in buckets whose width is at most 1/32 of their value: 3 % of error,
/// 15 KiB, no allocation while measuring. Not thread-safe.
class Histogram {
 public:
  void Record(std::uint64_t ns) {
    ++counts_[std::min(BucketOf(ns), counts_.size() - 1)];
    ++count_;
    max_ = std::max(max_, ns);
  }

  /// @param p 0..1
  /// @return the upper edge of the bucket that holds the smallest value with at least p of all
  /// values at or below it, never more than
  ///     max(); 0 when nothing was recorded.
  std::uint64_t Percentile(double p) const {
    if (count_ == 0) return 0;
    const auto wanted = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(p * static_cast<double>(count_) + 0.999999));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return std::min(UpperEdge(i), max_);
    }
    return max_;
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }

 private:
  static constexpr unsigned kSubBits = 5;  // 32 buckets per power of two

  static std::size_t BucketOf(std::uint64_t value) {
    if (value < (1u << kSubBits)) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kSubBits - 1;
    return (static_cast<std::size_t>(shift + 1) << kSubBits) +
           ((value >> shift) & ((1u << kSubBits) - 1));
  }

  static std::uint64_t UpperEdge(std::size_t bucket) {
    if (bucket < (1u << kSubBits)) return bucket;
    const std::size_t shift = (bucket >> kSubBits) - 1;
    const std::uint64_t lower = ((bucket & ((1u << kSubBits) - 1)) + (1u << kSubBits)) << shift;
    return lower + (std::uint64_t{1} << shift) - 1;
  }

  std::array<std::uint64_t, 60 << kSubBits> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace vr::bench
