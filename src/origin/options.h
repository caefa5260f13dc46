// Settings of the origins and of fetching from them. Plain data: defaults and units are here, the
// binding to the config file is the config's, the checking is OriginTable's. Thread-compatible.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vr::origin {

class AllowedSources;

enum class SourceType { kFile, kHttp, kS3 };  ///< "file", "http", "s3"
enum class AuthType {
  kNone,
  kBearer,
  kBasic,
  kHeader,
  kQuery
};  ///< "none", "bearer", "basic", "header", "query"
/// What an http source's redirect means: "follow": the source is there; "pass": it is the answer.
enum class RedirectPolicy { kFollow, kPass };
/// Where a bucket's name stands in a URL: "https://host/bucket/key" or "https://bucket.host/key".
enum class S3Addressing { kPath, kVirtual };  ///< "path", "virtual"
/// How requests to a bucket are proven.
enum class S3Signing { kHeader, kPresigned, kNone };  ///< "header", "presigned", "none"
enum class OriginMode { kTransform, kPassthrough };   ///< "transform", "passthrough"

/// How to prove ourselves to an HTTP origin. Secrets: never logged, never sent to another host.
struct AuthOptions {
  AuthType type = AuthType::kNone;
  std::string token;     ///< bearer
  std::string user;      ///< basic
  std::string password;  ///< basic
  std::string name;      ///< header or query parameter name
  std::string value;     ///< header or query parameter value
};

/// A bucket of an S3 server, or a directory that stands for one (`root`; nothing else counts then).
struct BucketOptions {
  std::string root;      ///< directory
  std::string endpoint;  ///< "http(s)://host[:port][/prefix]", without the bucket's name
  std::string bucket;
  std::string region = "auto";  ///< "auto": what the endpoint's name says, see S3Region()
  std::string access_key;
  std::string secret_key;     ///< secret
  std::string session_token;  ///< secret; of temporary credentials, else empty
  S3Addressing addressing = S3Addressing::kPath;
  S3Signing signing = S3Signing::kHeader;
  std::chrono::seconds presign_expires{900};  ///< presigned: how long each URL is good
};

/// One place where an origin's sources may be.
struct SourceOptions {
  SourceType type = SourceType::kFile;
  std::string root;    ///< file: directory, absolute or relative to the working directory
  std::string url;     ///< http: "http(s)://host[:port][/prefix]", without user, query or fragment
  std::string bucket;  ///< s3: name of an entry of `buckets`
  std::optional<BucketOptions> place;  ///< s3: that entry; filled in by the loading of settings
  /// Template of the path below root, url or bucket: `${name}`, `$1`, `${name:default}`,
  /// `${request_path}`, `$$`. Empty means `${request_path}`.
  std::string path;
  int priority = 0;  ///< lower is asked first; equal ones in the order written
  RedirectPolicy redirects = RedirectPolicy::kFollow;  ///< http
  AuthOptions auth;
  std::vector<std::pair<std::string, std::string>>
      headers;  ///< http: sent with every request to the url's own host
  /// http: the same as query parameters; names and values as they are before percent-encoding
  std::vector<std::pair<std::string, std::string>> query;
  /// http: set when locations are named by clients: only what it allows is fetched, redirects
  /// included, and nothing private. Not a setting of the file's origins.
  std::shared_ptr<const AllowedSources> allowed;
};

/// Overrides of cache.kvTtl for this origin; unset = the global one, 0 = do not store.
struct TtlOverride {
  std::optional<std::chrono::seconds> ok, redirects, client_error, server_error;
};

struct OriginOptions {
  std::string name;
  std::string matcher;                      ///< RE2, searched in the decoded path ("/videos/a.mp4")
  std::vector<std::string> capture_groups;  ///< names of the matcher's groups 1..n
  std::vector<SourceOptions> sources;
  TtlOverride ttl;
  std::vector<std::string> cache_tags;
  std::optional<std::string> quality;  ///< default of the `quality` parameter for this origin
  std::optional<std::string>
      compression;  ///< default of the `compression` parameter for this origin
  OriginMode mode = OriginMode::kTransform;
  /// passthrough: responses with Set-Cookie may be stored when they say how long they are fresh
  bool store_set_cookie = false;
  std::optional<std::string> cache_control;  ///< Cache-Control of good answers, verbatim
  uint64_t kv_max_bytes = 0;  ///< of the durable store, for its variants; 0 = no quota of its own
};

/// What a symbolic link inside a file root may do.
enum class SymlinkPolicy {
  /// "within_root": relative links that stay below the root are followed, absolute ones never
  kWithinRoot,
  kNever,   ///< "never": a path with any symbolic link is not found
  kAlways,  ///< "always": links may lead anywhere the server may read
};

/// How sources are fetched, for all origins.
struct FetchOptions {
  std::chrono::milliseconds connect_timeout{5'000};      ///< DNS, TCP and TLS
  std::chrono::milliseconds first_byte_timeout{15'000};  ///< request sent to response head complete
  /// Between two pieces of body; pauses of ours do not count.
  std::chrono::milliseconds idle_timeout{30'000};
  /// One ranged request with its redirects. A source that comes whole is bounded by idle_timeout.
  std::chrono::milliseconds total_timeout{600'000};
  int max_redirects = 5;
  /// Further tries of a source that was out of reach or said that it is busy, and of a part of one.
  int retries = 2;
  std::chrono::milliseconds retry_backoff{100};  ///< before the first; doubles, ±50 %
  /// A source is passed over after so many failures in a row; 0: never. See breaker.h.
  int breaker_failures = 10;
  std::chrono::milliseconds breaker_cooldown{10'000};
  uint64_t max_source_bytes = 6ull << 30;
  /// Redirects to another host may reach loopback, private and link-local addresses. A configured
  /// host always may.
  bool allow_private_addresses = false;
  SymlinkPolicy follow_symlinks = SymlinkPolicy::kWithinRoot;
  std::filesystem::path spool_dir = "./var/spool";
  uint64_t spool_max_bytes = 2ull << 30;  ///< all spools together, in use and kept
  std::chrono::seconds spool_keep{300};   ///< how long an unused spool is kept for the next user
  uint32_t block_bytes = 512 << 10;       ///< smallest range asked for
  uint32_t read_ahead_bytes = 8 << 20;    ///< largest range asked for ahead of a sequential reader
};

}  // namespace vr::origin
