// Percent-escapes (RFC 3986 §2.1). Internal to the room.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vr::variant {

constexpr int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The byte of an escape `%XX` at the start of `text`; -1 when there is none.
constexpr int HexPair(std::string_view text) {
  if (text.size() < 3 || text[0] != '%') return -1;
  const int high = HexDigit(text[1]);
  const int low = HexDigit(text[2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/// A name or value of a query: escapes undone, '+' a space. nullopt: bad escape.
inline std::optional<std::string> DecodeQuery(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int decoded = HexPair(text.substr(i));
      if (decoded < 0) return std::nullopt;
      out += static_cast<char>(decoded);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace vr::variant
