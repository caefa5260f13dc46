#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace vr::http {

namespace {

/// TLS 1.2 only with (EC)DHE and an AEAD: everything else is on HTTP/2's blacklist (RFC 9113
/// appendix A). The suites of TLS 1.3 are all fit.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::string_view kH2 = "h2";
constexpr std::string_view kHttp11 = "http/1.1";

/// The client's list has one length byte before each name.
bool Offers(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t length = static_cast<unsigned char>(list.front());
    if (list.substr(1, length) == name) return true;
    list.remove_prefix(std::min(length + 1, list.size()));
  }
  return false;
}

/// `arg` is not null when HTTP/2 is offered.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* in, unsigned int in_length, void* arg) {
  const std::string_view list(reinterpret_cast<const char*>(in), in_length);
  for (const std::string_view name : {kH2, kHttp11}) {
    if (name == kH2 && arg == nullptr) continue;
    if (!Offers(list, name)) continue;
    *out = reinterpret_cast<const unsigned char*>(name.data());
    *out_length = static_cast<unsigned char>(name.size());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// A server has nobody to ask for a passphrase.
int NoPassphrase(char*, int, int, void*) {
  return 0;
}

Error BadFile(const char* field, const std::string& file, const std::string& why) {
  // `detail` too: logs show it, and a start that fails must say which file.
  return Error(Code::kInvalidArgument, std::string(field) + " cannot be used",
               std::string(field) + ": " + file + ": " + why);
}

/// Whether the file can be read at all, which OpenSSL tells in its own words only.
Result<void> CheckReadable(const char* field, const std::string& file) {
  std::FILE* opened = std::fopen(file.c_str(), "re");
  if (opened == nullptr) return BadFile(field, file, std::strerror(errno));
  char byte = 0;
  const bool has_bytes = std::fread(&byte, 1, 1, opened) == 1;
  const int error = std::ferror(opened) != 0 ? errno : 0;
  std::fclose(opened);
  if (error != 0) return BadFile(field, file, std::strerror(error));
  if (!has_bytes) return BadFile(field, file, "the file is empty");
  return {};
}

WallTime EndOf(const X509* certificate) {
  std::tm when{};
  if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1)
    return WallTime();
  return std::chrono::system_clock::from_time_t(::timegm(&when));
}

}  // namespace

std::string TakeTlsError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  const char* reason = ERR_reason_error_string(code);
  if (reason != nullptr) return reason;
  char text[160];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

Result<TlsCredentials::Loaded> TlsCredentials::Read(const TlsFiles& files) const {
  constexpr const char* kCertificate = "/tls/certificate";
  constexpr const char* kKey = "/tls/key";
  CHECK_OK(CheckReadable(kCertificate, files.certificate));
  CHECK_OK(CheckReadable(kKey, files.key));
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return Error(Code::kInternal, "TLS cannot be set up", TakeTlsError());
  SSL_CTX* const ctx = context.get();
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(ctx, kCiphers);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Without the buffers of a record per idle connection (34 KiB).
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  // One system call for a record's head and body, and for several small records.
  SSL_CTX_set_read_ahead(ctx, 1);
  // Sessions travel in tickets; the cache would keep some for every client that ever came.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(ctx, NoPassphrase);
  SSL_CTX_set_alpn_select_cb(ctx, ChooseProtocol,
                             offers_h2 ? const_cast<char*>(kH2.data()) : nullptr);
  if (SSL_CTX_use_certificate_chain_file(ctx, files.certificate.c_str()) != 1) {
    return BadFile(kCertificate, files.certificate,
                   "not a PEM certificate chain (" + TakeTlsError() + ")");
  }
  // Read apart from being used: the errors differ.
  std::FILE* file = std::fopen(files.key.c_str(), "re");
  if (file == nullptr) return BadFile(kKey, files.key, std::strerror(errno));
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_PrivateKey(file, nullptr, NoPassphrase, nullptr), EVP_PKEY_free);
  std::fclose(file);
  if (!key) {
    return BadFile(kKey, files.key, "not an unencrypted PEM private key (" + TakeTlsError() + ")");
  }
  const X509* const certificate = SSL_CTX_get0_certificate(ctx);
  if (X509_check_private_key(certificate, key.get()) != 1) {
    ERR_clear_error();
    return BadFile(kKey, files.key, "does not belong to the certificate in " + files.certificate);
  }
  if (SSL_CTX_use_PrivateKey(ctx, key.get()) != 1)
    return BadFile(kKey, files.key, "not usable (" + TakeTlsError() + ")");
  Loaded loaded;
  loaded.context = std::move(context);
  loaded.not_after = EndOf(certificate);
  return loaded;
}

Result<std::shared_ptr<TlsCredentials>> TlsCredentials::Load(const TlsFiles& files,
                                                             bool offers_h2) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials(offers_h2));
  CHECK_OK(made->Reload(files));
  return made;
}

Result<void> TlsCredentials::Reload(const TlsFiles& files) {
  TRY(Loaded loaded, Read(files));
  MutexLock lock(mutex_);
  std::swap(loaded_, loaded);
  return {};
}

std::shared_ptr<SSL_CTX> TlsCredentials::context() const {
  MutexLock lock(mutex_);
  return loaded_.context;
}

WallTime TlsCredentials::not_after() const {
  MutexLock lock(mutex_);
  return loaded_.not_after;
}

// ---- one connection ----

TlsStream::TlsStream(std::shared_ptr<SSL_CTX> context, int fd)
    : context_(std::move(context)), ssl_(SSL_new(context_.get())) {
  if (ssl_ == nullptr || SSL_set_fd(ssl_, fd) != 1) {
    is_broken_ = true;
    return;
  }
  SSL_set_accept_state(ssl_);
}

TlsStream::~TlsStream() {
  SSL_free(ssl_);
}

TlsStream::Step TlsStream::Handshake() {
  if (is_broken_) return Step::kFailed;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return Step::kDone;
  Failed(result);
  return is_broken_ ? Step::kFailed : Step::kWait;
}

bool TlsStream::has_chosen_h2() const {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return std::string_view(reinterpret_cast<const char*>(name), length) == kH2;
}

/// Sets errno. @return 0 for a clean end, else -1
ssize_t TlsStream::Failed(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      wants_write_ = false;
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_WANT_WRITE:
      wants_write_ = true;
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      // Broken by the peer, by the network, or an end that nobody announced: all one to us.
      is_broken_ = true;
      errno = ECONNRESET;
      return -1;
  }
}

ssize_t TlsStream::Read(std::span<char> space) {
  if (is_broken_) {
    errno = ECONNRESET;
    return -1;
  }
  ERR_clear_error();
  size_t n = 0;
  const int result = SSL_read_ex(ssl_, space.data(), space.size(), &n);
  return result == 1 ? static_cast<ssize_t>(n) : Failed(result);
}

ssize_t TlsStream::Write(std::string_view bytes) {
  if (is_broken_) {
    errno = ECONNRESET;
    return -1;
  }
  ERR_clear_error();
  size_t n = 0;
  const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &n);
  is_write_pending_ = false;
  if (result == 1) return static_cast<ssize_t>(n);
  const ssize_t failed = Failed(result);
  is_write_pending_ = failed < 0 && !is_broken_;
  if (failed == 0) errno = ECONNRESET;  // their close_notify does not let us write nothing
  return -1;
}

bool TlsStream::has_pending() const {
  return !is_broken_ && SSL_has_pending(ssl_) == 1;
}

void TlsStream::Close() {
  // Behind half a record nothing else can be said.
  if (is_broken_ || is_write_pending_ || SSL_is_init_finished(ssl_) != 1) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

}  // namespace vr::http
