// HTTP messages as the server and its handlers exchange them (RFC 9110). Knows nothing of caches or
// video.
//
// A Request borrows from the connection's input buffer while it is parsed; what a handler gets owns
// its bytes. A Response carries its fields as ready-made lines and its body as pieces that the
// writer sends without copying: memory by sendmsg, files by sendfile, growing files as they grow.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/result.h"
#include "io/task.h"

namespace vr::http {

struct Field {
  std::string_view name;   ///< as received
  std::string_view value;  ///< without surrounding white space
};

enum class Method { kGet, kHead, kPost, kPut, kDelete, kOptions, kOther };

/// Sends interim answers in front of the final one (1xx, RFC 9110 §15.2). Bound to the connection's
/// loop; for use while Handle() runs.
class InterimSender {
 public:
  virtual ~InterimSender() = default;
  /// Does nothing for clients of HTTP/1.0, which know no interim answers. `fields` are whole lines.
  virtual io::Task<void> SendInterim(int status, std::string fields) = 0;
};

/// One request. The views point into `storage`, which moves with the object: a Request is movable,
/// not copyable.
struct Request {
  Method method = Method::kGet;
  std::string_view method_name;
  std::string_view
      target;  ///< request-target as received (origin-form; absolute-form is reduced to it)
  /// The target as it was sent, where `target` lacks a signature; else empty. A secret.
  std::string_view full_target;
  std::string_view path;   ///< target up to '?', not decoded
  std::string_view query;  ///< after '?', not decoded; empty when there is none
  int minor_version = 1;   ///< HTTP/1.<n>
  std::vector<Field> fields;
  std::string body;          ///< whole body, bounded by the server's limit
  std::string peer_address;  ///< "127.0.0.1" or "::1", no port
  /// Of whom the trusted proxies speak; empty: nobody asked them. See client(). Set in TryNow().
  mutable std::string client_address;
  bool is_tls = false;       ///< came through our own TLS, not that of a proxy in front
  SteadyTime received_at{};  ///< when its head was there; in tests never
  std::string id;            ///< request id: the client's X-Request-ID if sane, else generated
  InterimSender* interim = nullptr;  ///< of the connection; null in tests
  std::unique_ptr<char[]> storage;
  /// What Handler::TryNow worked out and wants to find again in Handle; nobody else looks at it.
  mutable std::shared_ptr<void> carried;

  /// First field of that name (ASCII case-insensitive), nullopt when absent.
  std::optional<std::string_view> Get(std::string_view name) const;
  /// All fields of that name joined by ", " (RFC 9110 §5.3).
  std::string GetAll(std::string_view name) const;
  bool is_head() const { return method == Method::kHead; }
  /// Whose request this is, as far as that can be told.
  const std::string& client() const {
    return client_address.empty() ? peer_address : client_address;
  }
};

/// Gives `to` all of `from` that is no view into the received bytes: method, version, client, id.
/// Not the body, the connection and what is carried.
void CopyCircumstances(const Request& from, Request& to);
/// The head of `request` (no body, no connection) with storage of its own.
Request CloneHead(const Request& request);

/// Bytes in memory that several responses share.
struct MemoryPiece {
  std::shared_ptr<const std::string> data;
  uint64_t offset = 0;
  uint64_t length = 0;
};
/// A region of an open regular file.
struct FilePiece {
  SharedFd file;
  uint64_t offset = 0;
  uint64_t length = 0;
};
using Piece = std::variant<MemoryPiece, FilePiece>;

/// A body whose bytes come to be while it is sent. Bound to the connection's loop; destroyed when
/// the client leaves.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  /// The next bytes, not none at all; nullopt = the complete end. What is in memory leaves at once,
  /// the end of its chunk included (events); a file's chunk may end with the next one. An Error
  /// ends the connection abnormally (no final chunk, no clean close), so that no client takes a
  /// truncated body for a whole one.
  virtual io::Task<Result<std::optional<Piece>>> Next(Context ctx) = 0;
};

struct StreamBody {
  std::shared_ptr<BodyStream> stream;
  std::optional<uint64_t> length;  ///< unknown: chunked (1.1) or until close (1.0)
};

/// What a handler wants to see again in Handler::Finished, for logs and metrics.
struct ResponseNote {
  virtual ~ResponseNote() = default;
};

struct Response {
  int status = 200;
  std::string reason;     ///< another server's reason phrase, passed on; empty: the usual one
  bool has_date = false;  ///< a Date line is among the fields: do not add ours
  std::string fields;     ///< "Name: value\r\n" lines of this response
  std::shared_ptr<const std::string>
      shared_fields;  ///< more lines, rendered once for many responses
  std::variant<std::monostate, std::vector<Piece>, StreamBody> body;
  bool close = false;  ///< close the connection afterwards
  std::shared_ptr<ResponseNote> note;

  /// Appends one field line. Names and values with CR, LF or NUL are refused (dropped, counted as
  /// our bug).
  void Add(std::string_view name, std::string_view value);
  void SetBody(std::string text);  ///< one memory piece
};

/// How sending ended.
struct Sent {
  uint64_t body_bytes = 0;
  bool complete = false;   ///< false: the client left, timed out, or the body failed
  std::string_view error;  ///< static text; empty when complete
  double seconds = 0;      ///< from the request's last head byte to the response's last byte
  double first_byte_seconds =
      0;  ///< to the first body byte handed to the kernel (or head if no body)
};

/// Answers requests. Called on the connection's loop. Thread-safe.
class Handler {
 public:
  virtual ~Handler() = default;
  /// The fast path: a complete answer without waiting, or nullopt to be asked again by Handle().
  virtual std::optional<Response> TryNow(const Request& request) = 0;
  /// The answer, however long it takes. `request` outlives the task and the sending of the
  /// response.
  virtual io::Task<Response> Handle(Context ctx, const Request& request) = 0;
  /// After the response was sent or given up; also for requests the server itself refused (400,
  /// 408, 431, ...).
  virtual void Finished(const Request& request, const Response& response, const Sent& sent) = 0;
};

}  // namespace vr::http
