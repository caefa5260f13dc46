// Channel: one end of a protocol socket on the server's loop: whole messages in, whole messages
// out.
//
// Bound to its loop; held by shared_ptr while it waits. Never blocks. After on_closed or Close()
// nothing is called any more.
#pragma once

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "io/task.h"
#include "transform/protocol/messages.h"

namespace vr::transform {

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  /// `socket` is a connected Unix stream socket.
  Channel(io::Executor executor, UniqueFd socket);
  ~Channel();

  /// Starts reading. `on_message` gets every message in order; `on_closed` once, at the peer's end
  /// (no error) or at the first damaged message or socket error. Both may Close() the channel.
  void Start(std::function<void(protocol::Message)> on_message,
             std::function<void(std::optional<Error>)> on_closed);

  /// Queues a message. The descriptors are kept open until they have been sent.
  void Send(const protocol::Message& message, std::vector<SharedFd> fds = {});

  /// Delivers what has arrived, up to the peer's end, now. For a peer that is known to be dead.
  void Drain();
  void Close();
  bool is_open() const { return stream_.is_open(); }
  /// The peer ended without having read all that was sent to it.
  bool lost_output() const { return lost_output_; }
  /// Not yet taken by the socket, bytes.
  size_t pending_bytes() const { return pending_bytes_; }

 private:
  struct Out {
    std::string bytes;
    std::vector<SharedFd> fds;
  };
  void WaitReadable();
  void OnReadable();
  /// @return false when there is nothing more now, or the channel is closed
  bool ReadOnce();
  void Flush();
  void Fail(std::optional<Error> error);

  boost::asio::posix::basic_stream_descriptor<io::Executor> stream_;
  std::function<void(protocol::Message)> on_message_;
  std::function<void(std::optional<Error>)> on_closed_;
  std::string in_;
  std::deque<Out> out_;
  size_t pending_bytes_ = 0;
  bool waits_writable_ = false;
  bool lost_output_ = false;
};

}  // namespace vr::transform
