// The files that keep what was counted over restarts (docs/formats/analytics.md). Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "analytics/history.h"
#include "base/result.h"

namespace vr::analytics {

/// Version of the files; another one is not read.
inline constexpr uint32_t kFileVersion = 1;

/// What one file holds.
struct Kept {
  struct Row {
    Level level = Level::kMinute;
    Bucket bucket;
  };
  std::vector<Row> rows;
  std::vector<Failure> failures;
};

std::string EncodeFile(const Kept& kept);
/// @errors kCorruption (damaged, cut, not ours), kUnsupported (another version)
Result<Kept> DecodeFile(std::string_view bytes);

}  // namespace vr::analytics
