#include "http/conditions.h"

#include "http/ascii.h"
#include "http/date.h"

namespace vr::http {

namespace {

bool IsWeak(std::string_view tag) {
  return tag.starts_with("W/");
}
std::string_view Opaque(std::string_view tag) {
  return IsWeak(tag) ? tag.substr(2) : tag;
}

/// Cuts one entity-tag off the front; empty when there is none (then the rest of the list is
/// unreadable).
std::string_view NextTag(std::string_view& rest) {
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t' || rest.front() == ',')) {
    rest.remove_prefix(1);
  }
  const size_t open = rest.starts_with("W/") ? 2 : 0;
  if (rest.size() <= open || rest[open] != '"') return {};
  const size_t close = rest.find('"', open + 1);
  if (close == std::string_view::npos) return {};
  const std::string_view tag = rest.substr(0, close + 1);
  rest.remove_prefix(close + 1);
  return tag;
}

template <class Equals>
bool ListMatches(std::string_view list, std::string_view etag, Equals equals) {
  if (Trim(list) == "*") return true;
  if (etag.empty()) return false;
  for (;;) {
    const std::string_view tag = NextTag(list);
    if (tag.empty()) return false;
    if (equals(tag, etag)) return true;
  }
}

std::chrono::sys_seconds Seconds(WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t);
}

/// A field that is a single value: seen twice, it means nothing.
struct Single {
  std::string_view value;
  int count = 0;
  void Take(std::string_view v) {
    value = v;
    ++count;
  }
  bool usable() const { return count == 1; }
};

}  // namespace

bool WeakEquals(std::string_view a, std::string_view b) {
  return Opaque(a) == Opaque(b);
}
bool StrongEquals(std::string_view a, std::string_view b) {
  return !IsWeak(a) && a == b;
}

bool IsEntityTag(std::string_view text) {
  text = Opaque(text);
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  for (char c : text.substr(1, text.size() - 2)) {
    const auto u = static_cast<unsigned char>(c);
    if (u <= 0x20 || u == 0x7f || c == '"') return false;
  }
  return true;
}

ConditionResult EvaluateConditions(const Request& request, const Validators& validators) {
  ConditionResult result;
  bool has_match = false, matched = false;
  bool has_none_match = false, none_matched = false;
  Single unmodified_since, modified_since, if_range, range;
  for (const Field& field : request.fields) {
    const char first = field.name.empty() ? '\0' : ToLower(field.name[0]);
    if (first == 'r') {
      if (EqualsNoCase(field.name, "range")) range.Take(field.value);
      continue;
    }
    if (first != 'i' || field.name.size() < 8 || field.name[2] != '-') continue;
    if (EqualsNoCase(field.name, "if-none-match")) {
      has_none_match = true;
      none_matched = none_matched || ListMatches(field.value, validators.etag, WeakEquals);
    } else if (EqualsNoCase(field.name, "if-match")) {
      has_match = true;
      matched = matched || ListMatches(field.value, validators.etag, StrongEquals);
    } else if (EqualsNoCase(field.name, "if-modified-since")) {
      modified_since.Take(field.value);
    } else if (EqualsNoCase(field.name, "if-unmodified-since")) {
      unmodified_since.Take(field.value);
    } else if (EqualsNoCase(field.name, "if-range")) {
      if_range.Take(field.value);
    }
  }

  const auto& modified = validators.last_modified;
  if (has_match) {
    if (!matched) {
      result.verdict = Verdict::kPreconditionFailed;
      return result;
    }
  } else if (unmodified_since.usable() && modified) {
    const auto date = ParseDate(unmodified_since.value);
    if (date && Seconds(*modified) > Seconds(*date)) {
      result.verdict = Verdict::kPreconditionFailed;
      return result;
    }
  }

  const bool is_read = request.method == Method::kGet || request.method == Method::kHead;
  if (has_none_match) {
    if (none_matched) {
      result.verdict = is_read ? Verdict::kNotModified : Verdict::kPreconditionFailed;
      return result;
    }
  } else if (is_read && modified_since.usable() && (modified || validators.date)) {
    const auto date = ParseDate(modified_since.value);
    if (date && Seconds(modified ? *modified : *validators.date) <= Seconds(*date)) {
      result.verdict = Verdict::kNotModified;
      return result;
    }
  }

  // §14.2: GET is the only method that has ranges; on others the field is ignored.
  if (request.method != Method::kGet || !range.usable()) return result;
  if (if_range.count == 0) {
    result.range = range.value;
  } else if (if_range.usable()) {
    bool same = false;
    if (IsEntityTag(if_range.value)) {
      same = !validators.etag.empty() && StrongEquals(if_range.value, validators.etag);
    } else if (modified) {
      const auto date = ParseDate(if_range.value);
      same = date && Seconds(*date) == Seconds(*modified);
    }
    if (same) result.range = range.value;
  }
  return result;
}

}  // namespace vr::http
