// BodyFiles: one file per large body, `<data>/bodies/<2 hex>/<16 hex>`, named by a random id that
// is never used twice. The file is written in place; what makes it part of the store is an index
// row, so a file without a row is garbage. Removal happens on the write lane; open readers keep
// their descriptor. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/hash.h"
#include "base/result.h"
#include "io/blocking.h"
#include "io/files.h"

namespace vr::kv {

/// One file of the store's naming.
struct BodyOnDisk {
  uint64_t id = 0;
  uint64_t size = 0;  ///< bytes; 0 unless asked for
};
/// All of them below `directory`, sorted by id; a folder that is not there holds none.
/// @param with_sizes costs one stat each
Result<std::vector<BodyOnDisk>> ListBodies(const std::string& directory, bool with_sizes);
/// Path of a body below `directory`.
std::string BodyPath(const std::string& directory, uint64_t id);

/// Hash of the first `size` bytes of a file, read once; nullopt when it has fewer.
/// @param keep where the bytes go; may be null
/// @errors kUnavailable (the device failed)
Result<std::optional<Hash128>> HashOfFile(int fd, uint64_t size, std::string* keep = nullptr);

class BodyFiles : public std::enable_shared_from_this<BodyFiles> {
 public:
  struct Created {
    uint64_t id = 0;
    SharedFd file;
  };
  /// Makes the directories. `blocking` and `files` outlive Close(), `files` all users.
  static Result<std::shared_ptr<BodyFiles>> Open(std::string directory, size_t open_limit,
                                                 io::Blocking& blocking, io::Files& files);

  static uint64_t NewId();
  /// @errors kResourceExhausted (disk full, too many descriptors), kUnavailable
  Result<Created> Create();
  /// A descriptor for reading; recently used ones are kept open.
  /// @errors kNotFound, kCorruption (not `size` bytes), kResourceExhausted, kUnavailable
  Result<SharedFd> OpenToRead(uint64_t id, uint64_t size);
  /// Closes what is kept open for `id` (its readers keep theirs).
  void Forget(uint64_t id);
  /// Data to disk; with_name: also the directory's entry.
  Result<void> Sync(const Created& body, bool with_name);
  /// Removes the file some time soon; after Close() at once. Never waits for the disk before that.
  void Discard(uint64_t id);
  void Discard(const std::vector<uint64_t>& ids);
  Result<std::vector<BodyOnDisk>> List(bool with_sizes) const {
    return ListBodies(directory_, with_sizes);
  }
  /// Waits until everything discarded so far is gone.
  void Settle();
  /// From here on nothing is posted to the pool.
  void Close();

 private:
  BodyFiles(std::string directory, size_t open_limit, io::Blocking& blocking, io::Files& files)
      : directory_(std::move(directory)),
        open_limit_(open_limit),
        blocking_(blocking),
        files_(files) {}
  std::string FolderOf(uint64_t id) const;
  std::string PathOf(uint64_t id) const;
  void EmptyGarbage();

  const std::string directory_;
  const size_t open_limit_;
  io::Blocking& blocking_;
  io::Files& files_;

  struct OpenFile {
    uint64_t id;
    SharedFd file;
  };
  std::mutex open_mutex_;     // guards the next two
  std::list<OpenFile> open_;  // most recently used first
  std::unordered_map<uint64_t, std::list<OpenFile>::iterator> open_by_id_;

  std::mutex garbage_mutex_;  // guards the rest
  std::condition_variable settled_;
  std::vector<uint64_t> garbage_;
  bool is_removing_ = false;
  bool is_closed_ = false;
};

}  // namespace vr::kv
