// Structured Fields (RFC 9651, which replaces RFC 8941): parsing of dictionaries. Strict, as the
// RFC demands: one wrong byte and the whole field is ignored. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vr::http {

struct SfItem {
  enum class Kind {
    kInteger,
    kDecimal,
    kString,
    kToken,
    kBytes,
    kBoolean,
    kDate,
    kDisplayString,
    kInnerList
  };
  Kind kind = Kind::kBoolean;
  int64_t integer = 0;  ///< kInteger, kDate
  bool boolean = true;  ///< kBoolean
  std::string text;     ///< kString (unescaped), kToken; else empty
};

/// Members in order of first appearance, the last value of a key wins (§4.2.2). Parameters are read
/// and dropped.
struct SfMember {
  std::string key;
  SfItem value;
};
using SfDictionary = std::vector<SfMember>;

/// @return nullopt when the field does not parse (§4.2: "fails parsing"); an empty field is an
/// empty dictionary.
std::optional<SfDictionary> ParseSfDictionary(std::string_view text);

}  // namespace vr::http
