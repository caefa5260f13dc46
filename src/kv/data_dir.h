// The data directory as such: whose it is, and which layout it has (docs/formats/store.md §1).
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "io/files.h"

namespace vr::kv {

/// Rows of `stats`.
inline constexpr std::string_view kEpochRow = "epoch";
inline constexpr std::string_view kSuspectRow = "suspect-epoch";
inline constexpr std::string_view kCleanRow = "clean";

/// Takes the directory for this process, for as long as the descriptor lives.
/// @errors kUnavailable: another process has it
Result<UniqueFd> LockDataDir(const std::string& dir, io::Files& files);

/// @errors kNotFound (no store was ever made here), kUnsupported (another layout)
Result<void> CheckLayout(const std::string& dir, io::Files& files);
/// The same, and writes the layout into a directory that has none.
Result<void> EnsureLayout(const std::string& dir, io::Files& files);

}  // namespace vr::kv
