// Looks at text eight bytes at a time: how long is the part at its beginning that needs no second
// look? Pure functions, for any byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace vr {

/// Eight bytes side by side. The tests never miss what they look for, but they may see it where it
/// is not, beside bytes of 0x80 and above: a second look at the single bytes decides.
class EightBytes {
 public:
  explicit EightBytes(const char* at) { std::memcpy(&bytes_, at, sizeof bytes_); }

  /// Not 0 when a byte is none of `first` .. 0x7e.
  /// @param first at most 0x7e
  uint64_t outside(uint8_t first) const {
    return ((bytes_ - All(first)) | bytes_ | (bytes_ + All(1))) & kHighs;
  }
  /// Not 0 when a byte is `value`.
  uint64_t equal(uint8_t value) const { return ((bytes_ ^ All(value)) - All(1)) & kHighs; }

 private:
  static constexpr uint64_t All(uint8_t value) { return 0x0101010101010101U * value; }
  static constexpr uint64_t kHighs = 0x8080808080808080U;

  uint64_t bytes_;
};

/// Length of the longest beginning of `text` whose every byte is_good.
/// @param may_be_bad  of eight bytes: 0 only when each of them is good
/// @param is_good     of one byte
template <class MayBeBad, class IsGood>
size_t GoodPrefix(std::string_view text, MayBeBad&& may_be_bad, IsGood&& is_good) {
  constexpr size_t kStep = 8;
  const char* const begin = text.data();
  const size_t size = text.size();
  size_t n = 0;
  for (;;) {
    while (n + kStep <= size && may_be_bad(EightBytes(begin + n)) == 0) n += kStep;
    const bool is_end = n + kStep > size;
    // The last few once more, with some in front of them that are known to be good.
    if (is_end && size >= kStep && may_be_bad(EightBytes(begin + size - kStep)) == 0) return size;
    const size_t end = is_end ? size : n + kStep;
    while (n < end && is_good(begin[n])) ++n;
    if (n < end || n == size) return n;
  }
}

}  // namespace vr
