#include "transform/protocol/fd_passing.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace vr::transform::protocol {
namespace {

constexpr size_t kReadBytes = 16 * 1024;

/// @return bytes sent, or -1 with errno; repeats on EINTR.
ssize_t SendOnce(int socket, std::string_view bytes, std::span<const int> fds, int flags) {
  VR_CHECK(!bytes.empty());
  VR_CHECK(fds.size() <= kMaxPassedFds);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

Result<Received> ReceiveOnce(int socket, std::string& bytes, std::vector<UniqueFd>& fds,
                             int flags) {
  char data[kReadBytes];
  iovec part{data, sizeof(data)};
  msghdr message{};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)];
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Received::kNothing;
    // A peer that died with unread bytes of ours resets the connection: for us the same as a close.
    if (errno == ECONNRESET) return Received::kClosed;
    return ErrnoError(errno, "receiving from the worker side");
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return Error(Code::kCorruption, "a worker message is damaged",
                 "descriptors were lost in passing");
  }
  if (got == 0) return Received::kClosed;
  bytes.append(data, static_cast<size_t>(got));
  return Received::kData;
}

}  // namespace

Result<void> SendAll(int socket, std::string_view bytes, std::span<const int> fds) {
  while (!bytes.empty()) {
    const ssize_t sent = SendOnce(socket, bytes, fds, 0);
    if (sent < 0) return ErrnoError(errno, "sending to the worker side");
    bytes.remove_prefix(static_cast<size_t>(sent));
    fds = {};
  }
  return {};
}

Result<Received> Receive(int socket, std::string& bytes, std::vector<UniqueFd>& fds) {
  return ReceiveOnce(socket, bytes, fds, 0);
}

Result<size_t> TrySend(int socket, std::string_view bytes, std::span<const int> fds) {
  const ssize_t sent = SendOnce(socket, bytes, fds, MSG_DONTWAIT);
  if (sent >= 0) return static_cast<size_t>(sent);
  if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
  return ErrnoError(errno, "sending to the worker side");
}

Result<Received> TryReceive(int socket, std::string& bytes, std::vector<UniqueFd>& fds) {
  return ReceiveOnce(socket, bytes, fds, MSG_DONTWAIT);
}

Result<std::pair<UniqueFd, UniqueFd>> MakeSocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "making a socket pair");
  }
  return std::pair<UniqueFd, UniqueFd>(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

}  // namespace vr::transform::protocol
