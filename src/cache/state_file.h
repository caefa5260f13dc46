// Small files that keep what would be learned or ordered again: each is written whole or not at
// all. Blocking.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vr::cache {

/// How a kind of them begins, and what is said of one that cannot be used.
struct StateFormat {
  std::string_view header;  ///< "NAME VERSION\n"; what begins with NAME is of another version
  const char* unreadable;
  const char* other_version;
};
constexpr size_t kStateHashBytes = 16;

/// Ends `bytes`, which begin with the header, with their hash.
void SealState(std::string& bytes);
/// What stands between header and hash. Pure, as SealState().
/// @errors kUnsupported (another version), kCorruption
Result<std::string_view> UnsealState(std::string_view bytes, const StateFormat& format);

/// All of it, on the disk, in one step; or the old one stays. One writer of a path at a time.
Result<void> WriteStateFile(const std::string& path, std::string_view bytes);
/// @errors kNotFound, kUnavailable, kCorruption (larger than `most`)
Result<std::string> ReadStateFile(const std::string& path, uint64_t most);

}  // namespace vr::cache
