// Files: the calls through which a store changes a disk, behind an interface, so that tests can
// make a disk full or broken. Reading helpers are plain functions. All calls block: use them on a
// pool thread. Implementations are thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace vr::io {

class Files {
 public:
  virtual ~Files() = default;
  /// open(2) with O_CLOEXEC added; a new file gets mode 0600.
  virtual Result<UniqueFd> Open(const std::string& path, int flags) = 0;
  /// Writes all of `bytes` at `offset`; never short.
  virtual Result<void> WriteAt(int fd, std::string_view bytes, uint64_t offset) = 0;
  /// fdatasync(2) of a file, fsync(2) of a directory.
  virtual Result<void> Sync(int fd) = 0;
  /// A file that is already gone is no error.
  virtual Result<void> Remove(const std::string& path) = 0;
  /// Replaces what is at `to`, in one step.
  virtual Result<void> Rename(const std::string& from, const std::string& to) = 0;
  struct Space {
    uint64_t total = 0;  ///< bytes
    uint64_t free = 0;   ///< bytes available to us
  };
  virtual Result<Space> SpaceAt(const std::string& path) = 0;

  /// Syncs a directory: the names in it.
  Result<void> SyncDirectory(const std::string& path);

  /// The operating system's files.
  static Files& System();
};

/// Size of an open file, bytes.
Result<uint64_t> SizeOf(int fd);
/// Reads exactly `size` bytes at `offset`.
/// @errors kCorruption (the file ends earlier), kUnavailable (the device failed)
Result<std::string> ReadAt(int fd, uint64_t offset, uint64_t size);
/// Makes one directory; one that exists is no error.
Result<void> MakeDirectory(const std::string& path);
/// Names in a directory, without "." and "..", unordered.
Result<std::vector<std::string>> ListDirectory(const std::string& path);
/// An unnamed file in memory, read-write.
Result<UniqueFd> MemoryFile(const char* name);

}  // namespace vr::io
