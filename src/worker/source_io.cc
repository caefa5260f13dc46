#include "worker/source_io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace vr::worker {
namespace {
using transform::protocol::Need;
using transform::protocol::SourceFailed;
using transform::protocol::SourceReady;

constexpr int kAvioBuffer = 128 << 10;
// Block and largest read-ahead: request count against bytes moved was flat from 256 KiB to 1 MiB.
constexpr uint64_t kBlock = 512 << 10;
constexpr uint64_t kMaxWindow = 8 << 20;
}  // namespace

SourceIo::SourceIo(UniqueFd fd, uint64_t size, bool complete, Channel& channel, Reporter& reporter)
    : fd_(std::move(fd)), size_(size), complete_(complete), channel_(channel), reporter_(reporter) {
  auto* buffer = static_cast<unsigned char*>(av_malloc(kAvioBuffer));
  avio_ = avio_alloc_context(buffer, kAvioBuffer, 0, this, &SourceIo::ReadCallback, nullptr,
                             &SourceIo::SeekCallback);
}

SourceIo::~SourceIo() {
  if (avio_ == nullptr) return;
  av_freep(&avio_->buffer);
  avio_context_free(&avio_);
}

int SourceIo::ReadCallback(void* self, uint8_t* to, int size) {
  return static_cast<SourceIo*>(self)->Read(to, size);
}
int64_t SourceIo::SeekCallback(void* self, int64_t offset, int whence) {
  return static_cast<SourceIo*>(self)->Seek(offset, whence);
}

int SourceIo::Fail(std::string why) {
  failed_ = true;
  failure_ = std::move(why);
  return AVERROR(EIO);
}

int SourceIo::Read(uint8_t* to, int size) {
  if (failed_) return AVERROR(EIO);
  reporter_.Tick();
  if (size_ != 0 && position_ >= size_) return AVERROR_EOF;
  auto wanted = static_cast<uint64_t>(std::max(size, 0));
  if (position_ < replaced_at_) wanted = std::min(wanted, replaced_at_ - position_);
  if (position_ >= replaced_at_ && position_ - replaced_at_ < replacement_.size()) {
    const uint64_t from = position_ - replaced_at_;
    const uint64_t n = std::min<uint64_t>(wanted, replacement_.size() - from);
    std::memcpy(to, replacement_.data() + from, n);
    position_ += n;
    return static_cast<int>(n);
  }
  if (!complete_) {
    const uint64_t available = WaitReady();
    if (failed_) return AVERROR(EIO);
    if (available == 0) return AVERROR_EOF;
    wanted = std::min(wanted, available);
  }
  if (size_ != 0) wanted = std::min(wanted, size_ - position_);
  ssize_t n = 0;
  do {
    n = pread(fd_.get(), to, wanted, static_cast<off_t>(position_));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Fail(std::string("reading the source: ") + std::strerror(errno));
  if (n == 0) {
    if (size_ != 0) return Fail("the source is shorter than announced");
    return AVERROR_EOF;
  }
  position_ += static_cast<uint64_t>(n);
  return static_cast<int>(n);
}

bool SourceIo::ReadAt(uint64_t offset, void* to, size_t size) {
  const uint64_t before = std::exchange(position_, offset);
  auto* bytes = static_cast<uint8_t*>(to);
  while (size > 0) {
    const int n = Read(bytes, static_cast<int>(std::min<size_t>(size, INT_MAX)));
    if (n <= 0) break;
    bytes += n;
    size -= static_cast<size_t>(n);
  }
  position_ = before;
  return size == 0;
}

void SourceIo::Announce(uint64_t offset, uint64_t size) {
  announced_ = offset;
  announced_end_ = offset + size;
}

void SourceIo::Replace(uint64_t offset, std::string bytes) {
  replacement_ = std::move(bytes);
  replaced_at_ = replacement_.empty() ? 0 : offset;
  // What libav holds of the old bytes is forgotten.
  position_ = 0;
  avio_->buf_ptr = avio_->buf_end = avio_->buffer;
  avio_->pos = 0;
  avio_->eof_reached = 0;
}

int64_t SourceIo::Seek(int64_t offset, int whence) {
  if (whence & AVSEEK_SIZE) return size_ != 0 ? static_cast<int64_t>(size_) : AVERROR(ENOSYS);
  int64_t base = 0;
  switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<int64_t>(position_);
      break;
    case SEEK_END:
      if (size_ == 0) return AVERROR(ENOSYS);
      base = static_cast<int64_t>(size_);
      break;
    default:
      return AVERROR(EINVAL);
  }
  int64_t target = 0;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return AVERROR(EINVAL);
  position_ = static_cast<uint64_t>(target);
  return target;
}

uint64_t SourceIo::WaitReady() {
  if (const uint64_t ready = ready_.ReadyFrom(position_)) return ready;
  uint64_t begin = position_ / kBlock * kBlock;
  begin = std::min(position_, begin + ready_.ReadyFrom(begin));
  for (;;) {
    window_ = begin == last_need_end_ && begin != 0 ? std::min(window_ * 2, kMaxWindow) : kBlock;
    window_ = std::max(window_, kBlock);
    uint64_t end = std::max((begin + window_) / kBlock * kBlock, position_ + 1);
    if (position_ >= announced_ && position_ < announced_end_) {
      end = std::max(end, std::min(announced_end_, begin + kMaxWindow));
    }
    if (size_ != 0) end = std::min(end, size_);
    const Need need{begin, end - begin};
    if (!channel_.Send(need).ok()) _exit(3);
    for (bool answered = false; !answered;) {
      auto message = channel_.Receive();
      if (!message.ok() || !message->has_value()) _exit(3);
      if (const auto* failed = std::get_if<SourceFailed>(&**message)) {
        Fail(failed->message);
        return 0;
      }
      const auto* ready = std::get_if<SourceReady>(&**message);
      if (ready == nullptr) continue;
      ready_.Add(ready->offset, ready->available);
      answered = ready->offset == need.offset || ready_.ReadyFrom(position_) > 0;
      if (ready->offset == need.offset && ready->available == 0 && need.offset >= position_) {
        return 0;  // the end
      }
    }
    last_need_end_ = end;
    if (const uint64_t ready = ready_.ReadyFrom(position_)) return ready;
    begin = position_;  // the answer stopped short of us: ask for exactly this
  }
}

}  // namespace vr::worker
