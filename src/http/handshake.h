// The beginning of a connection to a TLS listener: the handshake, within its time. What follows
// speaks HTTP/1.1 or HTTP/2, as ALPN chose.
//
// Bound to its loop. Keeps itself alive until its coroutine has ended.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "http/live_connection.h"
#include "http/tls.h"

namespace vr::http {

class Handshake final : public std::enable_shared_from_this<Handshake>, public LiveConnection {
 public:
  Handshake(std::shared_ptr<ServerCore> core, LoopShare& share, std::string peer_address);

  /// Takes a connected, non-blocking socket.
  void Start(UniqueFd fd, bool is_v6);
  /// Nothing was asked yet, so nothing is owed.
  void Drain() override { Cut(); }
  void Cut() override;

 private:
  /// @return whether HTTP may begin
  Task<bool> Run();
  Task<bool> WaitFor(Socket::wait_type what);
  /// The first bytes are those of HTTP without TLS: says so, in HTTP without TLS.
  Task<void> RefusePlain();
  void OnEnd(std::exception_ptr failure, bool is_done);

  const std::shared_ptr<ServerCore> core_;
  LoopShare& share_;
  const std::string peer_address_;
  Socket socket_;
  LoopTimer timer_;
  std::unique_ptr<TlsStream> tls_;
  bool is_cut_ = false;
};

}  // namespace vr::http
