// File source: a regular file below a root directory, opened so that its path cannot lead anywhere
// else.
//
// The kernel resolves the path (openat2 below the root's descriptor), so there is no gap between
// checking and opening. SymlinkPolicy says what links may do; /proc-style magic links are never
// followed. Fifos, devices, sockets and directories are "not found". What the descriptor names
// stays the same file when the path gets another one meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "origin/options.h"
#include "origin/source.h"

namespace vr::origin {

struct FileRequest {
  std::string root;  ///< directory
  std::string path;  ///< below it, normalised (NormalizePath)
  SymlinkPolicy follow_symlinks = SymlinkPolicy::kWithinRoot;
  uint64_t max_bytes = UINT64_MAX;
  std::string origin_name;
};

/// Opens it. Blocks on the file system: call it on a blocking lane.
/// The validator is size, mtime in nanoseconds and inode.
/// @errors kNotFound (absent, no regular file, or a link that may not be followed),
/// kPermissionDenied,
///         kResourceExhausted (SOURCE_TOO_LARGE; or no descriptor left), kUnavailable
Result<SourceRef> OpenFileSource(const FileRequest& request);

/// The error for a source over the byte limit. @param size nullopt: more, it is not known how much
Error TooLarge(std::optional<uint64_t> size, uint64_t limit_bytes);

}  // namespace vr::origin
