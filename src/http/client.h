// Client: HTTP/1.1 requests to other servers, by libcurl on one thread of its own.
//
// Bodies go to a BodySink on that thread as they arrive; a sink that lags says so and the transfer
// pauses (TCP then slows the sender). Bytes are passed on as sent: no content coding is asked for
// or undone. A body that ends before its declared end is an error, never a short success. Redirects
// are followed by us, hop by hop, so that credentials stay with the host they were meant for and no
// hop reaches an address inside our own network. No proxy, no cookies, no netrc.
//
// Thread-safe. Transfers and their sinks may outlive the Client: they end with kCancelled when it
// goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/result.h"
#include "http/fields.h"
#include "http/message.h"
#include "http/range.h"
#include "io/task.h"

namespace vr::http {

/// A response's Content-Range (RFC 9110 §14.4).
struct ReceivedRange {
  std::optional<ByteRange> range;  ///< nullopt: "bytes */N"
  std::optional<uint64_t> total;   ///< nullopt: "bytes a-b/*"
};
/// @return nullopt for everything that is not one well-formed byte range.
std::optional<ReceivedRange> ParseContentRange(std::string_view value);

/// Status and fields of a final response, after redirects.
struct ResponseHead {
  int status = 0;
  std::string reason;  ///< phrase behind the status, perhaps empty
  FieldList fields;
  /// Declared length of the body as sent; nullopt when chunked or ended by close.
  std::optional<uint64_t> content_length;
  int redirects = 0;  ///< hops that led here

  /// First field of that name (ASCII case-insensitive).
  std::optional<std::string_view> Get(std::string_view name) const;
  std::optional<ReceivedRange> content_range() const;
  /// The body is not what the source's bytes are: a Content-Encoding other than identity.
  bool is_coded() const;
  /// Last-Modified in Unix milliseconds; 0 when absent or malformed.
  int64_t last_modified_ms() const;

  // What the status says, for rooms that do not know the numbers.
  bool is_success() const { return status >= 200 && status < 300; }
  bool is_whole() const { return status == 200; }
  bool is_partial() const { return status == 206; }
  bool is_not_modified() const { return status == 304; }
  /// Elsewhere, and says where.
  bool is_redirect() const {
    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           Get("Location").has_value();
  }
  bool is_gone() const { return status == 404 || status == 410; }
  bool is_precondition_failed() const { return status == 412; }
  bool is_range_not_satisfiable() const { return status == 416; }
  /// Its server is not up to it: 5xx but for those that tell of the request (501, 505, 508).
  bool is_server_failure() const {
    return status >= 500 && status != 501 && status != 505 && status != 508;
  }
  /// Busy or away for the moment, and nothing was done: 429, 502, 503, 504.
  bool is_busy() const { return status == 429 || status == 502 || status == 503 || status == 504; }
  /// Retry-After from `now` on; nullopt when absent or malformed.
  std::optional<std::chrono::seconds> retry_after(WallTime now) const;
  /// A later try of the same request may succeed: 408, 425, 429 and 5xx.
  bool is_transient() const {
    return status == 408 || status == 425 || status == 429 || status >= 500;
  }
};

/// Takes one response. All calls come from the client's thread, in the order OnHead, OnData*,
/// OnDone, and must not wait for anything but local files. Released after OnDone.
class BodySink {
 public:
  enum class Flow { kMore, kPause };
  virtual ~BodySink() = default;
  /// A connection is there and the request goes out now; before that, the server has seen nothing.
  virtual void OnConnected() {}
  /// An interim answer (1xx) that came in front of the final one. Most have no use for it.
  virtual void OnInterim(const ResponseHead& head) { (void)head; }
  /// An Error ends the transfer with that error; no body is read.
  virtual Result<void> OnHead(const ResponseHead& head) = 0;
  /// The next bytes, taken whole. kPause: no more until Transfer::Resume(). An Error ends the
  /// transfer with it.
  virtual Result<Flow> OnData(std::string_view bytes) = 0;
  /// Exactly once, last. Ok: the body is complete.
  /// @errors kUnavailable (connect, DNS, TLS, reset, truncated, nonsense), kDeadlineExceeded (any
  /// timeout), kCancelled,
  ///         kPermissionDenied (redirect to a forbidden place), kResourceExhausted (limits), or the
  ///         sink's own
  virtual void OnDone(Result<void> result) = 0;
};

/// A request that is passed on for somebody else (RFC 9110 §7.6), not one of our own: nothing is
/// added to its fields but what framing needs, its target goes out byte for byte, and it is never
/// sent twice: not even when a kept connection turns out to be dead, since who closed it may have
/// read the request.
struct Forwarded {
  std::string method;                       ///< a token
  std::string target;                       ///< origin-form, or "*"
  std::shared_ptr<const std::string> body;  ///< null: none, and no Content-Length
  bool is_fresh = false;                    ///< on a connection of its own, not on a kept one
};

/// Proves requests, each anew at the moment it goes out: for signatures that hold the time.
/// Immutable, thread-safe.
class RequestSigner {
 public:
  struct Proof {
    std::string query;  ///< percent-encoded, put behind the url's path; empty: none
    FieldList fields;
  };
  virtual ~RequestSigner() = default;
  virtual Proof Sign(Method method) const = 0;
};

struct ClientRequest {
  std::string url;               ///< http or https, percent-encoded, no user part
  Method method = Method::kGet;  ///< kGet or kHead
  FieldList fields;              ///< sent on every hop: Range, conditions
  /// Via of the request that this one is made for; ours is appended. Ignored when it is no field
  /// value.
  std::string via;
  FieldList
      credentials;  ///< sent to the url's own host only (scheme, host and port; http→https allowed)
  std::optional<ByteRange> range;  ///< becomes a Range field
  /// For exactly `url`; nothing of it goes along with a redirect. Not for forwarded requests.
  std::shared_ptr<const RequestSigner> signer;

  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds first_byte_timeout{15'000};  ///< request sent to head complete, per hop
  std::chrono::milliseconds idle_timeout{30'000};  ///< between pieces of body, pauses excepted
  std::chrono::milliseconds total_timeout{
      600'000};           ///< from Start to OnDone, queueing included, pauses excepted
  int max_redirects = 5;  ///< 0: a redirect is the answer
  /// Redirects away from the url's host (or port) may reach loopback, private, link-local,
  /// multicast addresses.
  bool allow_private_redirects = false;
  /// The url itself comes from somebody we do not trust: no hop, the first neither, may reach such
  /// an address, whatever `allow_private_redirects` says.
  bool refuse_private_addresses = false;
  /// Asked for the URL of each redirect; false: it is not followed (kPermissionDenied). Empty: all
  /// may be. Called on the client's thread.
  std::function<bool(const std::string& url)> may_follow;
  uint64_t max_body_bytes = UINT64_MAX;
  /// Set: `method` and `range` have no say. `fields` are sent as they are, repetitions included.
  std::optional<Forwarded> forwarded;
};

/// One request on its way. Thread-safe; none of the calls blocks.
class Transfer {
 public:
  virtual ~Transfer() = default;
  /// Once. OnDone will be called, even when the client is gone.
  virtual void Start() = 0;
  /// Ends it with kCancelled as soon as the client's thread sees it; nothing after the end.
  virtual void Cancel() = 0;
  /// Goes on after a pause; nothing when it is not paused.
  virtual void Resume() = 0;
};

struct ClientOptions {
  int max_connections = 64;           ///< transfers running at once; others wait in order
  int max_connections_per_host = 16;  ///< the same per scheme, host and port
  size_t max_head_bytes = 64 << 10;
  std::string user_agent = "video-resizer";
  std::string via = "1.1 video-resizer";
};

struct WholeResponse {
  ResponseHead head;
  std::string body;
};

class Client {
 public:
  /// @errors kUnavailable when libcurl or the thread cannot be started
  static Result<std::unique_ptr<Client>> Create(ClientOptions options);
  /// Cancels what runs and joins the thread.
  ~Client();

  /// Makes a transfer; nothing happens before its Start().
  std::shared_ptr<Transfer> Prepare(ClientRequest request, std::shared_ptr<BodySink> sink);

  /// The whole answer in memory, whatever its status. Resumes on the caller's loop.
  /// @errors as BodySink::OnDone; kResourceExhausted when the body is longer than
  /// request.max_body_bytes
  ///         (set it: the default is no limit); kDeadlineExceeded at ctx.deadline
  io::Task<Result<WholeResponse>> Fetch(Context ctx, ClientRequest request);
  /// Writes the body to `file` from `offset` on. On any error the file holds an undefined prefix of
  /// it.
  /// @errors as Fetch, and kResourceExhausted/kUnavailable from writing
  io::Task<Result<ResponseHead>> FetchToFile(Context ctx, ClientRequest request, SharedFd file,
                                             uint64_t offset);

  class Core;  ///< hidden: libcurl's side

 private:
  explicit Client(std::shared_ptr<Core> core);
  const std::shared_ptr<Core> core_;
};

/// Detail of the kPermissionDenied of a first hop, see ClientRequest::refuse_private_addresses.
inline constexpr std::string_view kPrivateAddress = "a private address";

/// Whether an error of a transfer says that no answer came because the server could not be reached:
/// name, connection, TLS, or a reset before the head.
bool IsUnreachable(const Error& error);

/// Whether it says that a kept connection ended under a forwarded request, before an answer: the
/// server may have closed it without having read the request, or not.
bool IsKeptConnectionLost(const Error& error);

/// Loopback, private, link-local, shared, multicast, reserved or translated to one of those.
/// `address` is a sockaddr of AF_INET or AF_INET6; every other family counts as private.
bool IsPrivateAddress(const void* address);

}  // namespace vr::http
