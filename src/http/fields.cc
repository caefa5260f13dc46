#include "http/fields.h"

#include <algorithm>

#include "http/ascii.h"

namespace vr::http {

std::optional<std::string_view> FirstValue(const FieldList& fields, std::string_view name) {
  for (const auto& [field, value] : fields) {
    if (EqualsNoCase(field, name)) return value;
  }
  return std::nullopt;
}

std::string JoinedValues(const FieldList& fields, std::string_view name) {
  std::string all;
  bool is_first = true;
  for (const auto& [field, value] : fields) {
    if (!EqualsNoCase(field, name)) continue;
    if (!is_first) all += ", ";
    all += value;
    is_first = false;
  }
  return all;
}

bool HasField(const FieldList& fields, std::string_view name) {
  return FirstValue(fields, name).has_value();
}

void EraseFields(FieldList& fields, std::string_view name) {
  std::erase_if(fields, [&](const auto& field) { return EqualsNoCase(field.first, name); });
}

std::string_view NextElement(std::string_view& rest) {
  bool is_quoted = false;
  size_t i = 0;
  for (; i < rest.size(); ++i) {
    const char c = rest[i];
    if (is_quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      is_quoted = !is_quoted;
    } else if (c == ',' && !is_quoted) {
      break;
    }
  }
  const std::string_view element = rest.substr(0, std::min(i, rest.size()));
  rest = i < rest.size() ? rest.substr(i + 1) : std::string_view();
  return Trim(element);
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), ToLower);
  return out;
}

}  // namespace vr::http
