#include "origin/origin_table.h"

#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/overlong.h"
#include "http/ascii.h"
#include "origin/s3.h"

namespace vr::origin {

namespace {

constexpr std::string_view kRequestPath = "request_path";
constexpr std::string_view kTemplateGrammar =
    "text with ${name}, ${name:default}, ${request_path}, $<group number>, $$ for a dollar sign";

/// A piece of a path template: literal text, a group of the matcher, or the request path.
struct Piece {
  enum class Kind { kText, kGroup, kRequestPath };
  Kind kind = Kind::kText;
  int group = 0;
  std::string text;  ///< the literal, or the default of a group that matched nothing
};
using Template = std::vector<Piece>;

/// @param names group numbers by name
/// @param error set to the offending placeholder
std::optional<Template> ParseTemplate(std::string_view text,
                                      const std::map<std::string, int, std::less<>>& names,
                                      int groups, std::string& error) {
  Template out;
  const auto literal = [&](char c) {
    if (out.empty() || out.back().kind != Piece::Kind::kText) out.emplace_back();
    out.back().text += c;
  };
  const auto number = [&](std::string_view digits, int& group) {
    if (digits.empty() || digits.size() > 3) return false;
    group = 0;
    for (char c : digits) {
      if (!http::IsDigit(c)) return false;
      group = group * 10 + (c - '0');
    }
    return group <= groups;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$') {
      literal(text[i]);
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == '$') {
      literal('$');
      ++i;
      continue;
    }
    Piece piece;
    piece.kind = Piece::Kind::kGroup;
    std::string_view name;
    size_t end = 0;
    if (i + 1 < text.size() && text[i + 1] == '{') {
      const size_t close = text.find('}', i);
      end = close == std::string_view::npos ? text.size() : close + 1;
      name = text.substr(i + 2, end - i - 3);
      if (close == std::string_view::npos) {
        error = text.substr(i);
        return std::nullopt;
      }
      const size_t colon = name.find(':');
      if (colon != std::string_view::npos) {
        piece.text = name.substr(colon + 1);
        name = name.substr(0, colon);
      }
    } else {
      end = i + 1;
      while (end < text.size() && http::IsDigit(text[end])) ++end;
      name = text.substr(i + 1, end - i - 1);
    }
    const auto named = names.find(name);
    if (name == kRequestPath)
      piece.kind = Piece::Kind::kRequestPath;
    else if (named != names.end())
      piece.group = named->second;
    else if (!number(name, piece.group)) {
      error = text.substr(i, std::max<size_t>(end - i, 1));
      return std::nullopt;
    }
    out.push_back(std::move(piece));
    i = end - 1;
  }
  return out;
}

bool IsName(std::string_view text) {
  if (text.empty() || http::IsDigit(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return http::IsDigit(c) || c == '_' || (http::ToLower(c) >= 'a' && http::ToLower(c) <= 'z');
  });
}

/// Checks "http(s)://host[:port][/prefix]". @return what is wrong, empty when nothing is
std::string BadUrl(std::string_view url) {
  constexpr std::string_view kAllowed = "http://host[:port][/prefix] or https://…";
  std::string_view rest;
  if (url.starts_with("http://"))
    rest = url.substr(7);
  else if (url.starts_with("https://"))
    rest = url.substr(8);
  else
    return std::string(kAllowed);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (authority.empty() || authority.front() == ':') return std::string(kAllowed);
  if (authority.find('@') != std::string_view::npos)
    return "a URL without user and password; use auth";
  if (url.find_first_of("?#") != std::string_view::npos)
    return "a URL without query and fragment; use auth type query";
  if (url.find('$') != std::string_view::npos) return "a URL without placeholders; use path";
  for (char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f ||
        c == '\\') {
      return "a percent-encoded URL";
    }
  }
  if (!NormalizePath(rest.substr(authority.size()))) return "a URL without dot segments";
  return {};
}

std::string WithoutTrailingSlashes(std::string text) {
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

/// A bucket that is a directory is a file source under another name.
bool IsDirectory(const SourceOptions& source) {
  return source.type == SourceType::kS3 && source.place && !source.place->root.empty();
}

std::string_view TypeName(const SourceOptions& source) {
  switch (source.type) {
    case SourceType::kFile:
      return "file";
    case SourceType::kHttp:
      return "http";
    case SourceType::kS3:
      return IsDirectory(source) ? "file" : "s3";
  }
  return "";
}

std::string Base(const SourceOptions& source) {
  switch (source.type) {
    case SourceType::kFile:
      return WithoutTrailingSlashes(source.root);
    case SourceType::kHttp:
      return WithoutTrailingSlashes(source.url);
    case SourceType::kS3:
      if (!source.place) return source.bucket;
      return IsDirectory(source) ? WithoutTrailingSlashes(source.place->root)
                                 : S3Identity(*source.place);
  }
  return {};
}

/// What other engines can and RE2 cannot, and what to do instead; empty: it is something else.
std::string AdviceAbout(const RE2& matcher) {
  const std::string& what = matcher.error_arg();
  const std::string begin = what.substr(0, 3);
  const bool is_look_around = begin == "(?=" || begin == "(?!" || begin == "(?<";
  const bool is_back_reference = matcher.error_code() == RE2::ErrorBadEscape && what.size() == 2 &&
                                 ((what[1] >= '1' && what[1] <= '9') || what[1] == 'k');
  if (!is_look_around && !is_back_reference) return {};
  return std::string(is_look_around ? " (there is no look-around"
                                    : " (there are no back-references") +
         ": put an origin for what is to be left out before this one)";
}

struct CompiledSource {
  size_t index = 0;
  std::string_view type;
  RedirectPolicy redirects = RedirectPolicy::kFollow;
  std::string base;
  Template path;
};
struct CompiledOrigin {
  OriginOptions options;
  std::unique_ptr<const RE2> matcher;
  int groups = 0;
  std::vector<CompiledSource> sources;  ///< by priority
};

void CheckAuth(const AuthOptions& auth, const std::string& at, std::vector<Problem>& problems) {
  const auto need = [&](const std::string& value, const char* field) {
    if (value.empty())
      problems.push_back({at + "/" + field, "nothing", "a non-empty text"});
    else if (!http::IsFieldValue(value))
      problems.push_back({at + "/" + field, "(hidden)", "text without control characters"});
  };
  switch (auth.type) {
    case AuthType::kNone:
      break;
    case AuthType::kBearer:
      need(auth.token, "token");
      break;
    case AuthType::kBasic:
      need(auth.user, "user");
      need(auth.password, "password");
      if (auth.user.find(':') != std::string::npos)
        problems.push_back({at + "/user", "(hidden)", "text without ':'"});
      break;
    case AuthType::kHeader:
      need(auth.value, "value");
      if (!http::IsToken(auth.name))
        problems.push_back({at + "/name", auth.name, "a header field name"});
      break;
    case AuthType::kQuery:
      need(auth.name, "name");
      need(auth.value, "value");
      break;
  }
}

void CheckSource(const SourceOptions& source, const std::string& at,
                 std::vector<Problem>& problems) {
  switch (source.type) {
    case SourceType::kFile:
      if (source.root.empty() || source.root.find('\0') != std::string::npos) {
        problems.push_back(
            {at + "/root", source.root.empty() ? "nothing" : "a NUL", "a directory"});
      }
      if (source.auth.type != AuthType::kNone)
        problems.push_back({at + "/auth", "auth of a file source", "nothing"});
      break;
    case SourceType::kHttp:
      if (std::string allowed = BadUrl(source.url); !allowed.empty()) {
        const bool secret = source.url.find('@') != std::string::npos;
        problems.push_back({at + "/url", secret ? "(hidden)" : source.url, std::move(allowed)});
      }
      break;
    case SourceType::kS3:
      if (source.bucket.empty())
        problems.push_back({at + "/bucket", "nothing", "a name of \"buckets\""});
      else if (!source.place)
        problems.push_back({at + "/bucket", source.bucket, "a name of \"buckets\""});
      break;
  }
  CheckAuth(source.auth, at + "/auth", problems);
  static constexpr std::string_view kOurs[] = {"Range",
                                               "Host",
                                               "Accept-Encoding",
                                               "If-Range",
                                               "If-Match",
                                               "If-None-Match",
                                               "If-Modified-Since",
                                               "If-Unmodified-Since",
                                               "Connection",
                                               "Transfer-Encoding",
                                               "Content-Length",
                                               "TE",
                                               "Via"};
  for (const auto& [name, value] : source.query) {
    if (name.empty() || !http::IsFieldValue(name)) {
      problems.push_back({at + "/query", name, "names without control characters"});
    } else if (!http::IsFieldValue(value)) {
      problems.push_back({at + "/query/" + name, "(hidden)", "text without control characters"});
    }
  }
  for (const auto& [name, value] : source.headers) {
    const bool ours = std::any_of(std::begin(kOurs), std::end(kOurs),
                                  [&](std::string_view o) { return http::EqualsNoCase(o, name); });
    if (!http::IsToken(name) || ours) {
      problems.push_back(
          {at + "/headers", name, "header field names that are not the client's own business"});
    } else if (!http::IsFieldValue(value)) {
      problems.push_back({at + "/headers/" + name, "(hidden)", "text without control characters"});
    }
  }
}

/// Compiles what can be compiled, and says what cannot.
std::vector<CompiledOrigin> Compile(std::vector<OriginOptions> origins,
                                    std::vector<Problem>& problems) {
  std::vector<CompiledOrigin> out;
  std::set<std::string> names;
  for (size_t i = 0; i < origins.size(); ++i) {
    const std::string at = "/origins/" + std::to_string(i);
    CompiledOrigin origin;
    origin.options = std::move(origins[i]);
    const OriginOptions& options = origin.options;
    if (options.name.empty())
      problems.push_back({at + "/name", "nothing", "a unique name"});
    else if (!names.insert(options.name).second)
      problems.push_back({at + "/name", options.name, "a unique name"});

    RE2::Options flags(RE2::Quiet);
    origin.matcher = std::make_unique<const RE2>(options.matcher, flags);
    if (options.matcher.empty()) {
      problems.push_back({at + "/matcher", "nothing", "a regular expression (RE2)"});
    } else if (!origin.matcher->ok()) {
      problems.push_back({at + "/matcher", options.matcher,
                          "a regular expression (RE2): " + origin.matcher->error() +
                              AdviceAbout(*origin.matcher)});
    }
    const bool usable = origin.matcher->ok();
    origin.groups = usable ? origin.matcher->NumberOfCapturingGroups() : 0;

    std::map<std::string, int, std::less<>> groups;
    if (usable) {
      for (const auto& [name, group] : origin.matcher->NamedCapturingGroups()) groups[name] = group;
    }
    if (usable && options.capture_groups.size() > static_cast<size_t>(origin.groups)) {
      problems.push_back(
          {at + "/captureGroups", std::to_string(options.capture_groups.size()) + " names",
           "at most as many names as the matcher has groups: " + std::to_string(origin.groups)});
    }
    std::set<std::string> seen;
    for (size_t g = 0; g < options.capture_groups.size(); ++g) {
      const std::string& name = options.capture_groups[g];
      const std::string field = at + "/captureGroups/" + std::to_string(g);
      if (!IsName(name) || name == kRequestPath) {
        problems.push_back(
            {field, name, "letters, digits and _, not starting with a digit, not request_path"});
      } else if (!seen.insert(name).second) {
        problems.push_back({field, name, "each name once"});
      }
      groups[name] = static_cast<int>(g) + 1;
    }

    if (options.sources.empty())
      problems.push_back({at + "/sources", "nothing", "at least one source"});
    for (size_t s = 0; s < options.sources.size(); ++s) {
      const SourceOptions& source = options.sources[s];
      const std::string where = at + "/sources/" + std::to_string(s);
      CheckSource(source, where, problems);
      CompiledSource compiled;
      compiled.index = s;
      compiled.type = TypeName(source);
      compiled.redirects = source.redirects;
      compiled.base = Base(source);
      std::string wrong;
      auto path = ParseTemplate(source.path.empty() ? "${request_path}" : source.path, groups,
                                usable ? origin.groups : 999, wrong);
      if (path) {
        compiled.path = std::move(*path);
      } else if (usable) {
        std::string known;
        for (const auto& [name, group] : groups) known += (known.empty() ? "" : ", ") + name;
        problems.push_back({where + "/path", wrong,
                            std::string(kTemplateGrammar) +
                                "; names here: " + (known.empty() ? "none" : known) +
                                "; groups: " + std::to_string(origin.groups)});
      }
      origin.sources.push_back(std::move(compiled));
    }
    std::stable_sort(origin.sources.begin(), origin.sources.end(),
                     [&](const auto& a, const auto& b) {
                       return options.sources[a.index].priority < options.sources[b.index].priority;
                     });
    out.push_back(std::move(origin));
  }
  return out;
}

/// Over-long UTF-8 of '.', '/' and '\\' as the character itself: some readers take it for that.
std::string WithoutOverlong(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    const Overlong found = OverlongAtStart(path.substr(i));
    out += found.bytes > 0 ? found.character : path[i];
    if (found.bytes > 0) i += found.bytes - 1;
  }
  return out;
}

/// Parameters of a segment (`..;x`) do not count: some readers drop them before they look.
bool HasDotSegment(std::string_view path) {
  std::string plain;
  if (path.find_first_of("\xc0\xc1\xe0\xf0") != std::string_view::npos) {
    plain = WithoutOverlong(path);
    path = plain;
  }
  size_t at = 0;
  while (at <= path.size()) {
    size_t end = path.find_first_of("/\\", at);
    if (end == std::string_view::npos) end = path.size();
    std::string_view segment = path.substr(at, end - at);
    segment = segment.substr(0, segment.find(';'));
    if (segment == "." || segment == "..") return true;
    at = end + 1;
  }
  return false;
}

/// One leftmost round of %XX decoding; malformed escapes stay. @return whether anything changed
bool DecodeRound(std::string& text) {
  std::string out;
  bool changed = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = http::HexValue(text[i + 1]), low = http::HexValue(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high << 4 | low);
        i += 2;
        changed = true;
        continue;
      }
    }
    out += text[i];
  }
  text = std::move(out);
  return changed;
}

void AddIdentity(std::string& identity, std::string_view part) {
  identity += std::to_string(part.size());
  identity += ':';
  identity += part;
}

}  // namespace

std::optional<std::string> NormalizePath(std::string_view path) {
  if (path.find('\0') != std::string_view::npos || HasDotSegment(path)) return std::nullopt;
  if (path.find('%') != std::string_view::npos) {
    // Each round makes the text shorter, so this ends; deep nesting is nobody's file name.
    std::string decoded(path);
    for (int round = 0; DecodeRound(decoded); ++round) {
      if (round == 8 || decoded.find('\0') != std::string::npos || HasDotSegment(decoded))
        return std::nullopt;
    }
  }
  std::string out;
  out.reserve(path.size());
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) {
      if (!out.empty()) out += '/';
      out += path.substr(at, end - at);
    }
    at = end + 1;
  }
  return out;
}

struct OriginTable::Impl {
  std::vector<CompiledOrigin> origins;
};

OriginTable::OriginTable(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
OriginTable::~OriginTable() = default;

std::vector<Problem> OriginTable::Check(const std::vector<OriginOptions>& origins) {
  std::vector<Problem> problems;
  Compile(origins, problems);
  return problems;
}

Result<std::unique_ptr<const OriginTable>> OriginTable::Create(std::vector<OriginOptions> origins) {
  std::vector<Problem> problems;
  auto impl = std::make_unique<Impl>();
  impl->origins = Compile(std::move(origins), problems);
  if (!problems.empty()) {
    Error error(Code::kInvalidArgument, "the origins cannot be used",
                std::to_string(problems.size()) + " problems");
    for (Problem& p : problems) {
      error.facts.emplace_back(std::move(p.field), "found " + p.found + ", allowed: " + p.allowed);
    }
    return error;
  }
  return std::unique_ptr<const OriginTable>(new OriginTable(std::move(impl)));
}

const OriginOptions& OriginTable::origin(size_t index) const {
  return impl_->origins[index].options;
}
size_t OriginTable::size() const {
  return impl_->origins.size();
}

std::optional<Resolved> OriginTable::Match(std::string_view decoded_path,
                                           std::optional<OriginMode> only) const {
  const std::optional<std::string> path = NormalizePath(decoded_path);
  if (!path) return std::nullopt;
  const std::string subject = "/" + *path;
  for (size_t i = 0; i < impl_->origins.size(); ++i) {
    const CompiledOrigin& origin = impl_->origins[i];
    if (only && origin.options.mode != *only) continue;
    std::vector<re2::StringPiece> groups(static_cast<size_t>(origin.groups) + 1);
    if (!origin.matcher->Match(subject, 0, subject.size(), RE2::UNANCHORED, groups.data(),
                               static_cast<int>(groups.size()))) {
      continue;
    }
    Resolved resolved;
    resolved.origin_index = i;
    resolved.origin_name = origin.options.name;
    for (const CompiledSource& source : origin.sources) {
      std::string expanded;
      for (const Piece& piece : source.path) {
        switch (piece.kind) {
          case Piece::Kind::kText:
            expanded += piece.text;
            break;
          case Piece::Kind::kRequestPath:
            expanded += *path;
            break;
          case Piece::Kind::kGroup: {
            const re2::StringPiece group = groups[static_cast<size_t>(piece.group)];
            if (group.empty())
              expanded += piece.text;
            else
              expanded.append(group.data(), group.size());
            break;
          }
        }
      }
      std::optional<std::string> normal = NormalizePath(expanded);
      if (!normal) return std::nullopt;
      Location location;
      location.type = source.type;
      location.base = source.base;
      location.path = std::move(*normal);
      location.source_index = source.index;
      AddIdentity(resolved.identity, location.type);
      AddIdentity(resolved.identity, location.base);
      AddIdentity(resolved.identity, location.path);
      if (source.redirects == RedirectPolicy::kPass) AddIdentity(resolved.identity, "pass");
      resolved.locations.push_back(std::move(location));
    }
    return resolved;
  }
  return std::nullopt;
}

}  // namespace vr::origin
