// The rules of a shared cache (RFC 9111): what may be stored, for how long it is fresh, how old it
// is, when it may be used. Pure functions; the passthrough cache acts by them.
//
// Transformed variants do not come here: their lifetimes are our own (cache/ttl.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "http/cache_control.h"
#include "http/fields.h"
#include "http/message.h"

namespace vr::http {

/// When a response was asked for and when its head came; Unix ms of our own clock.
struct ExchangeTimes {
  int64_t request_ms = 0;
  int64_t response_ms = 0;
};

/// The part of a request that decides whether its response may be stored.
struct StoreRequest {
  Method method = Method::kGet;
  bool has_authorization = false;
  bool no_store = false;  ///< Cache-Control: no-store
};

/// What we decide beyond the RFC.
struct SharedCacheRules {
  /// Responses with Set-Cookie may be stored. RFC 9111 §7.3 lets a cache do so; a shared one that
  /// does hands one user's cookie to the next whenever an origin forgets `private`.
  bool store_set_cookie = false;
  /// Upper bound of a heuristic lifetime (a tenth of the time since Last-Modified).
  int64_t max_heuristic_ms = 24 * 3600 * int64_t{1000};
};

/// What a response says to a shared cache.
struct CachePolicy {
  bool may_store = false;                 ///< RFC 9111 §3
  std::string_view why_not;               ///< static text, when it may not be stored
  int64_t lifetime_ms = 0;                ///< §4.2.1
  bool is_explicit = false;               ///< the lifetime is the response's own, not heuristic
  int64_t initial_age_ms = 0;             ///< corrected_initial_age, §4.2.3
  int64_t response_ms = 0;                ///< when that was
  int64_t date_ms = 0;                    ///< Date, or when it came
  bool must_validate = false;             ///< no-cache: never used without asking
  bool may_be_stale = true;               ///< §4.2.4: no directive forbids it
  int64_t stale_while_revalidate_ms = 0;  ///< RFC 5861 §3
  int64_t stale_if_error_ms = 0;          ///< RFC 5861 §4
  /// Fields (lower case) that may not be stored though the response may: no-cache="…", private="…".
  std::vector<std::string> unstored_fields;

  int64_t AgeMs(int64_t now_ms) const {
    return initial_age_ms + (now_ms > response_ms ? now_ms - response_ms : 0);
  }
  int64_t FreshForMs(int64_t now_ms) const { return lifetime_ms - AgeMs(now_ms); }
};

CachePolicy PolicyOf(const StoreRequest& request, int status, const FieldList& fields,
                     const ExchangeTimes& times, const SharedCacheRules& rules);

/// Validators of a response; empty or nullopt when it has none. `fields` outlive the result.
struct StoredValidators {
  std::string_view etag;  ///< a well-formed entity-tag
  /// What ETag says, well-formed or not: good enough to ask its sender about, and for nothing else.
  std::string_view raw_etag;
  std::string_view last_modified_text;
  std::optional<WallTime> last_modified;
  bool any() const { return !raw_etag.empty() || last_modified.has_value(); }
};
StoredValidators ValidatorsOf(const FieldList& fields);

/// How a stored response may answer a request with these directives (§4, §5.2.1).
enum class Reuse {
  kFresh,
  kStale,            ///< past its lifetime, and the client's max-stale allows it
  kStaleRevalidate,  ///< within stale-while-revalidate: use, and validate behind
  kValidate,         ///< ask the origin first
};
Reuse JudgeReuse(const CachePolicy& policy, const CacheDirectives& request, int64_t now_ms);

/// Whether a stale response may be used because the origin failed.
/// @param is_disconnected no answer at all (§4.2.4), as opposed to an answer 500, 502, 503 or 504,
/// which needs stale-if-error from either side
/// @param disconnected_ms how stale at most when disconnected
bool MayUseOnError(const CachePolicy& policy, const CacheDirectives& request, bool is_disconnected,
                   int64_t disconnected_ms, int64_t now_ms);
/// 500, 502, 503, 504 (RFC 5861 §4).
bool IsServerFailure(int status);

/// The fields of a stored response after a 304 (§3.2, §4.3.4), or after a HEAD, has updated it.
FieldList UpdatedFields(const FieldList& stored, const FieldList& update);

/// Whether the method is safe (RFC 9110 §9.2.1); what we do not know is not.
bool IsSafeMethod(std::string_view method);

}  // namespace vr::http
