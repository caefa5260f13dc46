// Source: one opened version of a source video, readable at random by descriptor.
//
// A local file is its own descriptor. A remote one is a sparse spool file: `Ensure` fetches what is
// not there yet (coalesced, read ahead), then the bytes are at the same offset of the spool. The
// worker gets the descriptor and asks through the server for what it lacks; libav never opens a
// URL. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/fd.h"
#include "base/result.h"
#include "io/task.h"

namespace vr::origin {

struct SourceInfo {
  std::optional<uint64_t> size;  ///< bytes; unknown for chunked answers until the end was seen
  std::string content_type;      ///< as the origin says, may be empty
  std::string etag;              ///< as the origin says, may be empty
  int64_t last_modified_ms = 0;  ///< 0 = unknown
  /// Identifies this version: strong ETag, or size+mtime(+inode). Empty: versions cannot be told
  /// apart.
  std::string validator;
  std::string type;  ///< "file", "http", "s3"
  std::string origin_name;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual const SourceInfo& info() const = 0;
  /// Read-only descriptor; only bytes that are local or were Ensure()d may be read.
  virtual const SharedFd& file() const = 0;
  /// Everything is there already (a local file).
  virtual bool is_complete() const = 0;
  /// Makes [offset, offset+length) readable, clipped at the end of the source.
  /// @return how many bytes are readable from `offset` on (may exceed `length`); 0 = at or past the
  /// end.
  /// @errors kUnavailable (origin), kDeadlineExceeded, kResourceExhausted (size limit:
  /// SOURCE_TOO_LARGE),
  ///         kCorruption (the source changed meanwhile)
  virtual io::Task<Result<uint64_t>> Ensure(Context ctx, uint64_t offset, uint64_t length) = 0;
};
using SourceRef = std::shared_ptr<Source>;

/// Where a path leads: which origin, which sources in which order. Made by OriginTable, no I/O.
struct Location {
  std::string type;         ///< "file", "http", "s3"
  std::string base;         ///< root directory, base URL, or endpoint and bucket
  std::string path;         ///< resolved, decoded, relative to base
  std::string query;        ///< of a URL that a client named: sent as it is; empty: none
  size_t source_index = 0;  ///< within the origin's `sources`
};
struct Resolved {
  size_t origin_index = 0;
  std::string origin_name;
  std::vector<Location> locations;  ///< by priority
  /// Everything that decides which bytes this path means (types, bases, paths), for the plan
  /// digest.
  std::string identity;
  /// Of the Via of the request that the source is opened for, what goes along, so that a loop over
  /// several servers is seen by one of them.
  std::string via;
};

/// Reason of an Error (code kNotFound) that says: the source is elsewhere. Facts: "status",
/// "location" (an absolute URL; absent when it must not be told), and, when that is another path at
/// the server that was asked, "asked" and "path": both paths, percent-encoded.
inline constexpr std::string_view kRedirectReason = "REDIRECT";

/// Reason of an Error (code kPermissionDenied): the source a client named is at a place, or leads
/// to one, that it may not name.
inline constexpr std::string_view kNotAllowedReason = "SOURCE_NOT_ALLOWED";

/// Opens sources. Thread-safe.
class Opener {
 public:
  virtual ~Opener() = default;
  /// Tries the locations in order. Sources of the same version that are open already are shared.
  /// @errors kNotFound (every location said so: NOT_FOUND; or kRedirectReason), kUnavailable
  /// (ALL_SOURCES_FAILED, facts list every
  ///         attempt), kDeadlineExceeded (ORIGIN_TIMEOUT), kResourceExhausted (SOURCE_TOO_LARGE)
  virtual io::Task<Result<SourceRef>> Open(Context ctx, Resolved resolved) = 0;
};

}  // namespace vr::origin
