// Bucket: everything that is summed up over one span of time. Bounded, whatever was counted.
// Thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "analytics/event.h"
#include "analytics/label_table.h"
#include "analytics/latency.h"
#include "analytics/tally.h"
#include "analytics/top_list.h"

namespace vr::analytics {

enum class Dimension : uint8_t { kOrigin, kDerivative, kFormat, kMode, kStatus, kCode };
inline constexpr size_t kDimensions = 6;
inline constexpr std::array<std::string_view, kDimensions> kDimensionNames{
    "origins", "derivatives", "formats", "modes", "statuses", "errorCodes"};
inline constexpr std::array<size_t, kDimensions> kMaxLabels{32, 32, 24, 8, 40, 40};

/// One outcome's part.
struct LayerSum {
  Tally tally;
  uint64_t incomplete = 0;  ///< whose client left, or whose body failed
  LatencyCounts latency;

  void Merge(const LayerSum& more) {
    tally.Add(more.tally);
    incomplete += more.incomplete;
    latency.Merge(more.latency);
  }
  bool operator==(const LayerSum&) const = default;
};

/// What was made, and what that took.
struct Making {
  uint64_t productions = 0;    ///< that ended well
  uint64_t failed = 0;         ///< all others
  uint64_t encode_micros = 0;  ///< CPU time of those that ended well
  uint64_t worker_micros = 0;  ///< CPU time of all workers that ended, whatever came of it
  uint64_t origin_bytes = 0;   ///< read of sources

  void Add(const Making& more) {
    productions += more.productions;
    failed += more.failed;
    encode_micros += more.encode_micros;
    worker_micros += more.worker_micros;
    origin_bytes += more.origin_bytes;
  }
  bool operator==(const Making&) const = default;
};

/// @param top entries of each top list; 0: it has none
struct Bucket {
  explicit Bucket(size_t top = 0) : variants(top), sources(top) {}
  Bucket(Bucket&&) = default;
  Bucket& operator=(Bucket&&) = default;
  Bucket(const Bucket& other);
  Bucket& operator=(const Bucket& other);

  int64_t start_s = 0;  ///< seconds since 1970
  /// Made when its outcome first comes: most spans see few of them.
  std::array<std::unique_ptr<LayerSum>, kOutcomes> layers;
  Making making;
  std::array<LabelTable, kDimensions> tables;
  TopList variants, sources;

  LayerSum& layer(Outcome outcome);
  /// Zeros when there is none.
  const LayerSum& at(size_t outcome) const;
  void Count(Dimension dimension, std::string_view label, const Tally& more) {
    const auto i = static_cast<size_t>(dimension);
    tables[i].Add(label, more, kMaxLabels[i]);
  }
  /// Adds everything but the start.
  void Merge(const Bucket& more);
  uint64_t requests() const;
  uint64_t media_requests() const;
  bool is_empty() const { return requests() == 0 && making == Making(); }
};

}  // namespace vr::analytics
