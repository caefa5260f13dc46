// Cache directives: Cache-Control of requests and responses (RFC 9111 §5.2), stale-while-revalidate
// and stale-if-error (RFC 5861), and the targeted field CDN-Cache-Control (RFC 9213). Pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vr::http {

/// The argument of a directive that counts seconds.
struct DeltaSeconds {
  bool is_present = false;
  /// Not a non-negative integer. Then nothing may be concluded but that the sender meant something.
  bool is_invalid = false;
  int64_t value = 0;  ///< seconds, at most 2^31 (RFC 9111 §1.2.2)

  bool is_valid() const { return is_present && !is_invalid; }
};

struct CacheDirectives {
  bool no_store = false;
  bool no_cache = false;    ///< without a list of fields
  bool is_private = false;  ///< without a list of fields
  bool is_public = false;
  bool must_revalidate = false;
  bool proxy_revalidate = false;
  bool must_understand = false;
  bool only_if_cached = false;
  bool has_max_stale = false;
  /// Names in lower case that no-cache="…" and private="…" list.
  std::vector<std::string> no_cache_fields, private_fields;
  /// The first occurrence counts (RFC 9111 §4.2.1).
  DeltaSeconds max_age, s_maxage, min_fresh, stale_while_revalidate, stale_if_error;
  /// Valid only with has_max_stale; not present: however stale.
  DeltaSeconds max_stale;
};

/// Reads a Cache-Control value (several lines joined by commas). Tokens and quoted strings are both
/// taken as arguments; names in any case; unknown directives are ignored; what is no directive
/// (spaces around '=') too.
CacheDirectives ParseCacheControl(std::string_view value);

/// Reads a targeted field, a structured dictionary (RFC 9213 §2.1).
/// @return nullopt when it must be ignored: empty, no dictionary, or a known directive of another
/// type than it has.
std::optional<CacheDirectives> ParseTargetedCacheControl(std::string_view value);

}  // namespace vr::http
