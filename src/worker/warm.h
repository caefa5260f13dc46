// What libav, x264 and glibc do at first use, done once in the zygote: tables, CPU detection,
// lazily loaded libraries. Workers inherit it and can do it no more. Starts no thread.
#pragma once

#include <string>

namespace vr::worker {

/// @return the recipe id for Hello
std::string WarmUp();

/// While it lives new memory is zero, as WarmUp() leaves it, or comes as it comes: for what encodes
/// nothing, and only reads what it has written. Main thread only.
class MemoryFill {
 public:
  explicit MemoryFill(bool on);
  ~MemoryFill();
  MemoryFill(const MemoryFill&) = delete;
  MemoryFill& operator=(const MemoryFill&) = delete;

 private:
  const bool before_;
};

}  // namespace vr::worker
