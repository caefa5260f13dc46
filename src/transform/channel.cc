#include "transform/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "transform/protocol/fd_passing.h"

namespace vr::transform {

namespace {
/// Reads per wake-up, so that a peer that floods cannot keep the loop.
constexpr int kReadsPerTurn = 16;

/// A Unix socket whose peer closed it with unread bytes in its queue has this error pending, once.
bool WasReset(int socket) {
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNRESET;
}
}  // namespace

Channel::Channel(io::Executor executor, UniqueFd socket) : stream_(executor, socket.Release()) {}
Channel::~Channel() = default;

void Channel::Start(std::function<void(protocol::Message)> on_message,
                    std::function<void(std::optional<Error>)> on_closed) {
  on_message_ = std::move(on_message);
  on_closed_ = std::move(on_closed);
  WaitReadable();
}

void Channel::WaitReadable() {
  stream_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (!error) self->OnReadable();
                     });
}

void Channel::OnReadable() {
  int turn = 0;
  while (turn < kReadsPerTurn && ReadOnce()) ++turn;
  if (stream_.is_open()) WaitReadable();
}

void Channel::Drain() {
  const auto self = shared_from_this();
  while (ReadOnce()) {
  }
}

bool Channel::ReadOnce() {
  if (!stream_.is_open()) return false;
  lost_output_ |= WasReset(stream_.native_handle());
  std::vector<UniqueFd> unwanted;  // nobody sends us descriptors; what came closes itself
  auto received = protocol::TryReceive(stream_.native_handle(), in_, unwanted);
  if (!received.ok()) {
    Fail(std::move(received).error());
    return false;
  }
  if (*received == protocol::Received::kNothing) return false;
  if (*received == protocol::Received::kClosed) {
    Fail(std::nullopt);
    return false;
  }
  while (stream_.is_open()) {
    auto message = protocol::TakeFrame(in_);
    if (!message.ok()) {
      Fail(std::move(message).error());
      return false;
    }
    if (!message->has_value()) break;
    // A copy, since the callback may Close(), which drops the callbacks.
    const auto on_message = on_message_;
    on_message(std::move(**message));
  }
  return stream_.is_open();
}

void Channel::Send(const protocol::Message& message, std::vector<SharedFd> fds) {
  if (!stream_.is_open()) return;
  out_.push_back(Out{protocol::Encode(message), std::move(fds)});
  pending_bytes_ += out_.back().bytes.size();
  if (!waits_writable_) Flush();
}

void Channel::Flush() {
  while (!out_.empty()) {
    Out& first = out_.front();
    std::vector<int> numbers;
    for (const SharedFd& fd : first.fds) numbers.push_back(fd->get());
    auto sent = protocol::TrySend(stream_.native_handle(), first.bytes, numbers);
    if (!sent.ok()) {
      // The reading side sees the same end, after whatever the peer still had to say.
      lost_output_ = true;
      out_.clear();
      pending_bytes_ = 0;
      return;
    }
    if (*sent == 0) {
      waits_writable_ = true;
      stream_.async_wait(boost::asio::posix::descriptor_base::wait_write,
                         [self = shared_from_this()](const boost::system::error_code& error) {
                           self->waits_writable_ = false;
                           if (!error && self->stream_.is_open()) self->Flush();
                         });
      return;
    }
    first.fds.clear();
    pending_bytes_ -= *sent;
    first.bytes.erase(0, *sent);
    if (first.bytes.empty()) out_.pop_front();
  }
}

void Channel::Fail(std::optional<Error> error) {
  const auto on_closed = std::move(on_closed_);
  Close();
  if (on_closed) on_closed(std::move(error));
}

void Channel::Close() {
  boost::system::error_code ignored;
  if (stream_.is_open()) stream_.close(ignored);
  on_message_ = nullptr;
  on_closed_ = nullptr;
  out_.clear();
  pending_bytes_ = 0;
}

}  // namespace vr::transform
