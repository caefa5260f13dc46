#include "http/testing/tls_end.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace vr::http::testing {

TestCertificates::TestCertificates() {
  std::string pattern = (std::filesystem::temp_directory_path() / "vr-tls-XXXXXX").string();
  if (::mkdtemp(pattern.data()) != nullptr) directory_ = pattern;
}

TestCertificates::~TestCertificates() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

TlsFiles TestCertificates::Write(const std::string& name) const {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  TlsFiles files;
  files.certificate = Path(name + ".crt");
  files.key = Path(name + ".key");
  std::FILE* file = std::fopen(files.certificate.c_str(), "w");
  PEM_write_X509(file, certificate.get());
  std::fclose(file);
  file = std::fopen(files.key.c_str(), "w");
  PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  return files;
}

TlsEnd::TlsEnd(int fd, const std::string& alpn, int max_version)
    : fd_(fd), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
  const timeval patience{20, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
  if (max_version != 0) SSL_CTX_set_max_proto_version(context_.get(), max_version);
  SSL_CTX_set_security_level(context_.get(), 0);
  ssl_ = SSL_new(context_.get());
  SSL_set_fd(ssl_, fd);
  if (!alpn.empty()) {
    const std::string list = std::string(1, static_cast<char>(alpn.size())) + alpn;
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(list.data()),
                        static_cast<unsigned>(list.size()));
  }
  ERR_clear_error();
  is_up_ = SSL_connect(ssl_) == 1;
}

TlsEnd::~TlsEnd() {
  SSL_free(ssl_);
}

bool TlsEnd::has_pending() const {
  return is_up_ && SSL_pending(ssl_) > 0;
}

bool TlsEnd::Write(std::string_view bytes) {
  ERR_clear_error();
  size_t n = 0;
  return is_up_ && (bytes.empty() ||
                    (SSL_write_ex(ssl_, bytes.data(), bytes.size(), &n) == 1 && n == bytes.size()));
}

ssize_t TlsEnd::Read(char* space, size_t size, std::chrono::milliseconds patience) {
  if (!is_up_) return -1;
  const auto us = std::max<int64_t>(std::chrono::microseconds(patience).count(), 1);
  const timeval wait{us / 1'000'000, us % 1'000'000};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  ERR_clear_error();
  size_t n = 0;
  const int result = SSL_read_ex(ssl_, space, size, &n);
  if (result == 1) return static_cast<ssize_t>(n);
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_WANT_READ:
      return kNothing;
    default:
      return -1;
  }
}

void TlsEnd::Close() {
  if (is_up_) SSL_shutdown(ssl_);
}

std::string TlsEnd::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return std::string(reinterpret_cast<const char*>(name), length);
}

std::string TlsEnd::version() const {
  return SSL_get_version(ssl_);
}

std::string TlsEnd::peer_name() const {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(ssl_),
                                                                X509_free);
  if (!certificate) return {};
  char text[128] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, text,
                            sizeof text);
  return text;
}

}  // namespace vr::http::testing
