// Where a URL leads: references resolved against a base (RFC 3986 §5), and the Location of another
// server's redirect taken apart. Pure functions; the parsing is libcurl's, so that what is judged
// here is what is fetched.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vr::http {

struct UrlParts {
  std::string url, scheme, host, port;
  std::string authority() const { return scheme + "://" + host + ":" + port; }
};

/// Resolves `reference` against `base` (empty: `reference` is absolute) and drops user part and
/// fragment. nullopt: not an http(s) URL.
std::optional<UrlParts> ResolveUrl(const std::string& base, const std::string& reference);

/// The same place: where credentials may go and private addresses need no permission.
bool SamePlace(const UrlParts& configured, const UrlParts& hop);

/// From https to http: what was asked for in secret would be told, and answered, in the open.
bool IsDowngrade(const UrlParts& from, const UrlParts& to);

/// A redirect that is to be passed on instead of followed.
struct Redirect {
  std::string url;          ///< absolute, http(s), printable ASCII, no user part
  bool is_private = false;  ///< names "localhost" or a private address (names are not looked up)
  /// Another path at the very server that was asked, without a query: then both paths are given,
  /// percent-encoded.
  bool is_other_path = false;
  std::string asked_path, path;
};
/// @param asked the URL that was asked for
/// nullopt: no place that an http client can be sent to.
std::optional<Redirect> ReadRedirect(const std::string& asked, std::string_view location);

}  // namespace vr::http
