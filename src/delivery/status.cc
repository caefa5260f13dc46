#include "delivery/status.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cache/ttl.h"
#include "http/respond.h"
#include "origin/source.h"

namespace vr::delivery {

namespace {

constexpr std::array<std::pair<std::string_view, int>, 24> kStatuses{{
    {"REDIRECT", 302},           {"INVALID_PARAMETER", 400},
    {"TIME_OUT_OF_RANGE", 400},  {"INVALID_URL", 400},
    {"SIGNATURE_REQUIRED", 403}, {"SIGNATURE_INVALID", 403},
    {"SIGNATURE_EXPIRED", 403},  {"SOURCE_NOT_ALLOWED", 403},
    {"NO_MATCHING_ORIGIN", 404}, {"NOT_FOUND", 404},
    {"METHOD_NOT_ALLOWED", 405}, {"SOURCE_TOO_LARGE", 413},
    {"SOURCE_UNSUPPORTED", 415}, {"RANGE_NOT_SATISFIABLE", 416},
    {"SOURCE_CORRUPT", 422},     {"TRANSFORM_FAILED", 500},
    {"INTERNAL", 500},           {"ALL_SOURCES_FAILED", 502},
    {"OVERLOADED", 503},         {"UNAVAILABLE", 503},
    {"ORIGIN_TIMEOUT", 504},     {"TRANSFORM_TIMEOUT", 504},
    {"CANCELLED", 503},          {"LOOP_DETECTED", 508},
}};

/// Statuses that say something about the source, not about us or this client.
constexpr std::array<int, 11> kReusable{301, 302, 303, 307, 308, 404, 413, 415, 422, 502, 504};
constexpr std::array<int, 5> kRedirects{301, 302, 303, 307, 308};

std::string_view FactOf(const Error& error, std::string_view name) {
  for (const auto& [fact, value] : error.facts) {
    if (fact == name) return value;
  }
  return {};
}

bool IsReusable(int status) {
  return std::find(kReusable.begin(), kReusable.end(), status) != kReusable.end();
}

}  // namespace

std::string_view ReasonOf(const Error& error) {
  const bool is_known = std::any_of(kStatuses.begin(), kStatuses.end(),
                                    [&](const auto& row) { return row.first == error.reason; });
  if (is_known) return error.reason;
  switch (error.code) {
    case Code::kInvalidArgument:
      return "INVALID_PARAMETER";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kPermissionDenied:
      return "SOURCE_NOT_ALLOWED";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDeadlineExceeded:
      return "TRANSFORM_TIMEOUT";
    case Code::kResourceExhausted:
      return "OVERLOADED";
    case Code::kCorruption:
      return "SOURCE_CORRUPT";
    case Code::kUnsupported:
      return "SOURCE_UNSUPPORTED";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kInternal:
      break;
  }
  return "INTERNAL";
}

int StatusOf(const Error& error) {
  const std::string_view reason = ReasonOf(error);
  if (reason == origin::kRedirectReason) {
    const std::string_view said = FactOf(error, "status");
    for (const int status : kRedirects) {
      if (said == std::to_string(status)) return status;
    }
  }
  for (const auto& [name, status] : kStatuses) {
    if (name == reason) return status;
  }
  return 500;
}

std::string_view LocationOf(const Error& error) {
  return ReasonOf(error) == origin::kRedirectReason ? FactOf(error, "location")
                                                    : std::string_view();
}

namespace {
/// The source's own doings; and a time past its end, which stays wrong as long as the source is
/// what it is.
bool IsAboutSource(const Error& error) {
  return IsReusable(StatusOf(error)) || ReasonOf(error) == "TIME_OUT_OF_RANGE";
}
}  // namespace

std::string ErrorBody(const Error& error) {
  const std::string_view reason = ReasonOf(error);
  if (reason == "INTERNAL") return http::ErrorBody(reason, "internal error") + "\n";
  return http::ErrorBody(reason, error.public_message, error.facts) + "\n";
}

http::Response ErrorResponse(const Error& error, const cache::TtlOptions& ttl) {
  http::Response response;
  response.status = StatusOf(error);
  const auto lifetime =
      IsReusable(response.status) ? cache::TtlFor(response.status, ttl) : std::chrono::seconds(0);
  const bool has_body = LocationOf(error).empty();
  if (has_body) response.Add("Content-Type", "application/json");
  if (lifetime.count() > 0) {
    response.Add("Cache-Control", "public, max-age=" + std::to_string(lifetime.count()));
  } else {
    response.Add("Cache-Control", "no-store");
  }
  response.Add("X-Content-Type-Options", "nosniff");
  if (response.status == 503) {
    const std::string_view said = FactOf(error, "retryAfter");
    response.Add("Retry-After", said.empty() ? "2" : said);
  }
  if (has_body) response.SetBody(ErrorBody(error));
  return response;
}

bool IsRemembered(const Error& error, const cache::TtlOptions& ttl) {
  return IsAboutSource(error) && cache::TtlFor(StatusOf(error), ttl).count() > 0;
}

std::optional<cache::FailureForm> RenderFailure(const Error& error) {
  if (!IsAboutSource(error)) return std::nullopt;
  cache::FailureForm form;
  form.status = StatusOf(error);
  form.location = LocationOf(error);
  form.reason = ReasonOf(error);
  if (!form.location.empty()) return form;
  form.content_type = "application/json";
  form.body = ErrorBody(error);
  return form;
}

}  // namespace vr::delivery
