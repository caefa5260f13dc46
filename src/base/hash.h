// XXH3, 128 bit: body checksums, digests, ETags. Not cryptographic.
// Specification: XXH3 as of xxHash 0.8 (stable output since 0.8.0).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace vr {

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Hash128&) const = default;
  /// 32 lower-case hex digits, high part first.
  std::string ToHex() const;
  bool is_zero() const { return high == 0 && low == 0; }
};

Hash128 HashOf(std::string_view bytes);
uint64_t Hash64Of(std::string_view bytes);

/// Hash of a stream of bytes. Thread-compatible.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void Update(std::string_view bytes);
  Hash128 Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vr
