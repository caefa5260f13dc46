// The Range field for byte ranges (RFC 9110 §14), resolved against a known size. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vr::http {

/// First and last byte, both included, as on the wire. @invariant first <= last
struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t length() const { return last - first + 1; }
  bool operator==(const ByteRange&) const = default;
};

/// More ranges than this are taken for an attack or a mistake: the whole representation is sent.
inline constexpr size_t kMaxRanges = 16;

struct RangeSet {
  enum class Kind {
    kWhole,          ///< absent, malformed, other unit, too many or wasteful: send everything (200)
    kOne,            ///< `one`
    kMany,           ///< `many`, at least two, none overlapping
    kUnsatisfiable,  ///< 416
  };
  Kind kind = Kind::kWhole;
  ByteRange one;
  std::vector<ByteRange> many;
};

/// Resolves a Range field's value for a representation of `size` bytes: clamps ends, drops ranges
/// that start behind the end, joins overlapping and touching ones (then in ascending order, else in
/// the order asked), and gives kWhole when the ranges together are longer than the representation.
RangeSet ParseRange(std::string_view value, uint64_t size);

/// What the Range field asks for before a size is known; for deciding what a cold request may get.
enum class RangeShape {
  kNone,       ///< absent, malformed or another unit
  kFromStart,  ///< exactly "bytes=0-"
  kOther,      ///< one range
  kSeveral,
};
RangeShape ShapeOfRange(std::string_view value);

/// "bytes 0-99/1234".
std::string ContentRange(ByteRange range, uint64_t size);
/// "bytes */1234", for 416.
std::string ContentRangeUnsatisfied(uint64_t size);

}  // namespace vr::http
