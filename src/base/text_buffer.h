// A buffer that text is appended to, piece by piece, and that keeps its memory for the next text.
// For what every request writes: appending a short constant is a check and a few moves.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace vr {

class TextBuffer {
 public:
  void Append(std::string_view text) {
    Reserve(text.size());
    std::memcpy(data_.get() + size_, text.data(), text.size());
    size_ += text.size();
  }
  void Append(char c) {
    Reserve(1);
    data_[size_++] = c;
  }
  void AppendNumber(uint64_t value) {
    constexpr size_t kMostDigits = 20;
    Reserve(kMostDigits);
    char* const begin = data_.get() + size_;
    size_ += static_cast<size_t>(std::to_chars(begin, begin + kMostDigits, value).ptr - begin);
  }

  std::string_view view() const { return {data_.get(), size_}; }
  size_t capacity() const { return capacity_; }
  /// @param kept  memory beyond that many bytes is given back
  void Clear(size_t kept) {
    size_ = 0;
    if (capacity_ <= kept) return;
    data_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr size_t kLeast = 1024;

  void Reserve(size_t more) {
    if (capacity_ - size_ < more) Grow(more);
  }
  void Grow(size_t more) {
    const size_t wanted = std::max({kLeast, 2 * capacity_, size_ + more});
    auto larger = std::make_unique_for_overwrite<char[]>(wanted);
    if (size_ > 0) std::memcpy(larger.get(), data_.get(), size_);
    data_ = std::move(larger);
    capacity_ = wanted;
  }

  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace vr
