// FileSink: libav's write side on a descriptor, by positioned writes, never more than the limit.
//
// Opening it a second time for reading is how the indexed MP4 moves its index to the front.
// Main thread only. The descriptor is borrowed.
#pragma once

#include <cstdint>

#include "worker/av.h"

namespace vr::worker {

class FileSink {
 public:
  enum class Mode { kAppend, kSeekable };

  FileSink(int fd, Mode mode, uint64_t max_bytes);
  ~FileSink();
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  AVIOContext* avio() { return avio_; }
  /// One past the highest byte written to the file.
  uint64_t size() const { return size_; }
  bool over_limit() const { return over_limit_; }
  /// Of the first write that failed; 0 = none.
  int write_errno() const { return write_errno_; }

  /// An independent reader of what was written; free with CloseReader.
  AVIOContext* OpenReader();
  static void CloseReader(AVIOContext* reader);

 private:
  static int Write(void* self, uint8_t* from, int size);
  static int64_t Seek(void* self, int64_t offset, int whence);

  const int fd_;
  const uint64_t max_bytes_;
  AVIOContext* avio_ = nullptr;
  uint64_t position_ = 0;
  uint64_t size_ = 0;
  bool over_limit_ = false;
  int write_errno_ = 0;
};

/// Writes all of `bytes` at the start of the file. @return 0 or errno
int WriteWhole(int fd, const uint8_t* bytes, size_t size);

}  // namespace vr::worker
