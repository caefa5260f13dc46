// Percent-encoding and query strings (RFC 3986; application/x-www-form-urlencoded). Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vr::http {

/// Decodes %XX once. @errors kInvalidArgument/INVALID_URL: '%' without two hex digits.
Result<std::string> PercentDecode(std::string_view text);
/// The same with '+' as space, for query names and values.
Result<std::string> QueryDecode(std::string_view text);

/// Encodes every byte that is neither unreserved (RFC 3986 §2.3) nor in `also_allowed`. Upper-case
/// hex.
std::string PercentEncode(std::string_view text, std::string_view also_allowed = {});
/// What may stay as it is in a path besides unreserved characters: pchar and '/'.
inline constexpr std::string_view kPathChars = "/!$&'()*+,;=:@";

using QueryPairs = std::vector<std::pair<std::string, std::string>>;
/// Splits "a=1&b=2" into decoded pairs in order; no '=' gives an empty value, empty pieces are
/// skipped.
/// @errors kInvalidArgument/INVALID_URL
Result<QueryPairs> SplitQuery(std::string_view query);

}  // namespace vr::http
