#include "config/units.h"

#include <charconv>
#include <cmath>
#include <iterator>

#include "config/node.h"

namespace vr::config {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};

constexpr Unit kTimeUnits[] = {  // milliseconds, largest first
    {"d", 86'400'000},
    {"h", 3'600'000},
    {"m", 60'000},
    {"s", 1000},
    {"ms", 1}};
constexpr Unit kByteUnits[] = {{"TiB", 1LL << 40},
                               {"TB", 1'000'000'000'000},
                               {"GiB", 1LL << 30},
                               {"GB", 1'000'000'000},
                               {"MiB", 1LL << 20},
                               {"MB", 1'000'000},
                               {"KiB", 1LL << 10},
                               {"KB", 1000},
                               {"B", 1}};
constexpr double kMaxMs = 100.0 * 366 * 86'400'000;
constexpr double kMaxBytes = 9.0e18;

/// Takes a plain decimal number (digits, at most one point) off the front.
std::optional<double> TakeNumber(std::string_view& text) {
  size_t end = 0;
  size_t points = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) {
    points += text[end] == '.' ? 1 : 0;
    ++end;
  }
  if (end == 0 || points > 1 || text[0] == '.' || text[end - 1] == '.') return std::nullopt;
  double value = 0;
  const auto [ptr, error] = std::from_chars(text.data(), text.data() + end, value);
  if (error != std::errc() || ptr != text.data() + end) return std::nullopt;
  text.remove_prefix(end);
  return value;
}

std::string_view TakeLetters(std::string_view& text) {
  size_t end = 0;
  while (end < text.size() &&
         ((text[end] >= 'a' && text[end] <= 'z') || (text[end] >= 'A' && text[end] <= 'Z'))) {
    ++end;
  }
  const std::string_view letters = text.substr(0, end);
  text.remove_prefix(end);
  return letters;
}

}  // namespace

std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [ptr, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || ptr != text.data() + text.size() ||
      !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t value = 0;
  const auto [ptr, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (!text.empty() && error == std::errc() && ptr == text.data() + text.size()) return value;
  const std::optional<double> number = ParseNumber(text);
  if (!number || *number != std::floor(*number) || std::abs(*number) > 9.0e15) return std::nullopt;
  return static_cast<int64_t>(*number);
}

std::optional<bool> ParseBool(std::string_view text) {
  for (std::string_view yes : {"true", "1", "yes", "on"}) {
    if (EqualsIgnoreCase(text, yes)) return true;
  }
  for (std::string_view no : {"false", "0", "no", "off"}) {
    if (EqualsIgnoreCase(text, no)) return false;
  }
  return std::nullopt;
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  if (const std::optional<int64_t> plain = ParseInteger(text)) {
    return *plain < 0 ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(*plain));
  }
  const std::optional<double> number = TakeNumber(text);
  if (!number) return std::nullopt;
  if (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  for (const Unit& unit : kByteUnits) {
    if (!EqualsIgnoreCase(text, unit.name)) continue;
    const double bytes = std::floor(*number * static_cast<double>(unit.factor));
    if (bytes > kMaxBytes) return std::nullopt;
    return static_cast<uint64_t>(bytes);
  }
  return std::nullopt;
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes == 0) return "0B";
  for (const Unit& unit : kByteUnits) {
    const auto factor = static_cast<uint64_t>(unit.factor);
    if (bytes % factor == 0) return std::to_string(bytes / factor) + std::string(unit.name);
  }
  return std::to_string(bytes) + "B";
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  double total = 0;
  if (const std::optional<double> plain = ParseNumber(text)) {
    total = *plain * 1000;
  } else {
    size_t next_unit = 0;
    if (text.empty()) return std::nullopt;
    while (!text.empty()) {
      const std::optional<double> number = TakeNumber(text);
      if (!number) return std::nullopt;
      const std::string_view name = TakeLetters(text);
      while (next_unit < std::size(kTimeUnits) && kTimeUnits[next_unit].name != name) ++next_unit;
      if (next_unit == std::size(kTimeUnits)) return std::nullopt;
      total += *number * static_cast<double>(kTimeUnits[next_unit].factor);
      ++next_unit;
    }
  }
  const double rounded = std::round(total);
  if (!(total >= 0) || total > kMaxMs || std::abs(total - rounded) > 1e-6) return std::nullopt;
  return std::chrono::milliseconds(static_cast<int64_t>(rounded));
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  int64_t rest = duration.count();
  if (rest == 0) return "0s";
  std::string out;
  for (const Unit& unit : kTimeUnits) {
    if (rest < unit.factor) continue;
    out += std::to_string(rest / unit.factor) + std::string(unit.name);
    rest %= unit.factor;
  }
  return out;
}

}  // namespace vr::config
