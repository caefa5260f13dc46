#include "worker/file_sink.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace vr::worker {
namespace {

constexpr int kBuffer = 64 << 10;

struct Reader {
  int fd;
  uint64_t position;
  const uint64_t* size;
};

int ReadBack(void* opaque, uint8_t* to, int size) {
  auto* r = static_cast<Reader*>(opaque);
  ssize_t n = 0;
  do {
    n = pread(r->fd, to, static_cast<size_t>(size), static_cast<off_t>(r->position));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return AVERROR(errno);
  if (n == 0) return AVERROR_EOF;
  r->position += static_cast<uint64_t>(n);
  return static_cast<int>(n);
}

int64_t Target(int64_t offset, int whence, uint64_t position, uint64_t size) {
  switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
      return offset;
    case SEEK_CUR:
      return static_cast<int64_t>(position) + offset;
    case SEEK_END:
      return static_cast<int64_t>(size) + offset;
    default:
      return AVERROR(EINVAL);
  }
}

int64_t SeekReader(void* opaque, int64_t offset, int whence) {
  auto* r = static_cast<Reader*>(opaque);
  if (whence & AVSEEK_SIZE) return static_cast<int64_t>(*r->size);
  const int64_t target = Target(offset, whence, r->position, *r->size);
  if (target < 0) return AVERROR(EINVAL);
  r->position = static_cast<uint64_t>(target);
  return target;
}

/// @return 0 or errno
int WriteAt(int fd, const uint8_t* from, size_t size, uint64_t at) {
  while (size > 0) {
    const ssize_t n = pwrite(fd, from, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    from += n;
    at += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return 0;
}

}  // namespace

FileSink::FileSink(int fd, Mode mode, uint64_t max_bytes) : fd_(fd), max_bytes_(max_bytes) {
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
  avio_ = avio_alloc_context(buffer, kBuffer, 1, this, nullptr, &FileSink::Write,
                             mode == Mode::kSeekable ? &FileSink::Seek : nullptr);
}

FileSink::~FileSink() {
  if (avio_ == nullptr) return;
  av_freep(&avio_->buffer);
  avio_context_free(&avio_);
}

int FileSink::Write(void* self, uint8_t* from, int size) {
  auto* s = static_cast<FileSink*>(self);
  const auto bytes = static_cast<size_t>(std::max(size, 0));
  if (s->position_ + bytes > s->max_bytes_) {
    s->over_limit_ = true;
    return AVERROR(EFBIG);
  }
  if (const int e = WriteAt(s->fd_, from, bytes, s->position_)) {
    if (s->write_errno_ == 0) s->write_errno_ = e;
    return AVERROR(e);
  }
  s->position_ += bytes;
  s->size_ = std::max(s->size_, s->position_);
  return size;
}

int64_t FileSink::Seek(void* self, int64_t offset, int whence) {
  auto* s = static_cast<FileSink*>(self);
  if (whence & AVSEEK_SIZE) return static_cast<int64_t>(s->size_);
  const int64_t target = Target(offset, whence, s->position_, s->size_);
  if (target < 0) return AVERROR(EINVAL);
  s->position_ = static_cast<uint64_t>(target);
  return target;
}

AVIOContext* FileSink::OpenReader() {
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
  return avio_alloc_context(buffer, kBuffer, 0, new Reader{fd_, 0, &size_}, &ReadBack, nullptr,
                            &SeekReader);
}

void FileSink::CloseReader(AVIOContext* reader) {
  delete static_cast<Reader*>(reader->opaque);
  av_freep(&reader->buffer);
  avio_context_free(&reader);
}

int WriteWhole(int fd, const uint8_t* bytes, size_t size) {
  return WriteAt(fd, bytes, size, 0);
}

}  // namespace vr::worker
