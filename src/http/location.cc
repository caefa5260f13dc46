#include "http/location.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <algorithm>
#include <memory>

#include "http/ascii.h"
#include "http/client.h"

namespace vr::http {

namespace {

using CurlUrl = std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)>;

bool Get(CURLU* url, CURLUPart part, unsigned flags, std::string& out) {
  char* text = nullptr;
  if (::curl_url_get(url, part, &text, flags) != CURLUE_OK) return false;
  out = text;
  ::curl_free(text);
  return true;
}

/// @param flags of libcurl, for the reference
std::optional<UrlParts> Resolve(CURLU* url, const std::string& base, const std::string& reference,
                                unsigned flags) {
  if (url == nullptr) return std::nullopt;
  if (!base.empty() && ::curl_url_set(url, CURLUPART_URL, base.c_str(), 0) != CURLUE_OK)
    return std::nullopt;
  if (::curl_url_set(url, CURLUPART_URL, reference.c_str(), flags) != CURLUE_OK)
    return std::nullopt;
  ::curl_url_set(url, CURLUPART_USER, nullptr, 0);
  ::curl_url_set(url, CURLUPART_PASSWORD, nullptr, 0);
  ::curl_url_set(url, CURLUPART_FRAGMENT, nullptr, 0);
  UrlParts parts;
  if (!Get(url, CURLUPART_SCHEME, 0, parts.scheme) || !Get(url, CURLUPART_HOST, 0, parts.host) ||
      !Get(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, parts.port) ||
      !Get(url, CURLUPART_URL, 0, parts.url)) {
    return std::nullopt;
  }
  for (char& c : parts.scheme) c = ToLower(c);
  for (char& c : parts.host) c = ToLower(c);
  if (parts.scheme != "http" && parts.scheme != "https") return std::nullopt;
  return parts;
}

bool IsPrivateHost(std::string host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) return IsPrivateAddress(&v4);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) return IsPrivateAddress(&v6);
  return false;
}

}  // namespace

std::optional<UrlParts> ResolveUrl(const std::string& base, const std::string& reference) {
  const CurlUrl url(::curl_url(), ::curl_url_cleanup);
  return Resolve(url.get(), base, reference, 0);
}

bool SamePlace(const UrlParts& configured, const UrlParts& hop) {
  if (configured.host != hop.host) return false;
  if (configured.scheme == hop.scheme) return configured.port == hop.port;
  return configured.scheme == "http" && configured.port == "80" &&
         hop.port == "443";  // the usual upgrade
}

bool IsDowngrade(const UrlParts& from, const UrlParts& to) {
  return from.scheme == "https" && to.scheme != "https";
}

std::optional<Redirect> ReadRedirect(const std::string& asked, std::string_view location) {
  const CurlUrl from(::curl_url(), ::curl_url_cleanup);
  const CurlUrl to(::curl_url(), ::curl_url_cleanup);
  const auto was = Resolve(from.get(), {}, asked, 0);
  const auto now = Resolve(to.get(), asked, std::string(location), CURLU_URLENCODE);
  if (!was || !now) return std::nullopt;
  const auto is_printable = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::all_of(now->url.begin(), now->url.end(), is_printable)) return std::nullopt;
  Redirect redirect;
  redirect.url = now->url;
  redirect.is_private = IsPrivateHost(now->host);
  std::string query;
  if (!Get(from.get(), CURLUPART_PATH, 0, redirect.asked_path) ||
      !Get(to.get(), CURLUPART_PATH, 0, redirect.path)) {
    return std::nullopt;
  }
  redirect.is_other_path = was->authority() == now->authority() &&
                           redirect.path != redirect.asked_path &&
                           !Get(to.get(), CURLUPART_QUERY, 0, query);
  return redirect;
}

}  // namespace vr::http
