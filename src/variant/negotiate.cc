#include "variant/negotiate.h"

#include "variant/values.h"

namespace vr::variant {

namespace {

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// Takes what stands before the next `separator` off `text`.
std::string_view TakeUntil(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return Trim(part);
}

bool Accepts(std::string_view accept, std::string_view media_type) {
  while (!accept.empty()) {
    std::string_view range = TakeUntil(accept, ',');
    if (!EqualsLower(TakeUntil(range, ';'), media_type)) continue;
    bool refused = false;
    while (!range.empty()) {
      std::string_view parameter = TakeUntil(range, ';');
      const std::string_view name = TakeUntil(parameter, '=');
      const auto weight = EqualsLower(name, "q") ? ParseDecimal(parameter) : std::nullopt;
      if (weight && weight->millionths == 0) refused = true;
    }
    return !refused;
  }
  return false;
}

}  // namespace

bool NegotiateFormat(VariantRequest& request, std::string_view accept,
                     std::span<const Format> candidates) {
  if (request.resolved.format != Format::kAuto) return false;
  Format chosen = DefaultFormat(request.mode);
  bool varies = false;
  for (const Format candidate : candidates) {
    if (candidate == Format::kAuto || !IsCompatible(candidate, request.mode)) continue;
    if (candidate != chosen) varies = true;
    if (Accepts(accept, ContentType(candidate, request.mode))) {
      chosen = candidate;
      break;
    }
  }
  request.resolved.format = chosen;
  // Own `auto` too: the key names what is made. A derivative's `auto` adds its outcome to the key.
  request.own.format = chosen;
  return varies;
}

}  // namespace vr::variant
