// Range and Content-Range on any bytes: what comes out lies inside the representation, is no more
// than it, and says the same when it is written and read again. Build with the `fuzz` preset.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "http/client.h"
#include "http/range.h"

namespace {

using namespace vr::http;  // NOLINT: a fuzz target is its own world

void CheckOne(ByteRange range, uint64_t size) {
  if (range.first > range.last || range.last >= size) std::abort();
  const auto read = ParseContentRange(ContentRange(range, size));
  if (!read || read->range != range || read->total != size) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 9) return 0;
  uint64_t length = 0;
  std::memcpy(&length, data, 8);
  length >>= data[8] % 64;  // also small ones
  const std::string_view value(reinterpret_cast<const char*>(data) + 9, size - 9);

  const RangeSet set = ParseRange(value, length);
  const RangeShape shape = ShapeOfRange(value);
  switch (set.kind) {
    case RangeSet::Kind::kWhole:
      break;
    case RangeSet::Kind::kOne:
      CheckOne(set.one, length);
      if (shape == RangeShape::kFromStart && set.one != ByteRange{0, length - 1}) std::abort();
      break;
    case RangeSet::Kind::kMany: {
      if (set.many.size() < 2 || set.many.size() > kMaxRanges) std::abort();
      if (shape != RangeShape::kSeveral) std::abort();
      std::vector<ByteRange> sorted = set.many;
      std::sort(sorted.begin(), sorted.end(),
                [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
      uint64_t left = length;
      for (size_t i = 0; i < sorted.size(); ++i) {
        CheckOne(sorted[i], length);
        if (i > 0 && sorted[i].first <= sorted[i - 1].last + 1) std::abort();
        if (sorted[i].length() > left) std::abort();
        left -= sorted[i].length();
      }
      break;
    }
    case RangeSet::Kind::kUnsatisfiable:
      if (shape == RangeShape::kNone || (shape == RangeShape::kFromStart && length > 0))
        std::abort();
      break;
  }
  if (shape == RangeShape::kNone && set.kind != RangeSet::Kind::kWhole) std::abort();

  if (const auto received = ParseContentRange(value)) {
    if (!received->range && !received->total) std::abort();
    if (received->range) {
      if (received->range->first > received->range->last) std::abort();
      if (received->total) CheckOne(*received->range, *received->total);
    }
  }
  return 0;
}
