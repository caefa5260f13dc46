#include "http/caching.h"

#include <algorithm>

#include "http/ascii.h"
#include "http/conditions.h"
#include "http/date.h"
#include "http/forwarding.h"

namespace vr::http {

namespace {

/// Cacheable by default (RFC 9110 §15.1). 206 is judged with its range.
bool IsHeuristicallyCacheable(int status) {
  constexpr int kStatuses[] = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501};
  return std::find(std::begin(kStatuses), std::end(kStatuses), status) != std::end(kStatuses);
}

/// The final status codes whose meaning we know (RFC 9110 §15; 428, 429, 431, 511: RFC 6585;
/// 451: RFC 7725).
bool IsUnderstood(int status) {
  constexpr int kMore[] = {421, 422, 426, 428, 429, 431, 451, 511};
  return (status >= 200 && status <= 206) || (status >= 300 && status <= 305) || status == 307 ||
         status == 308 || (status >= 400 && status <= 417) || (status >= 500 && status <= 505) ||
         std::find(std::begin(kMore), std::end(kMore), status) != std::end(kMore);
}

int64_t SecondsToMs(int64_t seconds) {
  return seconds * 1000;
}

int64_t FloorToSecond(int64_t ms) {
  return ms - ms % 1000;
}

/// Age (RFC 9111 §5.1): the first member of a list; what is no non-negative integer is ignored.
int64_t AgeFieldMs(const FieldList& fields) {
  std::string_view value = FirstValue(fields, "Age").value_or("");
  const std::string_view first = NextElement(value);
  if (first.empty() || !std::all_of(first.begin(), first.end(), IsDigit)) return 0;
  int64_t seconds = 0;
  for (char c : first) seconds = std::min(int64_t{1} << 31, seconds * 10 + (c - '0'));
  return SecondsToMs(seconds);
}

std::optional<int64_t> DateFieldMs(const FieldList& fields, std::string_view name, int64_t now_ms) {
  const auto value = FirstValue(fields, name);
  if (!value) return std::nullopt;
  const auto date = ParseDate(*value, FromUnixMillis(now_ms));
  if (!date) return std::nullopt;
  return ToUnixMillis(*date);
}

/// §4.2.1 in its order: s-maxage, max-age, Expires. nullopt: nothing explicit was said. What is
/// said and makes no sense is stale.
std::optional<int64_t> ExplicitLifetimeMs(const CacheDirectives& cc, bool is_targeted,
                                          const FieldList& fields, const CachePolicy& policy) {
  for (const DeltaSeconds* delta : {&cc.s_maxage, &cc.max_age}) {
    if (delta->is_present) return delta->is_invalid ? 0 : SecondsToMs(delta->value);
  }
  // A targeted field stands for Cache-Control and Expires both (RFC 9213 §2.1).
  if (is_targeted || !HasField(fields, "Expires")) return std::nullopt;
  const auto expires = DateFieldMs(fields, "Expires", policy.response_ms);
  return expires ? std::max<int64_t>(0, *expires - policy.date_ms) : 0;
}

/// RFC 9111 §3, in its order; empty when the response may be stored.
std::string_view WhyNotStored(const StoreRequest& request, int status, const CacheDirectives& cc,
                              const FieldList& fields, bool has_explicit, bool has_use,
                              const SharedCacheRules& rules) {
  if (request.method != Method::kGet && !(request.method == Method::kPost && has_explicit)) {
    return "method";
  }
  // What answers one request's conditions, range or expectation says nothing of the resource.
  if (status < 200 || status == 304 || status == 412 || status == 416 || status == 417) {
    return "status";
  }
  if (cc.must_understand && !IsUnderstood(status)) return "must-understand";
  if (request.no_store) return "request-no-store";
  // A cache that obeys must-understand ignores no-store beside it (§5.2.2.3).
  if (cc.no_store && !cc.must_understand) return "no-store";
  if (cc.is_private) return "private";
  if (request.has_authorization && !cc.must_revalidate && !cc.is_public &&
      !cc.s_maxage.is_valid()) {
    return "authorization";
  }
  if (!has_explicit && !cc.is_public && !IsHeuristicallyCacheable(status)) return "no-lifetime";
  if (!VaryNames(fields)) return "vary";
  if (!rules.store_set_cookie && HasField(fields, "Set-Cookie")) return "set-cookie";
  return has_use ? std::string_view() : "no-lifetime";
}

}  // namespace

CachePolicy PolicyOf(const StoreRequest& request, int status, const FieldList& fields,
                     const ExchangeTimes& times, const SharedCacheRules& rules) {
  const std::optional<CacheDirectives> targeted =
      ParseTargetedCacheControl(JoinedValues(fields, "CDN-Cache-Control"));
  CacheDirectives cc =
      targeted ? *targeted : ParseCacheControl(JoinedValues(fields, "Cache-Control"));

  CachePolicy policy;
  policy.response_ms = times.response_ms;
  const auto date = DateFieldMs(fields, "Date", times.response_ms);
  policy.date_ms = date.value_or(FloorToSecond(times.response_ms));
  // §4.2.3. Date counts whole seconds: so does the apparent age, or every response would be up to a
  // second old.
  const int64_t apparent_age =
      std::max<int64_t>(0, FloorToSecond(times.response_ms) - policy.date_ms);
  const int64_t delay = std::max<int64_t>(0, times.response_ms - times.request_ms);
  policy.initial_age_ms = std::max(apparent_age, AgeFieldMs(fields) + delay);

  const auto lifetime = ExplicitLifetimeMs(cc, targeted.has_value(), fields, policy);
  policy.is_explicit = lifetime.has_value();
  if (lifetime) {
    policy.lifetime_ms = *lifetime;
  } else if (IsHeuristicallyCacheable(status) || cc.is_public) {
    const auto modified = DateFieldMs(fields, "Last-Modified", times.response_ms);
    if (modified && *modified < policy.date_ms) {
      policy.lifetime_ms = std::min(rules.max_heuristic_ms, (policy.date_ms - *modified) / 10);
    }
  }
  policy.must_validate = cc.no_cache;
  policy.may_be_stale =
      !cc.must_revalidate && !cc.proxy_revalidate && !cc.no_cache && !cc.s_maxage.is_present;
  if (cc.stale_while_revalidate.is_valid()) {
    policy.stale_while_revalidate_ms = SecondsToMs(cc.stale_while_revalidate.value);
  }
  if (cc.stale_if_error.is_valid()) {
    policy.stale_if_error_ms = SecondsToMs(cc.stale_if_error.value);
  }
  policy.unstored_fields = std::move(cc.no_cache_fields);
  policy.unstored_fields.insert(policy.unstored_fields.end(), cc.private_fields.begin(),
                                cc.private_fields.end());

  const bool has_use = policy.lifetime_ms > 0 || ValidatorsOf(fields).any() ||
                       policy.stale_while_revalidate_ms > 0 || policy.stale_if_error_ms > 0;
  policy.why_not = WhyNotStored(request, status, cc, fields, policy.is_explicit, has_use, rules);
  policy.may_store = policy.why_not.empty();
  return policy;
}

StoredValidators ValidatorsOf(const FieldList& fields) {
  StoredValidators out;
  out.raw_etag = FirstValue(fields, "ETag").value_or("");
  if (IsEntityTag(out.raw_etag)) out.etag = out.raw_etag;
  out.last_modified_text = FirstValue(fields, "Last-Modified").value_or("");
  if (!out.last_modified_text.empty()) out.last_modified = ParseDate(out.last_modified_text);
  if (!out.last_modified) out.last_modified_text = {};
  return out;
}

Reuse JudgeReuse(const CachePolicy& policy, const CacheDirectives& request, int64_t now_ms) {
  if (policy.must_validate || request.no_cache) return Reuse::kValidate;
  const int64_t age_ms = policy.AgeMs(now_ms);
  // max-age=0 is how a client asks for validation, also of what came this very second.
  if (request.max_age.is_valid() &&
      (age_ms > SecondsToMs(request.max_age.value) || request.max_age.value == 0)) {
    return Reuse::kValidate;
  }
  const int64_t left_ms = policy.lifetime_ms - age_ms;
  const int64_t wanted_ms = request.min_fresh.is_valid() ? SecondsToMs(request.min_fresh.value) : 0;
  if (left_ms > wanted_ms) return Reuse::kFresh;
  if (wanted_ms > 0) return Reuse::kValidate;
  if (policy.may_be_stale && request.has_max_stale && !request.max_stale.is_invalid &&
      (!request.max_stale.is_present || -left_ms <= SecondsToMs(request.max_stale.value))) {
    return Reuse::kStale;
  }
  if (policy.may_be_stale && -left_ms < policy.stale_while_revalidate_ms) {
    return Reuse::kStaleRevalidate;
  }
  return Reuse::kValidate;
}

bool MayUseOnError(const CachePolicy& policy, const CacheDirectives& request, bool is_disconnected,
                   int64_t disconnected_ms, int64_t now_ms) {
  if (!policy.may_be_stale || request.no_cache) return false;
  int64_t allowed_ms = policy.stale_if_error_ms;
  if (request.stale_if_error.is_valid()) {
    allowed_ms = std::max(allowed_ms, SecondsToMs(request.stale_if_error.value));
  }
  if (is_disconnected) allowed_ms = std::max(allowed_ms, disconnected_ms);
  return -policy.FreshForMs(now_ms) < allowed_ms;
}

bool IsServerFailure(int status) {
  return status == 500 || status == 502 || status == 503 || status == 504;
}

FieldList UpdatedFields(const FieldList& stored, const FieldList& update) {
  // What describes the bytes that were stored stays as it is (RFC 9111 §3.2). The validator is the
  // one that was asked about.
  constexpr std::string_view kKept[] = {"content-length",   "content-encoding", "content-range",
                                        "content-md5",      "content-digest",   "etag",
                                        "transfer-encoding"};
  FieldList out;
  FieldList fresh;
  for (const auto& field : update) {
    const std::string name = LowerCase(field.first);
    if (std::find(std::begin(kKept), std::end(kKept), name) == std::end(kKept)) {
      fresh.push_back(field);
    }
  }
  for (const auto& field : stored) {
    if (!HasField(fresh, field.first)) out.push_back(field);
  }
  // Age was of the response it came with.
  EraseFields(out, "Age");
  out.insert(out.end(), fresh.begin(), fresh.end());
  return out;
}

bool IsSafeMethod(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE";
}

}  // namespace vr::http
