// One member of the Cache-Status field (RFC 9211). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vr::http {

/// What one layer did with a request. @invariant at most one of `hit` and `fwd` is set (§2.1)
struct CacheStatus {
  std::string_view cache;  ///< the layer's name
  bool hit = false;
  std::string_view fwd;  ///< why it went on: "miss", "stale", "bypass", "request", "partial", ...
  std::optional<int> fwd_status;  ///< status the next hop gave
  std::optional<int64_t> ttl;     ///< seconds of freshness left, may be negative
  bool stored = false;
  bool collapsed = false;  ///< joined another request's production
  std::string_view key;
  std::string_view detail;  ///< token when it is one, else a string
};

/// Appends the member; ", " between members is the caller's.
void AppendCacheStatus(std::string& out, const CacheStatus& status);

/// Appends an sf-string (RFC 8941 §3.3.3): quotes and backslashes escaped. What no sf-string can
/// hold (controls, non-ASCII) is percent-encoded.
void AppendStructuredString(std::string& out, std::string_view text);
/// Appends a token if `text` is an sf-token, else an sf-string.
void AppendTokenOrString(std::string& out, std::string_view text);

}  // namespace vr::http
