// Bytes of persistent formats: big-endian numbers and length-prefixed strings, and a reader that
// remembers when it ran off the end. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vr {

/// Appends the lower `bytes` bytes of `value`, highest first.
inline void PutUint(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((value >> shift) & 0xff));
  }
}

/// Reads what PutUint wrote. `offset + bytes` must lie within `in`.
inline uint64_t GetUint(std::string_view in, size_t offset, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(in[offset + i]);
  return value;
}

/// Appends a length of 4 bytes and the bytes themselves.
inline void PutBytes(std::string& out, std::string_view bytes) {
  PutUint(out, bytes.size(), 4);
  out.append(bytes);
}

/// Takes values off the front of a row. After the first one that is not all there everything reads
/// as zero or empty, and failed() says so. Thread-compatible; the row must outlive it.
class ByteReader {
 public:
  explicit ByteReader(std::string_view rest) : rest_(rest) {}
  uint64_t Uint(size_t bytes) {
    if (failed_ || rest_.size() < bytes) {
      failed_ = true;
      return 0;
    }
    const uint64_t value = GetUint(rest_, 0, bytes);
    rest_.remove_prefix(bytes);
    return value;
  }
  std::string Bytes() {
    const uint64_t size = Uint(4);
    if (failed_ || rest_.size() < size) {
      failed_ = true;
      return {};
    }
    std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace vr
