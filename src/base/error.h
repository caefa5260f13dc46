// What went wrong, in three voices: a code for the caller, a sentence for the client, details for
// the log.
//
// `Error` is a value. It crosses rooms unchanged; whoever passes it up adds a prefix with `In()`.
// Thread-compatible.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vr {

/// What the caller can do about it. The numbers are not persistent.
enum class Code {
  kInvalidArgument,    ///< the request is wrong; repeating it is useless
  kNotFound,           ///< it is not there
  kPermissionDenied,   ///< it is there, but not for you
  kUnavailable,        ///< a peer or device failed; trying again later may help
  kDeadlineExceeded,   ///< not in time
  kCancelled,          ///< nobody wants it any more
  kResourceExhausted,  ///< a limit or a full queue said no
  kCorruption,         ///< bytes are not what they should be
  kUnsupported,        ///< understood, but not something we do
  kInternal,           ///< our own mistake
};

std::string_view ToString(Code code);

/// @invariant public_message holds nothing a client must not see (no paths, hosts, secrets).
struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  /// One of the API error codes of docs/http.md ("SOURCE_CORRUPT"); empty = derived from `code`.
  std::string reason;
  std::string public_message;
  /// For the log only.
  std::string detail;
  /// Public facts for the error body's `details`, in order.
  std::vector<std::pair<std::string, std::string>> facts;

  Error() = default;
  Error(Code c, std::string message, std::string log_detail = {})
      : code(c), public_message(std::move(message)), detail(std::move(log_detail)) {}

  /// Grows the log detail by where it happened: "opening source: connect: refused".
  Error&& In(std::string_view where) &&;
  Error&& WithReason(std::string_view api_code) &&;
  Error&& WithFact(std::string name, std::string value) &&;
  /// Code, message and detail in one line, for logs.
  std::string ToLogString() const;
};

/// An Error from errno: ENOENT → kNotFound, EACCES → kPermissionDenied, ENOSPC/EDQUOT/EMFILE →
/// kResourceExhausted, else kUnavailable.
Error ErrnoError(int errno_value, std::string_view what);

}  // namespace vr
