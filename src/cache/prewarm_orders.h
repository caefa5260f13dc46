// The orders of the prewarmer that have not ended, as the file that keeps them over restarts.
// Bytes: docs/formats/prewarm.md. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vr::cache {

/// Larger files are not read. Orders that would make it larger are not kept, the newest first.
inline constexpr uint64_t kMostOrderBytes = 32ull << 20;

/// What has come of an order so far, in variants.
struct WarmCounts {
  uint64_t made = 0, held = 0, joined = 0, failed = 0, cancelled = 0;
  uint64_t sum() const { return made + held + joined + failed + cancelled; }
};

struct KeptOrder : WarmCounts {
  std::string id;
  uint8_t cause = 0;  ///< 0 order, 1 upload, 2 hot source
  int64_t created_ms = 0;
  std::vector<std::string> targets;  ///< what is not done yet, as clients would ask
};

std::string EncodeOrders(const std::vector<KeptOrder>& orders);
/// @errors kUnsupported (another version), kCorruption
Result<std::vector<KeptOrder>> DecodeOrders(std::string_view bytes);

}  // namespace vr::cache
