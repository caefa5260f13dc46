// From a complete representation and a GET or HEAD request to the response: conditions (RFC 9110
// §13) and ranges (§14) are applied here and nowhere else. Pure function; the last step of the hit
// path.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "http/message.h"

namespace vr::http {

/// A body in an open regular file.
struct FileBody {
  SharedFd file;
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// A body of known size whose bytes are still coming to be.
struct GrowingBody {
  uint64_t size = 0;
  /// The bytes [first, first + length), as they come. May give null when the request is a HEAD.
  std::function<std::shared_ptr<BodyStream>(uint64_t first, uint64_t length)> open;
};

/// Everything known about what would be sent to a plain GET. Views are borrowed for the call.
struct Representation {
  int status = 200;  ///< conditions and ranges apply to 200 only
  std::variant<std::shared_ptr<const std::string>, FileBody, GrowingBody> body;
  std::string_view content_type;  ///< not in the fields below: a multipart answer replaces it
  std::string_view etag;          ///< with quotes; empty = none
  std::optional<WallTime> last_modified;
  std::optional<WallTime> date = std::nullopt;  ///< see Validators::date
  /// Lines of 200, 206 and 304, rendered once per entity: ETag, Last-Modified and Accept-Ranges
  /// (AppendValidatorFields), Cache-Control, Vary, our X- fields. May be null.
  std::shared_ptr<const std::string> shared_fields;
  /// 412 and 416 carry `shared_fields` too: nothing in them describes the coding of a body, and
  /// X-Content-Type-Options is among them.
  bool refuses_with_shared_fields = false;
  /// Value of Cache-Control for 200, 206 and 304; 412 and 416 are always no-store. Empty = none.
  std::string cache_control;
  /// Lines of every answer, also 412 and 416: Age, X-Cache-Status, Cache-Status, X-Request-ID.
  std::string fields;
};

/// 200, 206 (single or multipart/byteranges), 304, 412 or 416. HEAD gets what GET without Range
/// would get (§14.2: no method but GET has ranges); the writer leaves the body out.
/// `Content-Range`, `Content-Type` are added here, `Content-Length` by the writer. Several ranges
/// of a growing body are answered with the whole of it.
Response RespondWith(Representation representation, const Request& request);

/// "ETag", "Last-Modified" (each when present) and "Accept-Ranges: bytes" lines.
void AppendValidatorFields(std::string& fields, std::string_view etag,
                           std::optional<WallTime> last_modified);

/// `{"error":{"code":...,"message":...,"details":{...}}}`; `details` only when there are facts.
std::string ErrorBody(std::string_view code, std::string_view message,
                      std::span<const std::pair<std::string, std::string>> facts = {});

/// An answer with that body. Carries Content-Type and nosniff; Cache-Control is the caller's.
Response ErrorResponse(int status, std::string_view code, std::string_view message,
                       std::span<const std::pair<std::string, std::string>> facts = {});

}  // namespace vr::http
