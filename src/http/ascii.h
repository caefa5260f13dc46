// Character classes of RFC 9110 §5.6 and ASCII comparisons that no locale can bend. Pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "base/text_scan.h"

namespace vr::http {

/// Letters, digits and `others`.
constexpr std::array<bool, 256> MakeCharTable(std::string_view others) {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (char c : others) table[static_cast<unsigned char>(c)] = true;
  return table;
}
inline constexpr std::array<bool, 256> kTokenTable = MakeCharTable("!#$%&'*+-.^_`|~");

/// tchar of RFC 9110 §5.6.2.
constexpr bool IsTokenChar(char c) {
  return kTokenTable[static_cast<unsigned char>(c)];
}
constexpr bool IsToken(std::string_view text) {
  for (char c : text) {
    if (!IsTokenChar(c)) return false;
  }
  return !text.empty();
}
/// What a field value may hold: HTAB, SP, VCHAR, obs-text.
constexpr bool IsFieldValueChar(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u >= 0x20 && u != 0x7f) || u == '\t';
}
/// Length of the part at the beginning of `text` that a field value may hold.
inline size_t FieldValueLength(std::string_view text) {
  return GoodPrefix(
      text, [](EightBytes bytes) { return bytes.outside(0x20); },
      [](char c) { return IsFieldValueChar(c); });
}
inline bool IsFieldValue(std::string_view text) {
  return FieldValueLength(text) == text.size();
}
/// VCHAR or obs-text, and no fragment: what a request target may hold. Wider than RFC 3986: clients
/// send raw UTF-8 and "|" and mean one thing by it.
constexpr bool IsTargetChar(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u > 0x20 && u != 0x7f && c != '#';
}
inline bool IsTarget(std::string_view text) {
  const size_t length = GoodPrefix(
      text, [](EightBytes bytes) { return bytes.outside(0x21) | bytes.equal('#'); },
      [](char c) { return IsTargetChar(c); });
  return length == text.size() && !text.empty();
}
constexpr bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
constexpr char ToLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
/// Value of a hex digit, -1 for anything else.
constexpr int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
constexpr bool EqualsNoCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (ToLower(a[i]) != ToLower(b[i])) return false;
  }
  return true;
}
/// Without leading and trailing SP and HTAB (OWS).
constexpr std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}
/// Cuts the next element off a comma-separated list without quoted strings; trimmed, may be empty.
constexpr std::string_view NextListItem(std::string_view& rest) {
  const size_t comma = rest.find(',');
  const std::string_view item = rest.substr(0, comma);
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  return Trim(item);
}

}  // namespace vr::http
