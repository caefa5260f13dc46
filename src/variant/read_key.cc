#include "variant/read_key.h"

#include <algorithm>
#include <string>
#include <utility>

#include "variant/key.h"
#include "variant/parse.h"

namespace vr::variant {

namespace {

/// Names in keys and in queries (docs/formats/cache-key.md); nullptr: no option.
const char* ParameterOf(std::string_view name) {
  static constexpr std::pair<std::string_view, const char*> kNames[] = {
      {"derivative", "derivative"},
      {"w", "width"},
      {"h", "height"},
      {"f", "format"},
      {"q", "quality"},
      {"c", "compression"},
      {"fit", "fit"},
      {"t", "time"},
      {"d", "duration"},
      {"a", "audio"},
      {"fps", "fps"},
      {"spd", "speed"},
      {"rot", "rotate"},
      {"crop", "crop"},
      {"br", "bitrate"},
      {"count", "imageCount"},
      {"cols", "columns"},
      {"rows", "rows"},
      {"int", "interval"},
  };
  for (const auto& [in_key, in_query] : kNames) {
    if (in_key == name) return in_query;
  }
  return nullptr;
}

std::string_view TakePart(std::string_view& text) {
  const size_t end = std::min(text.size(), text.find(':'));
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(text.size(), end + 1));
  return part;
}

}  // namespace

std::optional<VariantRequest> ReadKey(std::string_view key, std::string_view source_path,
                                      const Options& options) {
  std::string_view rest = key;
  const std::string_view mode = TakePart(rest);
  std::string source;
  AppendEncoded(source, source_path);
  if (TakePart(rest) != source) return std::nullopt;
  std::string query;
  std::string_view format;
  bool says_mode = mode == ToString(Mode::kVideo);
  while (!rest.empty()) {
    const std::string_view part = TakePart(rest);
    const size_t equals = std::min(part.size(), part.find('='));
    const char* const parameter = ParameterOf(part.substr(0, equals));
    if (parameter == nullptr || equals == part.size()) return std::nullopt;
    std::string value(part.substr(equals + 1));
    if (part.starts_with("crop=")) std::replace(value.begin(), value.end(), ',', ':');
    if (part.starts_with("f=")) format = part.substr(equals + 1);
    if (part.starts_with("derivative=")) {
      const auto preset = options.derivatives.find(value);
      says_mode |= preset != options.derivatives.end() && preset->second.mode.has_value();
    }
    query += std::string(parameter) + '=' + value + '&';
  }
  // Where only presets may be asked for, a mode may not be.
  if (!says_mode) query += "mode=" + std::string(mode);
  Result<Parsed> parsed = Parse("/x", query, options);
  if (!parsed.ok() || !parsed->warnings.empty()) return std::nullopt;
  VariantRequest& request = parsed->request;
  request.source_path = source_path;
  if (request.resolved.format == Format::kAuto) {
    // Of a derivative: what it came out as stands beside its name.
    Result<Parsed> named =
        Parse("/x", "format=" + std::string(format) + "&mode=" + std::string(mode), options);
    if (!named.ok() || !named->request.own.format) return std::nullopt;
    request.resolved.format = request.own.format = named->request.own.format;
  }
  if (KeyOf(request) != key) return std::nullopt;
  return std::move(parsed->request);
}

}  // namespace vr::variant
