#include "delivery/cors.h"

#include <algorithm>

#include "delivery/head.h"
#include "delivery/request_log.h"
#include "http/ascii.h"

namespace vr::delivery {

namespace {

constexpr size_t kMaxAskedHeaders = 1024;
constexpr std::string_view kMethods = "GET, HEAD";

std::string Join(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + item;
  return out;
}

bool IsHostChar(char c) {
  const char lower = http::ToLower(c);
  return (lower >= 'a' && lower <= 'z') || http::IsDigit(c) || c == '.' || c == '-';
}

/// "https://*.example.com" in two: what is before the star and what is behind it.
struct Wildcard {
  std::string_view before, behind;
};
std::optional<Wildcard> WildcardOf(std::string_view pattern) {
  const size_t star = pattern.find("://*.");
  if (star == pattern.npos) return std::nullopt;
  return Wildcard{pattern.substr(0, star + 3), pattern.substr(star + 4)};
}

bool Matches(std::string_view pattern, std::string_view origin) {
  const std::optional<Wildcard> wildcard = WildcardOf(pattern);
  if (!wildcard) return http::EqualsNoCase(pattern, origin);
  const auto& [before, behind] = *wildcard;
  if (origin.size() <= before.size() + behind.size()) return false;
  const std::string_view middle =
      origin.substr(before.size(), origin.size() - before.size() - behind.size());
  return http::EqualsNoCase(origin.substr(0, before.size()), before) &&
         http::EqualsNoCase(origin.substr(origin.size() - behind.size()), behind) &&
         std::all_of(middle.begin(), middle.end(), IsHostChar);
}

/// Whether `lines` ("Name: value\r\n") have such a field.
bool HasLine(std::string_view lines, std::string_view name) {
  while (!lines.empty()) {
    if (lines.size() > name.size() && lines[name.size()] == ':' &&
        http::EqualsNoCase(lines.substr(0, name.size()), name)) {
      return true;
    }
    const size_t end = lines.find('\n');
    if (end == lines.npos) break;
    lines.remove_prefix(end + 1);
  }
  return false;
}

bool Has(const http::Response& response, std::string_view name) {
  return HasLine(response.fields, name) ||
         (response.shared_fields && HasLine(*response.shared_fields, name));
}

}  // namespace

bool IsOriginPattern(std::string_view text) {
  if (text == "*" || text == "null") return true;
  const size_t scheme = text.find("://");
  if (scheme == text.npos || scheme == 0) return false;
  if (!std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(scheme),
                   [](char c) { return IsHostChar(c) || c == '+'; })) {
    return false;
  }
  std::string_view host = text.substr(scheme + 3);
  if (host.starts_with("*.")) host.remove_prefix(2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return IsHostChar(c) || c == ':' || c == '[' || c == ']';
  });
}

Cors::Cors(CorsOptions options) : options_(std::move(options)) {
  is_on_ = !options_.allow_origins.empty();
  is_any_ = std::find(options_.allow_origins.begin(), options_.allow_origins.end(), "*") !=
            options_.allow_origins.end();
  if (!options_.expose_headers.empty()) {
    AppendField(exposed_, "Access-Control-Expose-Headers", Join(options_.expose_headers));
  }
  if (!options_.resource_policy.empty()) {
    AppendField(always_, "Cross-Origin-Resource-Policy", options_.resource_policy);
  }
  if (!options_.timing_allow_origins.empty()) {
    AppendField(always_, "Timing-Allow-Origin", Join(options_.timing_allow_origins));
  }
}

std::string_view Cors::AllowedFor(std::string_view origin) const {
  if (is_any_) return "*";
  if (origin.empty()) return {};
  const bool is_allowed =
      std::any_of(options_.allow_origins.begin(), options_.allow_origins.end(),
                  [&](const std::string& pattern) { return Matches(pattern, origin); });
  return is_allowed ? origin : std::string_view();
}

bool Cors::IsPreflight(const http::Request& request) {
  return request.method == http::Method::kOptions && request.Get("Origin") &&
         request.Get("Access-Control-Request-Method");
}

http::Response Cors::AnswerPreflight(const http::Request& request) const {
  http::Response response;
  response.status = 204;
  response.Add("X-Content-Type-Options", "nosniff");
  response.Add("X-Request-ID", request.id);
  Apply(request, response);
  if (!AllowedFor(request.Get("Origin").value_or("")).empty()) {
    response.Add("Access-Control-Allow-Methods", kMethods);
    // Whatever fields a script wants to send: none of them opens anything here.
    const std::string asked = request.GetAll("Access-Control-Request-Headers");
    const bool is_sane =
        asked.size() <= kMaxAskedHeaders && std::all_of(asked.begin(), asked.end(), [](char c) {
          return http::IsTokenChar(c) || c == ',' || c == ' ';
        });
    if (is_sane && !asked.empty()) response.Add("Access-Control-Allow-Headers", asked);
    response.Add("Access-Control-Max-Age", std::to_string(options_.max_age.count()));
  }
  response.Add("Vary", "Access-Control-Request-Headers");
  auto note = std::make_shared<RequestNote>();
  response.note = std::move(note);
  return response;
}

void Cors::Apply(const http::Request& request, http::Response& response) const {
  response.fields += always_;
  if (!is_on_ || Has(response, "Access-Control-Allow-Origin")) return;
  if (!is_any_) AppendField(response.fields, "Vary", "Origin");
  const std::string_view allowed = AllowedFor(request.Get("Origin").value_or(""));
  if (allowed.empty()) return;
  AppendField(response.fields, "Access-Control-Allow-Origin", allowed);
  response.fields += exposed_;
}

}  // namespace vr::delivery
