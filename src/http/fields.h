// Lists of fields that own their text, as the client receives them and the passthrough cache stores
// them (RFC 9110 §5). Order and repetition are kept. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vr::http {

using FieldList = std::vector<std::pair<std::string, std::string>>;

/// The first field of that name (ASCII case-insensitive).
std::optional<std::string_view> FirstValue(const FieldList& fields, std::string_view name);
/// All of that name joined by ", " (§5.3); empty when there is none.
std::string JoinedValues(const FieldList& fields, std::string_view name);
bool HasField(const FieldList& fields, std::string_view name);
void EraseFields(FieldList& fields, std::string_view name);

/// Cuts the next element off a comma-separated list (§5.6.1), trimmed, perhaps empty. A comma
/// inside a quoted string does not separate.
std::string_view NextElement(std::string_view& rest);

std::string LowerCase(std::string_view text);

}  // namespace vr::http
