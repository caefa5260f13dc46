// SourceIo: the source as libav sees it: one descriptor, read by position, never a URL.
//
// When the server still fetches the source (a sparse spool file), every read first makes sure that
// its bytes are there: Need goes out, SourceReady or SourceFailed comes back. Asks in blocks of 512
// KiB, in growing ones while access is sequential, and never twice for the same bytes. Main thread
// only (libav reads only from av_read_frame and its friends).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.h"
#include "worker/av.h"
#include "worker/channel.h"
#include "worker/extents.h"
#include "worker/reporter.h"

namespace vr::worker {

class SourceIo {
 public:
  /// @param size in bytes, 0 = unknown
  SourceIo(UniqueFd fd, uint64_t size, bool complete, Channel& channel, Reporter& reporter);
  ~SourceIo();
  SourceIo(const SourceIo&) = delete;
  SourceIo& operator=(const SourceIo&) = delete;

  AVIOContext* avio() { return avio_; }
  /// The source failed, which is not the same as a source that holds nonsense.
  bool failed() const { return failed_; }
  const std::string& failure() const { return failure_; }
  uint64_t size() const { return size_; }

  /// Beside what libav reads. @return false when it has failed or ends before
  bool ReadAt(uint64_t offset, void* to, size_t size);
  /// Most of [offset, offset + size) will be read: it is asked for in one piece.
  void Announce(uint64_t offset, uint64_t size);
  /// From now on libav reads `bytes` at `offset`, from the beginning on; empty = what is there.
  void Replace(uint64_t offset, std::string bytes);

 private:
  static int ReadCallback(void* self, uint8_t* to, int size);
  static int64_t SeekCallback(void* self, int64_t offset, int whence);
  int Read(uint8_t* to, int size);
  int64_t Seek(int64_t offset, int whence);
  /// Makes at least the byte at `position_` readable. @return contiguous readable bytes, 0 at the
  /// end or failure
  uint64_t WaitReady();
  int Fail(std::string why);

  const UniqueFd fd_;
  uint64_t size_;
  const bool complete_;
  Channel& channel_;
  Reporter& reporter_;
  AVIOContext* avio_ = nullptr;
  uint64_t position_ = 0;
  ExtentSet ready_;
  uint64_t last_need_end_ = 0;
  uint64_t announced_ = 0, announced_end_ = 0;
  uint64_t replaced_at_ = 0;
  std::string replacement_;
  uint64_t window_ = 0;
  bool failed_ = false;
  std::string failure_;
};

}  // namespace vr::worker
