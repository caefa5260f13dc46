#include "origin/allowed_sources.h"

#include <algorithm>

#include "http/ascii.h"
#include "http/location.h"
#include "http/url.h"
#include "origin/origin_table.h"

namespace vr::origin {

namespace {

constexpr std::string_view DefaultPort(std::string_view scheme) {
  return scheme == "https" ? "443" : "80";
}

bool IsHostChar(char c) {
  return http::IsDigit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';
}

bool IsHost(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  if (host.front() == '[') {
    return host.size() > 3 && host.back() == ']' &&
           std::all_of(host.begin() + 1, host.end() - 1,
                       [](char c) { return http::HexValue(c) >= 0 || c == ':' || c == '.'; });
  }
  return host.front() != '.' && host.back() != '.' &&
         std::all_of(host.begin(), host.end(), IsHostChar);
}

bool IsPort(std::string_view port) {
  return !port.empty() && port.size() <= 5 && port.front() != '0' &&
         std::all_of(port.begin(), port.end(), http::IsDigit);
}

}  // namespace

std::optional<AllowedSources::Entry> AllowedSources::Read(std::string_view text) {
  Entry entry;
  if (text.starts_with("http://")) {
    entry.plain = true;
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    text.remove_prefix(8);
  }
  if (text.starts_with("*.")) {
    entry.below = true;
    text.remove_prefix(2);
  }
  const std::string_view authority = text.substr(0, text.find('/'));
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  entry.host = authority.substr(0, colon);
  for (char& c : entry.host) c = http::ToLower(c);
  if (!IsHost(entry.host)) return std::nullopt;
  if (colon != std::string_view::npos) {
    entry.port = authority.substr(colon + 1);
    if (!IsPort(entry.port)) return std::nullopt;
  }
  if (text.find_first_of("?#*") != std::string_view::npos) return std::nullopt;
  const auto path = http::PercentDecode(text.substr(authority.size()));
  if (!path.ok()) return std::nullopt;
  auto normal = NormalizePath(*path);
  if (!normal) return std::nullopt;
  entry.path = std::move(*normal);
  return entry;
}

bool AllowedSources::IsEntry(std::string_view entry) {
  return Read(entry).has_value();
}

AllowedSources::AllowedSources(const std::vector<std::string>& entries) {
  for (const std::string& text : entries) {
    if (auto entry = Read(text)) entries_.push_back(std::move(*entry));
  }
}

bool AllowedSources::Allow(std::string_view scheme, std::string_view host, std::string_view port,
                           std::string_view path) const {
  if (port.empty()) port = DefaultPort(scheme);
  while (path.starts_with('/')) path.remove_prefix(1);
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& e) {
    if (scheme != "https" && !(scheme == "http" && e.plain)) return false;
    if (port != (e.port.empty() ? DefaultPort(scheme) : std::string_view(e.port))) return false;
    const bool is_host = e.below ? host.size() > e.host.size() + 1 && host.ends_with(e.host) &&
                                       host[host.size() - e.host.size() - 1] == '.'
                                 : host == e.host;
    if (!is_host) return false;
    return path.starts_with(e.path) &&
           (e.path.empty() || path.size() == e.path.size() || path[e.path.size()] == '/');
  });
}

bool AllowedSources::AllowUrl(const std::string& url) const {
  const auto parts = http::ResolveUrl({}, url);
  if (!parts) return false;
  std::string host = parts->host;
  while (host.ends_with('.')) host.pop_back();
  const size_t begin = parts->url.find('/', parts->scheme.size() + 3);
  const std::string_view path =
      begin == std::string::npos
          ? std::string_view()
          : std::string_view(parts->url).substr(begin, parts->url.find_first_of("?#") - begin);
  const auto decoded = http::PercentDecode(path);
  if (!decoded.ok()) return false;
  const auto normal = NormalizePath(*decoded);
  return normal && Allow(parts->scheme, host, parts->port, *normal);
}

}  // namespace vr::origin
