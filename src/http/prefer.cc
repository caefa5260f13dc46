#include "http/prefer.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "http/ascii.h"

namespace vr::http {

namespace {

/// Where the first of `marks` stands outside of a quoted string.
size_t FindUnquoted(std::string_view text, std::string_view marks) {
  bool is_quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      is_quoted = !is_quoted;
    } else if (!is_quoted && marks.find(text[i]) != std::string_view::npos) {
      return i;
    }
  }
  return text.size();
}

std::string_view Unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

std::optional<std::chrono::seconds> ParseWait(std::string_view text) {
  constexpr uint32_t kMostSeconds = 86'400;
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsDigit)) return std::nullopt;
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || seconds > kMostSeconds) seconds = kMostSeconds;
  return std::chrono::seconds(seconds);
}

}  // namespace

Preferences ParsePrefer(std::string_view field) {
  Preferences out;
  bool has_wait = false;
  while (!field.empty()) {
    const size_t end = FindUnquoted(field, ",");
    std::string_view item = field.substr(0, end);
    field.remove_prefix(std::min(end + 1, field.size()));
    item = Trim(item.substr(0, FindUnquoted(item, ";")));  // parameters: none is defined
    const size_t equals = FindUnquoted(item, "=");
    const std::string_view name = Trim(item.substr(0, equals));
    const std::string_view value =
        equals < item.size() ? Unquoted(Trim(item.substr(equals + 1))) : std::string_view();
    // An empty value is the same as none (§2).
    if (EqualsNoCase(name, "respond-async") && value.empty()) out.respond_async = true;
    if (EqualsNoCase(name, "wait") && !has_wait) {
      has_wait = true;
      out.wait = ParseWait(value);
    }
  }
  return out;
}

}  // namespace vr::http
