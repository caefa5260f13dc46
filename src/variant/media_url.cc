#include "variant/media_url.h"

#include <algorithm>
#include <optional>

#include "variant/key.h"
#include "variant/percent.h"
#include "variant/values.h"

namespace vr::variant {

namespace {

constexpr std::string_view kPrefix = "/cdn-cgi/media";
constexpr size_t kMaxHost = 253;

Error BadUrl(const char* why) {
  return Error(Code::kInvalidArgument, why).WithReason("INVALID_URL");
}

std::optional<std::string> DecodePercent(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int decoded = HexPair(text.substr(i));
    if (decoded < 0) return std::nullopt;
    out += static_cast<char>(decoded);
    i += 2;
  }
  return out;
}

bool StartsWithLower(std::string_view text, std::string_view lower) {
  return EqualsLower(text.substr(0, lower.size()), lower);
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// "example.com" or "[2001:db8::1]", lower case, and the port behind it. False: no authority.
bool ReadAuthority(std::string_view text, MediaUrl& url) {
  std::string_view rest = text;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    url.host = text.substr(0, close + 1);
    rest.remove_prefix(close + 1);
    for (const char c : std::string_view(url.host).substr(1, close - 1)) {
      if (HexDigit(c) < 0 && c != ':' && c != '.') return false;
    }
  } else {
    url.host = text.substr(0, text.find(':'));
    rest.remove_prefix(url.host.size());
    if (url.host.ends_with('.')) url.host.pop_back();
    const bool is_name = std::all_of(url.host.begin(), url.host.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '-' ||
             c == '_' || c == '.';
    });
    if (!is_name || url.host.starts_with('.') || url.host.ends_with('.')) return false;
  }
  if (url.host.empty() || url.host.size() > kMaxHost) return false;
  for (char& c : url.host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  if (rest.empty()) return true;
  if (rest[0] != ':') return false;
  rest.remove_prefix(1);
  if (rest.empty()) return true;
  const auto port = ParseUint(rest);
  if (!port || *port < 1 || *port > 65535) return false;
  if (*port != (url.scheme == "https" ? 443u : 80u)) url.port = std::to_string(*port);
  return true;
}

bool IsQuery(std::string_view query) {
  return std::all_of(query.begin(), query.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

// `source` begins with a scheme and its colon.
Result<void> ReadAbsolute(std::string_view source, std::string_view raw_query, const Limits& limits,
                          MediaUrl& url) {
  url.scheme = StartsWithLower(source, "https:") ? "https" : "http";
  source.remove_prefix(url.scheme.size() + 1);
  if (!source.starts_with('/')) return BadUrl("The source's URL has no host.");
  // Those in between may have merged the two slashes into one.
  source.remove_prefix(std::min<size_t>(source.size(), source.starts_with("//") ? 2 : 1));
  const std::string_view authority = source.substr(0, source.find_first_of("/?#"));
  if (!ReadAuthority(authority, url)) return BadUrl("The source's URL has no usable host.");
  source.remove_prefix(authority.size());
  if (source.find('#') != std::string_view::npos) return BadUrl("The source's URL has a fragment.");
  const size_t mark = source.find('?');  // there when the whole URL was percent-encoded
  if (mark != std::string_view::npos) url.query = source.substr(mark + 1);
  if (!raw_query.empty()) {
    if (!url.query.empty()) url.query += '&';
    url.query += raw_query;
  }
  if (!IsQuery(url.query)) return BadUrl("The source's query has a character that is not allowed.");
  if (url.query.size() > limits.max_path_bytes) return BadUrl("The source's query is too long.");
  TRY(url.path, ParsePath(source.substr(0, mark), limits));
  return {};
}

}  // namespace

bool IsMediaUrl(std::string_view raw_path) {
  return raw_path.starts_with(kPrefix) &&
         (raw_path.size() == kPrefix.size() || raw_path[kPrefix.size()] == '/');
}

std::string MediaUrl::canonical() const {
  std::string text = scheme + "://" + authority() + "/";
  AppendEncoded(text, path);
  if (!query.empty()) {
    text += '?';
    text += query;
  }
  return text;
}

Result<MediaUrl> ParseMediaUrl(std::string_view raw_path, std::string_view raw_query,
                               const Options& options) {
  std::string_view rest = raw_path.substr(std::min(raw_path.size(), kPrefix.size() + 1));
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) {
    return Error(Code::kNotFound,
                 "The URL has no options and source: /cdn-cgi/media/OPTIONS/SOURCE")
        .WithReason("NOT_FOUND");
  }
  MediaUrl url;
  auto media_options = DecodePercent(rest.substr(0, slash));
  if (!media_options) return BadUrl("The options have a bad percent-escape.");
  url.options = std::move(*media_options);
  rest.remove_prefix(slash + 1);
  if (!HasMediaOptions(url.options, options)) {
    return Error(Code::kInvalidArgument,
                 "There are no options such as width=640 before the source.")
        .WithReason("INVALID_PARAMETER");
  }

  std::string decoded;
  if (StartsWithLower(rest, "http%3a") || StartsWithLower(rest, "https%3a")) {
    auto whole = DecodePercent(rest);
    if (!whole) return BadUrl("The path has a bad percent-escape.");
    decoded = std::move(*whole);
    rest = decoded;
  }
  if (StartsWithLower(rest, "http:") || StartsWithLower(rest, "https:")) {
    CHECK_OK(ReadAbsolute(rest, raw_query, options.limits, url));
  } else {
    TRY(url.path, ParsePath(rest, options.limits));
    if (rest.find("://") < rest.find('/')) {
      return BadUrl("The source's URL is no http or https URL.");
    }
  }
  if (url.path.empty()) return BadUrl("The URL has no source.");
  if (IsMediaUrl("/" + url.path)) {
    return BadUrl("The source is a media URL itself.").WithFact("loop", "/cdn-cgi/media/");
  }
  return url;
}

std::string_view PathOfSource(std::string_view source_path) {
  const bool is_absolute =
      source_path.starts_with("https://") || source_path.starts_with("http://");
  return is_absolute ? source_path.substr(0, source_path.find('?')) : source_path;
}

}  // namespace vr::variant
