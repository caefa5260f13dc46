// Staging: anonymous files on the store's volume, for bodies that are not (or not yet) the store's.
//
// The files have no name, so nothing is left of them after a crash. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace vr::cache {

class Staging {
 public:
  /// Makes the directory if need be. Blocking.
  /// @errors kPermissionDenied, kUnavailable
  static Result<std::unique_ptr<Staging>> Create(std::string directory);
  /// A new empty read-write file. Blocking (some 0.1 ms).
  /// @errors kResourceExhausted (disk full, descriptors), kUnavailable
  Result<SharedFd> NewFile();

 private:
  explicit Staging(std::string directory) : directory_(std::move(directory)) {}
  const std::string directory_;
};

}  // namespace vr::cache
