// Parse() on any bytes, one URL per line (two at most): never crashes; what it takes is canonical
// (written out again it is the same question with the same key); two URLs share a key exactly when
// they ask the same. Build with the `fuzz` preset.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "variant/key.h"
#include "variant/parse.h"

namespace {

using namespace vr::variant;  // NOLINT: a fuzz target is its own world

constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kUrlNames{{
    {"t", "time"},
    {"d", "duration"},
    {"a", "audio"},
    {"spd", "speed"},
    {"rot", "rotate"},
    {"br", "bitrate"},
    {"count", "imageCount"},
    {"cols", "columns"},
    {"int", "interval"},
    {"f", "format"},
}};

/// The key's options as a query.
std::string QueryOf(const VariantRequest& request, const std::string& key) {
  std::string query = "mode=" + std::string(ToString(request.mode));
  std::string encoded;
  AppendEncoded(encoded, request.source_path);
  size_t at = ToString(request.mode).size() + 1 + encoded.size();
  while (at < key.size()) {
    if (key[at] != ':') std::abort();
    const size_t end = std::min(key.find(':', at + 1), key.size());
    const std::string_view option = std::string_view(key).substr(at + 1, end - at - 1);
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) std::abort();
    std::string_view name = option.substr(0, equals);
    for (const auto& [in_key, in_url] : kUrlNames) {
      if (name == in_key) name = in_url;
    }
    std::string value(option.substr(equals + 1));
    if (name == "crop") {
      for (char& c : value) c = c == ',' ? ':' : c;
    }
    query.append("&").append(name).append("=").append(value);
    at = end;
  }
  return query;
}

void CheckPath(std::string_view path) {
  if (path.starts_with('/') || path.ends_with('/')) std::abort();
  while (!path.empty()) {
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty() || segment == "." || segment == "..") std::abort();
    for (const char c : segment) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
    }
    path.remove_prefix(std::min(path.size(), segment.size() + 1));
  }
}

std::optional<VariantRequest> Check(std::string_view url, const Options& options) {
  const size_t mark = url.find('?');
  const std::string_view path = url.substr(0, mark);
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : url.substr(mark + 1);
  const auto parsed = Parse(path, query, options);
  if (!parsed.ok()) {
    if (parsed.error().reason.empty() || parsed.error().public_message.empty()) std::abort();
    return std::nullopt;
  }
  for (const char c : RenderWarnings(parsed->warnings)) {
    if (c < 0x20 || c == 0x7f) std::abort();  // it becomes a field's value
  }
  const VariantRequest& request = parsed->request;
  CheckPath(request.source_path);
  const std::string key = KeyOf(request);
  if (key.size() > kMaxKeyBytes) std::abort();
  for (const char c : key) {
    if (c <= ' ' || c == 0x7f || static_cast<unsigned char>(c) >= 0x80) std::abort();
  }
  std::string encoded;
  AppendEncoded(encoded, request.source_path);
  const auto again = Parse(encoded, query, options);
  if (!again.ok() || again->request != request || KeyOf(again->request) != key) std::abort();
  if (key.find(":sha256=") == std::string::npos) {
    const auto printed = Parse(encoded, QueryOf(request, key), options);
    if (!printed.ok() || printed->request != request || KeyOf(printed->request) != key ||
        !printed->warnings.empty()) {
      std::abort();
    }
  }
  if (TagsOf(request, {}).size() < 3 || DigestOf(request, "s", "r").is_zero()) std::abort();
  return request;
}

bool SameQuestion(const VariantRequest& a, const VariantRequest& b) {
  return a.mode == b.mode && a.source_path == b.source_path && a.derivative == b.derivative &&
         a.own == b.own;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Options lenient;
  static const Options strict = [] {
    Options options;
    options.validation = Validation::kStrict;
    return options;
  }();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const auto one = Check(text.substr(0, line), lenient);
  Check(text.substr(0, line), strict);
  if (line == std::string_view::npos) return 0;
  const auto two = Check(text.substr(line + 1), lenient);
  if (one && two && (KeyOf(*one) == KeyOf(*two)) != SameQuestion(*one, *two)) std::abort();
  return 0;
}
