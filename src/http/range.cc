#include "http/range.h"

#include <algorithm>
#include <limits>

#include "http/ascii.h"

namespace vr::http {

namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

/// Digits only, at least one; numbers beyond 64 bit become the largest (they only ever get
/// clamped).
bool ParseSaturated(std::string_view digits, uint64_t& out) {
  if (digits.empty()) return false;
  out = 0;
  for (char c : digits) {
    if (!IsDigit(c)) return false;
    const auto d = static_cast<uint64_t>(c - '0');
    out = out > (kMax - d) / 10 ? kMax : out * 10 + d;
  }
  return true;
}

/// One range-spec as written. suffix: `first` unused, `last` is the suffix length.
struct Spec {
  uint64_t first = 0;
  uint64_t last = kMax;
  bool suffix = false;
};

bool ParseSpec(std::string_view text, Spec& spec) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view left = text.substr(0, dash);
  const std::string_view right = text.substr(dash + 1);
  if (left.empty()) {
    spec.suffix = true;
    return ParseSaturated(right, spec.last);
  }
  if (!ParseSaturated(left, spec.first)) return false;
  if (right.empty()) return true;
  return ParseSaturated(right, spec.last) && spec.first <= spec.last;
}

/// @return false when nothing of the representation is in it.
bool Resolve(const Spec& spec, uint64_t size, ByteRange& out) {
  if (spec.suffix) {
    if (spec.last == 0 || size == 0) return false;
    out = ByteRange{spec.last >= size ? 0 : size - spec.last, size - 1};
    return true;
  }
  if (spec.first >= size) return false;
  out = ByteRange{spec.first, std::min(spec.last, size - 1)};
  return true;
}

/// Joins what overlaps or touches. Leaves the order alone when nothing does.
void Join(std::vector<ByteRange>& ranges) {
  std::vector<ByteRange> sorted = ranges;
  std::sort(sorted.begin(), sorted.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
  std::vector<ByteRange> joined;
  for (const ByteRange& range : sorted) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  if (joined.size() != ranges.size()) ranges = std::move(joined);
}

/// The list behind "bytes="; false when this is not a byte range at all.
bool StripUnit(std::string_view& value) {
  constexpr std::string_view kUnit = "bytes=";
  value = Trim(value);
  if (value.size() < kUnit.size() || !EqualsNoCase(value.substr(0, kUnit.size()), kUnit))
    return false;
  value.remove_prefix(kUnit.size());
  return true;
}

}  // namespace

RangeSet ParseRange(std::string_view value, uint64_t size) {
  RangeSet set;
  if (!StripUnit(value)) return set;
  size_t count = 0;
  size_t satisfiable = 0;
  bool nonzero_suffix = false;
  while (!value.empty()) {
    const std::string_view item = NextListItem(value);
    if (item.empty()) continue;  // RFC 9110 §5.6.1.2: empty list elements are ignored
    Spec spec;
    if (!ParseSpec(item, spec) || ++count > kMaxRanges) return RangeSet();
    nonzero_suffix |= spec.suffix && spec.last != 0;
    ByteRange range;
    if (!Resolve(spec, size, range)) continue;
    if (++satisfiable == 1) {
      set.one = range;
    } else {
      if (satisfiable == 2) set.many.push_back(set.one);
      set.many.push_back(range);
    }
  }
  if (count == 0) return RangeSet();
  if (satisfiable == 0) {
    // A suffix of an empty representation is satisfiable (§14.1.2), but no Content-Range can say
    // so.
    set.kind =
        size == 0 && nonzero_suffix ? RangeSet::Kind::kWhole : RangeSet::Kind::kUnsatisfiable;
    return set;
  }
  if (satisfiable == 1) {
    set.kind = RangeSet::Kind::kOne;
    return set;
  }
  uint64_t left = size;
  for (const ByteRange& range : set.many) {
    if (range.length() > left) return RangeSet();
    left -= range.length();
  }
  Join(set.many);
  if (set.many.size() == 1) {
    set.one = set.many.front();
    set.many.clear();
    set.kind = RangeSet::Kind::kOne;
    return set;
  }
  set.kind = RangeSet::Kind::kMany;
  return set;
}

RangeShape ShapeOfRange(std::string_view value) {
  if (!StripUnit(value)) return RangeShape::kNone;
  size_t count = 0;
  bool from_start = false;
  while (!value.empty()) {
    const std::string_view item = NextListItem(value);
    if (item.empty()) continue;
    Spec spec;
    if (!ParseSpec(item, spec) || ++count > kMaxRanges) return RangeShape::kNone;
    from_start = !spec.suffix && spec.first == 0 && spec.last == kMax;
  }
  if (count == 0) return RangeShape::kNone;
  if (count > 1) return RangeShape::kSeveral;
  return from_start ? RangeShape::kFromStart : RangeShape::kOther;
}

std::string ContentRange(ByteRange range, uint64_t size) {
  std::string text = "bytes ";
  text += std::to_string(range.first);
  text += '-';
  text += std::to_string(range.last);
  text += '/';
  text += std::to_string(size);
  return text;
}

std::string ContentRangeUnsatisfied(uint64_t size) {
  return "bytes */" + std::to_string(size);
}

}  // namespace vr::http
