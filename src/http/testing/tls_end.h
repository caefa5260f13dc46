// Certificates made on the spot, and the client's end of a TLS connection, for tests.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "http/tls.h"

namespace vr::http::testing {

/// Self-signed certificates in a directory that goes with this object.
class TestCertificates {
 public:
  TestCertificates();
  ~TestCertificates();
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  /// A new key and a certificate for `name`, in files of that name.
  TlsFiles Write(const std::string& name) const;
  std::string Path(const std::string& file) const { return directory_ + "/" + file; }

 private:
  std::string directory_;
};

/// Over a connected, blocking socket, which it does not own. Believes every certificate.
class TlsEnd {
 public:
  /// Shakes hands at once. `alpn` is one protocol, or empty.
  TlsEnd(int fd, const std::string& alpn, int max_version = 0);
  ~TlsEnd();
  bool is_up() const { return is_up_; }
  bool has_pending() const;
  bool Write(std::string_view bytes);
  /// As recv(): 0 after close_notify; -1 for any other end; kNothing after `patience`.
  ssize_t Read(char* space, size_t size, std::chrono::milliseconds patience);
  static constexpr ssize_t kNothing = -2;
  void Close();
  std::string alpn() const;
  std::string version() const;
  /// Common name of the server's certificate.
  std::string peer_name() const;

 private:
  const int fd_;
  std::shared_ptr<SSL_CTX> context_;
  SSL* ssl_ = nullptr;
  bool is_up_ = false;
};

}  // namespace vr::http::testing
