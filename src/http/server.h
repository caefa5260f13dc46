// The HTTP server: accepts, parses, asks the Handler, writes. HTTP/1.1 (RFC 9112), plain or over
// TLS, and behind TLS HTTP/2 (RFC 9113).
//
// One listener per Server; sockets are handed to the loop with the fewest connections and stay
// there. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/message.h"
#include "http/tls.h"
#include "io/loop.h"
#include "observe/metrics.h"

namespace vr::http {

struct ServerOptions {
  std::string listen = "127.0.0.1:8080";      ///< "host:port", "[::]:8080"; port 0 = any free one
  std::string congestion_control = "system";  ///< "system" or a kernel name ("cubic", "bbr")
  uint64_t max_head_bytes = 32 * 1024;        ///< request line and fields; 431 / 414 beyond
  uint64_t max_target_bytes = 16 * 1024;      ///< request target; 414 beyond
  uint64_t max_body_bytes = 1024 * 1024;      ///< request body; 413 beyond
  int max_connections = 20000;                ///< beyond: accepted and closed at once, counted
  std::chrono::milliseconds header_timeout{
      10'000};  ///< from the first byte of a head to its end; 408 beyond
  std::chrono::milliseconds body_timeout{
      30'000};  ///< from the end of a head to the end of its body; 408 beyond
  std::chrono::milliseconds idle_timeout{75'000};  ///< keep-alive without a request
  std::chrono::milliseconds write_timeout{
      60'000};  ///< without any byte accepted by the client's side; of HTTP/2 also per stream
  std::shared_ptr<TlsCredentials> tls;  ///< null: plain
  std::chrono::milliseconds handshake_timeout{
      10'000};                       ///< from the connection to the end of the TLS handshake
  int max_concurrent_streams = 100;  ///< requests of one HTTP/2 connection at once
};

class Server {
 public:
  /// Binds and listens; accepting starts at once.
  /// @errors kInvalidArgument (address), kUnavailable (bind; detail has errno text)
  static Result<std::unique_ptr<Server>> Create(ServerOptions options, Handler& handler,
                                                io::LoopPool& loops, Metrics& metrics);
  virtual ~Server() = default;
  /// "127.0.0.1:43817", with the port the kernel chose.
  virtual std::string address() const = 0;
  /// Stops accepting, closes idle connections, lets running responses end with "Connection: close".
  virtual void Drain() = 0;
  virtual size_t connections() const = 0;
  /// Cuts what is left. Call before the loops stop.
  virtual void CloseAll() = 0;
};

}  // namespace vr::http
