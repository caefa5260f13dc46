// Small files that keep what would be learned or ordered again: each is written whole or not at
// all. Blocking.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vr::cache {

/// All of it, on the disk, in one step; or the old one stays. One writer of a path at a time.
Result<void> WriteStateFile(const std::string& path, std::string_view bytes);
/// @errors kNotFound, kUnavailable, kCorruption (larger than `most`)
Result<std::string> ReadStateFile(const std::string& path, uint64_t most);

}  // namespace vr::cache
