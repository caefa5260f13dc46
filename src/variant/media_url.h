// URLs in the scheme of Cloudflare Media Transformations: /cdn-cgi/media/<options>/<source>. Taken
// apart here; what the options say is Parse()'s. Pure functions; docs/urls.md has the rules.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "variant/parse.h"

namespace vr::variant {

/// Whether `raw_path` (not decoded) is below /cdn-cgi/media. Cheap: every request is asked.
bool IsMediaUrl(std::string_view raw_path);

struct MediaUrl {
  std::string options;  ///< decoded: "width=640,fit=cover"
  std::string path;     ///< of the source: decoded once, in the form of ParsePath()
  /// Set when the source is an absolute URL: "https" or "http".
  std::string scheme;
  std::string host;   ///< lower case, no trailing dot, IPv6 in brackets
  std::string port;   ///< empty: the scheme's own
  std::string query;  ///< the source's, as it stands in the URL; of an absolute source only

  bool is_absolute() const { return !scheme.empty(); }
  std::string authority() const { return port.empty() ? host : host + ":" + port; }
  /// Absolute sources: the one text that names the source, in keys and tags. No decoded path is
  /// ever equal to one, since those have no empty segments.
  std::string canonical() const;
};

/// @param raw_path  with IsMediaUrl()
/// @param raw_query what follows '?': of an absolute source it is a part of the source
/// @errors kNotFound (NOT_FOUND: no options and source are there), kInvalidArgument (INVALID_URL:
/// no
///         source, another scheme, a user part, traversal, bad escapes, a media URL as the source;
///         INVALID_PARAMETER: what stands for the options are none)
Result<MediaUrl> ParseMediaUrl(std::string_view raw_path, std::string_view raw_query,
                               const Options& options);

/// Like Parse(), with the options of a media URL. Of `raw_query` only the bypass and debug flags
/// count.
/// @param source_path decoded and canonical
Result<Parsed> ParseMediaOptions(std::string_view media_options, std::string source_path,
                                 std::string_view raw_query, const Options& options);

/// The path of a source: of a canonical absolute URL without its query.
std::string_view PathOfSource(std::string_view source_path);

}  // namespace vr::variant
