// Entity: metadata and body that can be served, whichever layer it came from. Immutable once
// published.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/hash.h"
#include "base/result.h"
#include "http/codes.h"

namespace vr::cache {

/// What is stored beside a body. The JSON form (docs/formats/metadata.md) has exactly the field
/// names of the cache contract; everything of our own lives in its `customData`.
struct Metadata {
  std::string source_path;
  std::optional<uint32_t> width, height;  ///< requested, pixels
  std::string format, quality, compression, derivative;
  std::vector<std::string> cache_tags;
  std::string content_type;
  uint64_t content_length = 0;  ///< measured, bytes
  int64_t created_at_ms = 0;
  int64_t expires_at_ms = 0;            ///< 0 = never
  std::optional<double> duration, fps;  ///< of the result; seconds, frames per second

  // customData
  int status = http::kOk;
  std::string etag;  ///< strong, with quotes
  std::string origin, source_type;
  std::string source_etag, source_validator;
  int64_t source_last_modified_ms = 0;
  Hash128 plan_digest;
  Hash128 body_hash;
  double encode_seconds = 0;  ///< CPU seconds it took to make
  std::string derived_from;   ///< key of the variant that it was made of; empty: of its source
  uint64_t source_bytes = 0;  ///< of its source, read to make it; 0 = not known
  std::string route;          ///< how it was made: "remux", "transcode: size"; empty = not known
  double rate_factor = 0;     ///< the encoder's, solved for this source; 0 = none was
  std::optional<uint32_t> resolved_width, resolved_height;
  std::vector<std::string> warnings;

  std::string ToJson() const;
  /// @errors kCorruption (not JSON, missing field), kUnsupported (a cache version we do not know)
  static Result<Metadata> FromJson(std::string_view json);
};

/// Version of the metadata's JSON form; an unknown one is a miss.
inline constexpr int kMetadataVersion = 1;

struct Entity {
  std::string key;
  Metadata meta;
  /// Exactly one of both is set; `file` is read by position only and holds nothing but the body.
  std::shared_ptr<const std::string> memory;
  SharedFd file;
  /// Field lines that every answer made of this entity carries.
  std::shared_ptr<const std::string> head;
  /// Of a remembered redirect: where it leads; Location is not among the lines of `head`.
  std::string location;
  std::string reason;  ///< API error code of a remembered failure
  /// Whether the durable store holds it (or is about to): decides the X-KV-Cache-* fields.
  bool kv_backed = false;
  uint64_t use_id = 0;  ///< as what the store's keeper knows it, with kv_backed
  /// What the store said its version was before this was read from it (KvStore::Version); 0 = none.
  uint64_t kv_version = 0;
  /// Stale, but the origin has just failed: served without asking it again until then; ms, 0 = no.
  int64_t stale_ok_until_ms = 0;
  /// When the source was last compared with this entity, ms; 0 = when it was made.
  mutable std::atomic<int64_t> checked_at_ms{0};

  uint64_t size() const { return meta.content_length; }
  bool is_fresh(int64_t now_ms) const {
    return meta.expires_at_ms == 0 || now_ms < meta.expires_at_ms;
  }
};
using EntityRef = std::shared_ptr<const Entity>;

/// The same body and metadata as an entity of its own, to be changed before it is published.
std::shared_ptr<Entity> CopyOf(const Entity& entity);

}  // namespace vr::cache
