#include "http/writer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "http/ascii.h"
#include "http/date.h"
#include "http/status.h"
#include "http/tls.h"

namespace vr::http {

namespace {

constexpr size_t kMaxIovecs = 64;
constexpr std::string_view kEndOfHead = "\r\n";
/// Plain text of the largest TLS record (RFC 8446 §5.1).
constexpr size_t kRecord = 16 * 1024;
/// Gathered at once for TLS: one read of a file for several records.
constexpr size_t kGather = 4 * kRecord;
/// Head and body of an answer that are copied together rather than sent as several pieces.
constexpr size_t kSmall = 4096;
/// Of a file: from here on only full packets are sent until its end.
constexpr uint64_t kCorkFrom = 256 * 1024;

uint64_t LengthOf(const Piece& piece) {
  return std::visit([](const auto& p) { return p.length; }, piece);
}

uint64_t LengthOf(const std::vector<Piece>& pieces) {
  uint64_t length = 0;
  for (const Piece& piece : pieces) length += LengthOf(piece);
  return length;
}

/// Appends to a fixed buffer the caller knows to be large enough.
struct Pen {
  char* at;
  void Text(std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  }
  void Number(uint64_t n, int base = 10) { at = std::to_chars(at, at + 20, n, base).ptr; }
};

}  // namespace

void ResponseWriter::AddMemory(std::string_view bytes, bool is_body) {
  if (bytes.empty()) return;
  Segment segment;
  segment.data = bytes.data();
  segment.length = bytes.size();
  segment.is_body = is_body;
  segments_.push_back(segment);
}

void ResponseWriter::AddPiece(const Piece& piece) {
  if (const auto* memory = std::get_if<MemoryPiece>(&piece)) {
    if (memory->length > 0)
      AddMemory(std::string_view(*memory->data).substr(memory->offset, memory->length), true);
    return;
  }
  const auto& file = std::get<FilePiece>(piece);
  if (file.length == 0) return;
  Segment segment;
  segment.fd = file.file->get();
  segment.offset = file.offset;
  segment.length = file.length;
  segment.is_body = true;
  segments_.push_back(segment);
}

bool ResponseWriter::Start(const Response& response, const HeadOptions& options) {
  segments_.clear();
  next_ = 0;
  length_.reset();
  chunked_ = more_follows_ = anything_sent_ = false;
  is_chunk_open_ = false;
  stream_left_ = body_bytes_ = 0;
  first_byte_time_.reset();

  const auto* pieces = std::get_if<std::vector<Piece>>(&response.body);
  const auto* stream = std::get_if<StreamBody>(&response.body);
  const bool no_body = HasNoBody(response.status);
  const bool sends_body = !no_body && !options.is_head;
  bool close = options.close;
  if (stream == nullptr) {
    length_ = pieces != nullptr ? LengthOf(*pieces) : 0;
  } else if (stream->length) {
    length_ = *stream->length;
  } else if (options.minor_version >= 1) {
    chunked_ = !no_body;
  } else {
    close = close || sends_body;
  }

  Pen pen{head_};
  const std::string_view line = StatusLine(response.status);
  if (!response.reason.empty() && IsFieldValue(response.reason)) {
    status_line_ = "HTTP/1.1 " + std::to_string(std::clamp(response.status, 100, 999)) + ' ' +
                   response.reason + "\r\n";
    AddMemory(status_line_, false);
  } else if (!line.empty()) {
    pen.Text(line);
  } else {
    pen.Text("HTTP/1.1 ");
    pen.Number(static_cast<uint64_t>(std::clamp(response.status, 100, 999)));
    pen.Text(" Unknown\r\n");
  }
  if (!response.has_date) pen.Text(CurrentDateLine());
  if (length_ && !no_body) {
    pen.Text("Content-Length: ");
    pen.Number(*length_);
    pen.Text("\r\n");
  } else if (chunked_) {
    pen.Text("Transfer-Encoding: chunked\r\n");
  }
  if (close) {
    pen.Text("Connection: close\r\n");
  } else if (options.minor_version == 0) {
    pen.Text("Connection: keep-alive\r\n");
  }
  AddMemory(std::string_view(head_, static_cast<size_t>(pen.at - head_)), false);
  AddMemory(response.fields, false);
  if (response.shared_fields) AddMemory(*response.shared_fields, false);
  AddMemory(kEndOfHead, false);
  if (!sends_body) return close;
  if (pieces != nullptr) {
    for (const Piece& piece : *pieces) AddPiece(piece);
  } else if (stream != nullptr) {
    stream_left_ = length_.value_or(0);
    more_follows_ = length_ != 0U;
  }
  return close;
}

void ResponseWriter::StartRaw(std::string_view bytes) {
  segments_.clear();
  next_ = 0;
  more_follows_ = false;
  first_byte_time_.reset();
  AddMemory(bytes, false);
}

bool ResponseWriter::AddStreamPiece(Piece piece) {
  const uint64_t length = LengthOf(piece);
  if (length == 0) return true;
  if (length_) {
    if (length > stream_left_) return false;
    stream_left_ -= length;
  }
  segments_.clear();
  next_ = 0;
  more_follows_ = false;
  if (chunked_) {
    Pen pen{chunk_};
    if (is_chunk_open_) pen.Text("\r\n");
    pen.Number(length, 16);
    pen.Text("\r\n");
    AddMemory(std::string_view(chunk_, static_cast<size_t>(pen.at - chunk_)), false);
  }
  stream_piece_ = std::move(piece);
  AddPiece(stream_piece_);
  is_chunk_open_ = chunked_ && std::holds_alternative<FilePiece>(stream_piece_);
  if (chunked_ && !is_chunk_open_) AddMemory("\r\n", false);
  return true;
}

bool ResponseWriter::EndStream() {
  if (length_ && stream_left_ > 0) return false;
  segments_.clear();
  next_ = 0;
  more_follows_ = false;
  if (chunked_) AddMemory(is_chunk_open_ ? "\r\n0\r\n\r\n" : "0\r\n\r\n", false);
  stream_piece_ = Piece();
  return true;
}

void ResponseWriter::Sent(uint64_t n) {
  anything_sent_ = true;
  bool sent_body = false;
  while (n > 0) {
    Segment& segment = segments_[next_];
    const uint64_t part = std::min(n, segment.length);
    segment.length -= part;
    segment.offset += part;
    if (segment.data != nullptr) segment.data += part;
    if (segment.is_body) {
      body_bytes_ += part;
      sent_body = true;
    }
    n -= part;
    if (segment.length == 0) ++next_;
  }
  const bool is_all = next_ == segments_.size() && !more_follows_;
  is_sent_at_once_ = is_all && !first_byte_time_;
  if (!first_byte_time_ && (sent_body || is_all)) {
    first_byte_time_ = std::chrono::steady_clock::now();
  }
}

ResponseWriter::Progress ResponseWriter::PushMemory(int fd) {
  iovec iov[kMaxIovecs];
  size_t count = 0;
  size_t total = 0;
  size_t i = next_;
  for (; i < segments_.size() && count < kMaxIovecs && segments_[i].data != nullptr; ++i) {
    iov[count].iov_base = const_cast<char*>(segments_[i].data);
    iov[count].iov_len = segments_[i].length;
    total += segments_[i].length;
    ++count;
  }
  // One piece costs the kernel less than several: what is small is put together first.
  char gathered[kSmall];
  if (count > 1 && total <= kSmall) {
    char* at = gathered;
    for (size_t k = 0; k < count; ++k) {
      std::memcpy(at, iov[k].iov_base, iov[k].iov_len);
      at += iov[k].iov_len;
    }
    iov[0].iov_base = gathered;
    iov[0].iov_len = total;
    count = 1;
  }
  msghdr message{};
  message.msg_iov = iov;
  message.msg_iovlen = count;
  const int flags =
      MSG_NOSIGNAL | MSG_DONTWAIT | (i < segments_.size() || more_follows_ ? MSG_MORE : 0);
  for (;;) {
    const ssize_t n = count == 1 ? ::send(fd, iov[0].iov_base, iov[0].iov_len, flags)
                                 : ::sendmsg(fd, &message, flags);
    if (n >= 0) {
      Sent(static_cast<uint64_t>(n));
      return Progress::kDone;
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Progress::kBlocked : Progress::kFailed;
  }
}

ResponseWriter::Progress ResponseWriter::PushFile(int fd, uint64_t& turn_left) {
  const Segment& segment = segments_[next_];
  for (;;) {
    auto offset = static_cast<off_t>(segment.offset);
    const ssize_t n = ::sendfile(fd, segment.fd, &offset, std::min(segment.length, turn_left));
    if (n > 0) {
      turn_left -= static_cast<uint64_t>(n);
      Sent(static_cast<uint64_t>(n));
      return Progress::kDone;
    }
    if (n == 0) return Progress::kShort;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Progress::kBlocked;
    return errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT || errno == ENOTCONN
               ? Progress::kFailed
               : Progress::kShort;
  }
}

void ResponseWriter::Uncork(int fd) {
  if (!more_follows_) return;
  more_follows_ = false;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

std::string_view ResponseWriter::NextForTls() {
  const Segment& first = segments_[next_];
  if (first.data != nullptr && first.length >= kRecord) return {first.data, first.length};
  // After a write that blocked the same bytes are gathered again: TLS wants to see them, and so no
  // connection keeps a buffer.
  thread_local std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(kGather);
  size_t used = 0;
  for (size_t i = next_; i < segments_.size() && used < kGather; ++i) {
    const Segment& segment = segments_[i];
    const size_t wanted = std::min<uint64_t>(segment.length, kGather - used);
    if (segment.data != nullptr) {
      std::memcpy(buffer.get() + used, segment.data, wanted);
      used += wanted;
      continue;
    }
    ssize_t n = 0;
    do {
      n = ::pread(segment.fd, buffer.get() + used, wanted, static_cast<off_t>(segment.offset));
    } while (n < 0 && errno == EINTR);
    if (n > 0) used += static_cast<size_t>(n);
    if (n != static_cast<ssize_t>(wanted)) break;
  }
  return {buffer.get(), used};
}

ResponseWriter::Progress ResponseWriter::PushTls() {
  uint64_t turn_left = kTurnBytes;
  while (next_ < segments_.size()) {
    if (turn_left == 0) return Progress::kTurn;
    std::string_view bytes = NextForTls();
    if (bytes.empty()) return Progress::kShort;
    while (!bytes.empty() && turn_left > 0) {
      const ssize_t n = tls_->Write(bytes);
      if (n <= 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? Progress::kBlocked : Progress::kFailed;
      }
      const auto written = static_cast<uint64_t>(n);
      turn_left -= std::min(turn_left, written);
      bytes.remove_prefix(written);
      Sent(written);
    }
  }
  return Progress::kDone;
}

ResponseWriter::Progress ResponseWriter::Push(int fd) {
  if (tls_ != nullptr) return PushTls();
  uint64_t turn_left = kTurnBytes;
  while (next_ < segments_.size()) {
    if (turn_left == 0) return Progress::kTurn;
    const Segment& segment = segments_[next_];
    const bool is_file = segment.data == nullptr;
    if (is_file && segment.length >= kCorkFrom && !is_corked_) Cork(fd, true);
    const Progress progress = is_file ? PushFile(fd, turn_left) : PushMemory(fd);
    if (progress != Progress::kDone) return progress;
  }
  if (is_corked_) Cork(fd, false);
  return Progress::kDone;
}

void ResponseWriter::Cork(int fd, bool is_wanted) {
  const int value = is_wanted ? 1 : 0;
  ::setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
  is_corked_ = is_wanted;
}

}  // namespace vr::http
