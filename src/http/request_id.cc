#include "http/request_id.h"

#include <cstdint>
#include <random>

#include "http/ascii.h"

namespace vr::http {

std::string NewRequestId() {
  thread_local uint64_t state =
      (static_cast<uint64_t>(std::random_device()()) << 32) ^ std::random_device()();
  // splitmix64: a bijection of its counter, so a thread never repeats itself.
  state += 0x9e3779b97f4a7c15U;
  uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  x ^= x >> 31;
  std::string id(13, '0');  // fits the small-string buffer
  for (char& c : id) {
    c = "0123456789abcdefghijklmnopqrstuv"[x & 31];
    x >>= 5;
  }
  return id;
}

bool IsSaneRequestId(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  for (char c : id) {
    const char lower = ToLower(c);
    if (!(lower >= 'a' && lower <= 'z') && !IsDigit(c) && c != '.' && c != '_' && c != '-')
      return false;
  }
  return true;
}

}  // namespace vr::http
