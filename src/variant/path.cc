// ParsePath and IsVideoPath: what a URL path names.
#include <algorithm>

#include "base/overlong.h"
#include "variant/parse.h"
#include "variant/percent.h"
#include "variant/values.h"

namespace vr::variant {

namespace {

// How often a hidden escape is undone while looking for dot segments. Nobody needs more than one.
constexpr int kMaxRounds = 8;

Error BadUrl(const char* why) {
  return Error(Code::kInvalidArgument, why).WithReason("INVALID_URL");
}

bool HasDotSegment(std::string_view path) {
  while (!path.empty()) {
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(std::min(path.size(), segment.size() + 1));
  }
  return false;
}

// The path as a careless origin might read it once more: a further percent-decoding, backslash as
// slash, over-long UTF-8, path parameters (`..;x`) dropped.
std::string ReadCarelessly(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    const std::string_view rest = path.substr(i);
    if (const int decoded = HexPair(rest); decoded >= 0) {
      out += static_cast<char>(decoded);
      i += 2;
    } else if (rest[0] == '\\') {
      out += '/';
    } else if (rest[0] == ';') {
      const size_t slash = rest.find('/');
      i += (slash == std::string_view::npos ? rest.size() : slash) - 1;
    } else if (const Overlong found = OverlongAtStart(rest); found.bytes > 0) {
      out += found.character == '\\' ? '/' : found.character;
      i += found.bytes - 1;
    } else {
      out += rest[0];
    }
  }
  return out;
}

bool HidesDotSegment(std::string_view path) {
  // The usual name has none of these bytes.
  const bool suspicious = std::any_of(path.begin(), path.end(), [](char c) {
    return c == '%' || c == '\\' || c == ';' || c == '\xc0' || c == '\xc1' || c == '\xe0' ||
           c == '\xf0';
  });
  if (!suspicious) return false;
  std::string seen(path);
  for (int round = 0; round < kMaxRounds; ++round) {
    std::string next = ReadCarelessly(seen);
    if (HasDotSegment(next)) return true;
    if (next == seen) return false;
    seen = std::move(next);
  }
  return true;
}

}  // namespace

Result<std::string> ParsePath(std::string_view raw_path, const Limits& limits) {
  std::string path;
  path.reserve(raw_path.size());
  for (size_t i = 0; i < raw_path.size(); ++i) {
    char c = raw_path[i];
    if (c == '%') {
      const int decoded = HexPair(raw_path.substr(i));
      if (decoded < 0) return BadUrl("The path has a bad percent-escape.");
      c = static_cast<char>(decoded);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return BadUrl("The path has a control character.");
    }
    if (c == '/' && (path.empty() || path.back() == '/')) continue;
    path += c;
  }
  if (path.ends_with('/')) path.pop_back();
  if (path.size() > limits.max_path_bytes) return BadUrl("The path is too long.");
  if (HasDotSegment(path) || HidesDotSegment(path)) return BadUrl("The path has a dot segment.");
  return path;
}

bool IsVideoPath(std::string_view path, std::span<const std::string> formats) {
  const std::string_view name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view extension = name.substr(dot + 1);
  return std::any_of(formats.begin(), formats.end(),
                     [&](const std::string& format) { return EqualsLower(extension, format); });
}

}  // namespace vr::variant
