// A read of a stream socket that knows when it has taken all there was.
//
// Before it waits, Asio tries to read: an edge-triggered event may have been used up. Right after a
// request was read that try finds nothing, and costs as much as a read that finds something. With
// TCP_INQ (Linux 4.18, tcp(7) as TCP_CM_INQ) the kernel says with each read what is left; with
// nothing left the next read waits without trying. An end of the stream that is already there
// counts as something left.
#pragma once

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/detail/reactive_socket_recv_op.hpp>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <cstring>

namespace vr::io {

/// For async_read_some(): where bytes go, and the wish that the next such read should not try in
/// vain. TellWhatIsLeft() first; without it a read is as any other.
struct DrainingBuffer : boost::asio::mutable_buffer {
  explicit DrainingBuffer(boost::asio::mutable_buffer buffer) : mutable_buffer(buffer) {}
};

/// Has the kernel say, with each read of this TCP socket, how many bytes are left.
inline void TellWhatIsLeft(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
}

/// As recv() with MSG_DONTWAIT. @param[out] is_drained  the kernel said that nothing is left
inline ssize_t ReceiveAndLook(int fd, boost::asio::mutable_buffer buffer, bool& is_drained) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec space{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &space;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  do {
    n = ::recvmsg(fd, &message, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  is_drained = false;
  if (n <= 0) return n;
  const cmsghdr* const told = CMSG_FIRSTHDR(&message);
  if (told != nullptr && told->cmsg_level == IPPROTO_TCP && told->cmsg_type == TCP_CM_INQ) {
    int left = 0;
    std::memcpy(&left, CMSG_DATA(told), sizeof left);
    is_drained = left == 0;
  }
  return n;
}

}  // namespace vr::io

namespace boost::asio::detail {

/// The system call of a read into a DrainingBuffer. Written for the Asio of Boost 1.81; what it
/// has to look like is in that version's detail/reactive_socket_recv_op.hpp.
template <>
class reactive_socket_recv_op_base<vr::io::DrainingBuffer> : public reactor_op {
 public:
  reactive_socket_recv_op_base(const boost::system::error_code& success_ec, socket_type socket,
                               socket_ops::state_type /*state*/,
                               const vr::io::DrainingBuffer& buffer,
                               socket_base::message_flags /*flags*/, func_type complete_func)
      : reactor_op(success_ec, &reactive_socket_recv_op_base::do_perform, complete_func),
        socket_(socket),
        buffer_(buffer) {}

 private:
  static status do_perform(reactor_op* base) {
    auto* const op = static_cast<reactive_socket_recv_op_base*>(base);
    bool is_drained = false;
    const ssize_t n = vr::io::ReceiveAndLook(op->socket_, op->buffer_, is_drained);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return not_done;
    if (n < 0) op->ec_.assign(errno, boost::asio::error::get_system_category());
    if (n == 0) op->ec_ = boost::asio::error::eof;
    if (n <= 0) return done_and_exhausted;
    op->bytes_transferred_ = static_cast<std::size_t>(n);
    return is_drained ? done_and_exhausted : done;
  }

  socket_type socket_;
  vr::io::DrainingBuffer buffer_;
};

}  // namespace boost::asio::detail
