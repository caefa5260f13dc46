// An origin's matcher and template with a path, all three of any bytes (one per line: matcher,
// template, path as in a URL): whatever is configured and asked for, no location climbs, however
// often it is decoded again. Build with the `fuzz` preset.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/url.h"
#include "origin/origin_table.h"

namespace {

using namespace vr::origin;  // NOLINT: a fuzz target is its own world

int Hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// One round of decoding, by other code than the one under test.
std::string Decoded(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && Hex(text[i + 1]) >= 0 && Hex(text[i + 2]) >= 0) {
      out += static_cast<char>(Hex(text[i + 1]) * 16 + Hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '\\' ? '/' : text[i];
    }
  }
  return out;
}

void CheckLevel(const std::string& path) {
  std::string seen = path;
  for (;;) {
    if (seen.find('\0') != std::string::npos) std::abort();
    const std::string framed = "/" + seen + "/";
    for (const char* climbs : {"/../", "/./", "\\..\\", "\\../", "/..\\", "/..;", "\\..;",
                               "/\xc0\xae\xc0\xae/", "/..\xc0\xaf", "/.\xc0\xae/"}) {
      if (framed.find(climbs) != std::string::npos) std::abort();
    }
    std::string next = Decoded(seen);
    if (next == seen) return;
    seen = std::move(next);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::string part[3];
  for (std::string& p : part) {
    const size_t end = rest.find('\n');
    p = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  if (part[0].size() > 200) return 0;  // RE2's own limits are not what is looked for

  if (const auto normal = NormalizePath(part[2])) {
    CheckLevel(*normal);
    if (normal->starts_with('/') || normal->ends_with('/') ||
        normal->find("//") != std::string::npos || NormalizePath(*normal) != normal) {
      std::abort();
    }
  }
  OriginOptions origin;
  origin.name = "o";
  origin.matcher = part[0];
  SourceOptions file;
  file.type = SourceType::kFile;
  file.root = "/srv";
  file.path = part[1];
  SourceOptions http = file;
  http.type = SourceType::kHttp;
  http.url = "http://origin.example/base/";
  origin.sources = {file, http};
  const auto problems = OriginTable::Check({origin});
  const auto table = OriginTable::Create({origin});
  if (table.ok() != problems.empty()) std::abort();
  if (!table.ok()) return 0;
  const auto decoded = vr::http::PercentDecode(part[2]);
  if (!decoded) return 0;
  const auto resolved = (*table)->Match(*decoded);
  if (!resolved) return 0;
  if (resolved->locations.size() != 2 || resolved->identity.empty()) std::abort();
  for (const Location& location : resolved->locations) {
    CheckLevel(location.path);
    if (location.base != "/srv" && location.base != "http://origin.example/base") std::abort();
  }
  return 0;
}
