// TLS of a listener: the certificate and key it shows, replaceable while it runs, and the byte
// stream of one connection (OpenSSL).
//
// TLS 1.2 and 1.3, forward secrecy and authenticated ciphers only, no renegotiation, no
// compression. ALPN offers "h2" (when wanted) and "http/1.1". Tickets are the library's stateless
// ones; their keys live as long as the certificate that is shown.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"

// OpenSSL's own types stay out of our headers.
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace vr::http {

struct TlsFiles {
  std::string certificate;  ///< PEM: the server's certificate, then the chain above it
  std::string key;          ///< PEM: its private key, not encrypted
};

/// What a listener shows to those who connect. Thread-safe.
class TlsCredentials {
 public:
  /// @errors kInvalidArgument; the message names "/tls/certificate" or "/tls/key" and the file
  static Result<std::shared_ptr<TlsCredentials>> Load(const TlsFiles& files, bool offers_h2);
  /// Reads the files again; handshakes that begin later see what they say. Connections that are
  /// there go on. After an error everything is as before.
  Result<void> Reload(const TlsFiles& files);

  std::shared_ptr<SSL_CTX> context() const;
  /// When the certificate ends.
  WallTime not_after() const;
  const bool offers_h2;

 private:
  struct Loaded {
    std::shared_ptr<SSL_CTX> context;
    WallTime not_after;
  };
  explicit TlsCredentials(bool h2) : offers_h2(h2) {}
  Result<Loaded> Read(const TlsFiles& files) const;

  mutable Mutex mutex_;
  Loaded loaded_ GUARDED_BY(mutex_);
};

/// The server's end of one TLS connection over a non-blocking socket, which it does not own.
/// Behaves like one: reads and writes say EAGAIN. Bound to its connection's loop.
class TlsStream {
 public:
  TlsStream(std::shared_ptr<SSL_CTX> context, int fd);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  enum class Step { kDone, kWait, kFailed };
  /// One step of the handshake; kWait: until the socket is as wants_write() says.
  Step Handshake();
  bool has_chosen_h2() const;

  /// As recv(): 0 after the client's close_notify, -1 with errno. An end without close_notify is
  /// ECONNRESET.
  ssize_t Read(std::span<char> space);
  /// As send(), one record at most. After EAGAIN it must be called again with the same bytes first
  /// (perhaps elsewhere in memory, perhaps with more behind them) before anything else is written.
  ssize_t Write(std::string_view bytes);
  /// What the last call that said EAGAIN waits for: the socket becoming writable, or readable.
  bool wants_write() const { return wants_write_; }
  /// Bytes were received that Read() has not given yet: the socket need not become readable.
  bool has_pending() const;
  /// Tells the client that all was said (close_notify), if the connection is fit for it. Does not
  /// wait.
  void Close();

 private:
  ssize_t Failed(int result);

  // The context must outlive what was made from it; OpenSSL counts too, this says so.
  const std::shared_ptr<SSL_CTX> context_;
  SSL* const ssl_;
  bool wants_write_ = false;
  bool is_broken_ = false;
  bool is_write_pending_ = false;
};

/// Why the last OpenSSL call of this thread failed, for a log; empties the queue.
std::string TakeTlsError();

}  // namespace vr::http
