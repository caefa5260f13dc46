#include "http/cache_control.h"

#include <algorithm>

#include "http/ascii.h"
#include "http/fields.h"
#include "http/structured_fields.h"

namespace vr::http {

namespace {

/// RFC 9111 §1.2.2: what is larger, or overflows, counts as this.
constexpr int64_t kMaxDelta = int64_t{1} << 31;

/// The flags that have no argument.
struct Flag {
  std::string_view name;
  bool CacheDirectives::*member;
};
constexpr Flag kFlags[] = {
    {"no-store", &CacheDirectives::no_store},
    {"public", &CacheDirectives::is_public},
    {"must-revalidate", &CacheDirectives::must_revalidate},
    {"proxy-revalidate", &CacheDirectives::proxy_revalidate},
    {"must-understand", &CacheDirectives::must_understand},
    {"only-if-cached", &CacheDirectives::only_if_cached},
};
struct Delta {
  std::string_view name;
  DeltaSeconds CacheDirectives::*member;
};
constexpr Delta kDeltas[] = {
    {"max-age", &CacheDirectives::max_age},
    {"s-maxage", &CacheDirectives::s_maxage},
    {"min-fresh", &CacheDirectives::min_fresh},
    {"stale-while-revalidate", &CacheDirectives::stale_while_revalidate},
    {"stale-if-error", &CacheDirectives::stale_if_error},
};

template <class Row, size_t n>
const Row* FindRow(const Row (&rows)[n], std::string_view name) {
  const auto* row =
      std::find_if(std::begin(rows), std::end(rows), [&](const Row& r) { return r.name == name; });
  return row == std::end(rows) ? nullptr : row;
}

DeltaSeconds ReadDelta(std::string_view digits) {
  DeltaSeconds out;
  out.is_present = true;
  out.is_invalid = digits.empty() || !std::all_of(digits.begin(), digits.end(), IsDigit);
  if (out.is_invalid) return out;
  for (char c : digits) out.value = std::min(kMaxDelta, out.value * 10 + (c - '0'));
  return out;
}

void AddNames(std::vector<std::string>& names, std::string_view list) {
  while (!list.empty()) {
    const std::string_view name = NextElement(list);
    if (IsToken(name)) names.push_back(LowerCase(name));
  }
}

/// no-cache and private: alone, or with a list of the fields they are about.
void TakeListed(std::string_view name, bool has_argument, std::string_view argument,
                CacheDirectives& out) {
  const bool is_private = name == "private";
  std::vector<std::string> names;
  if (has_argument) AddNames(names, argument);
  if (names.empty()) {
    (is_private ? out.is_private : out.no_cache) = true;
    return;
  }
  auto& listed = is_private ? out.private_fields : out.no_cache_fields;
  listed.insert(listed.end(), names.begin(), names.end());
}

/// What is between the quotes, escapes undone; false when `text` is neither token nor quoted.
bool ReadArgument(std::string_view text, std::string& out) {
  if (IsToken(text)) {
    out = text;
    return true;
  }
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  text = text.substr(1, text.size() - 2);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out += text[i];
  }
  return true;
}

}  // namespace

CacheDirectives ParseCacheControl(std::string_view value) {
  CacheDirectives out;
  while (!value.empty()) {
    const std::string_view element = NextElement(value);
    const size_t equals = element.find('=');
    if (!IsToken(element.substr(0, equals))) continue;
    const std::string name = LowerCase(element.substr(0, equals));
    const bool has_argument = equals != std::string_view::npos;
    std::string argument;
    const bool is_readable = has_argument && ReadArgument(element.substr(equals + 1), argument);
    if (const Flag* flag = FindRow(kFlags, name)) {
      out.*flag->member = true;
    } else if (name == "no-cache" || name == "private") {
      TakeListed(name, has_argument, argument, out);
    } else if (name == "max-stale") {
      out.has_max_stale = true;
      if (has_argument) out.max_stale = ReadDelta(is_readable ? argument : std::string());
    } else if (const Delta* delta = FindRow(kDeltas, name)) {
      if ((out.*delta->member).is_present) continue;
      out.*delta->member = ReadDelta(is_readable ? argument : std::string());
    }
  }
  return out;
}

std::optional<CacheDirectives> ParseTargetedCacheControl(std::string_view value) {
  const std::optional<SfDictionary> dictionary = ParseSfDictionary(value);
  if (!dictionary || dictionary->empty()) return std::nullopt;
  CacheDirectives out;
  for (const SfMember& member : *dictionary) {
    const SfItem& item = member.value;
    const bool is_boolean = item.kind == SfItem::Kind::kBoolean;
    if (const Flag* flag = FindRow(kFlags, member.key)) {
      if (!is_boolean) return std::nullopt;
      out.*flag->member = item.boolean;
    } else if (member.key == "no-cache" || member.key == "private") {
      const bool is_listed = item.kind == SfItem::Kind::kString;
      if (!is_boolean && !is_listed) return std::nullopt;
      if (is_listed || item.boolean) TakeListed(member.key, is_listed, item.text, out);
    } else if (const Delta* delta = FindRow(kDeltas, member.key)) {
      if (item.kind != SfItem::Kind::kInteger || item.integer < 0) return std::nullopt;
      DeltaSeconds seconds;
      seconds.is_present = true;
      seconds.value = std::min(kMaxDelta, item.integer);
      out.*delta->member = seconds;
    }
  }
  return out;
}

}  // namespace vr::http
