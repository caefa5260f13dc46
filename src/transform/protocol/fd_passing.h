// Bytes and file descriptors over Unix stream sockets (SCM_RIGHTS), for both ends of the worker
// protocol.
//
// Descriptors travel with the first byte of what they are sent with, and arrive in order. Received
// ones are close-on-exec. No signal is raised by a closed peer. Plain functions on a socket the
// caller owns; two threads may not send on one socket at once. Allocation aside they make one
// system call a turn: sendmsg or recvmsg (and poll never), so the sandboxed child may use them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace vr::transform::protocol {

/// Most descriptors that go with one message.
inline constexpr size_t kMaxPassedFds = 8;

enum class Received {
  kData,     ///< something was appended
  kNothing,  ///< TryReceive only: nothing there now
  kClosed,   ///< the peer closed its end (or died)
};

/// Sends all of `bytes` (not empty), waiting as long as the peer needs; the socket must be
/// blocking.
/// @errors kUnavailable (peer gone: EPIPE, ECONNRESET)
Result<void> SendAll(int socket, std::string_view bytes, std::span<const int> fds = {});

/// Waits for bytes and appends what came, with the descriptors that came with it; the socket must
/// be blocking.
/// @errors kUnavailable (socket error), kCorruption (more descriptors than kMaxPassedFds)
Result<Received> Receive(int socket, std::string& bytes, std::vector<UniqueFd>& fds);

/// Sends what fits now. The descriptors went when the result is > 0, and then not again with the
/// rest.
/// @return bytes taken, 0 = would block
Result<size_t> TrySend(int socket, std::string_view bytes, std::span<const int> fds = {});

/// As Receive, but gives kNothing instead of waiting. The socket's own mode does not matter.
Result<Received> TryReceive(int socket, std::string& bytes, std::vector<UniqueFd>& fds);

/// A connected pair of close-on-exec stream sockets, both blocking.
Result<std::pair<UniqueFd, UniqueFd>> MakeSocketPair();

}  // namespace vr::transform::protocol
