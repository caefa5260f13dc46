#include "io/turns.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace vr::io {

namespace {

/// The kernel's struct sched_attr in its first version; glibc has none before 2.41.
struct Attributes {
  uint32_t size = 48;
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};
static_assert(sizeof(Attributes) == 48);

constexpr uint64_t kResetOnFork = 0x01;

bool Read(Attributes& now) {
  return ::syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) == 0;
}

}  // namespace

bool TakeShortTurns(std::chrono::microseconds length) {
  Attributes now;
  if (!Read(now) || now.policy != SCHED_OTHER) return false;  // an operator knows better
  // Kernels that have no such thing say zero.
  if (now.runtime_ns == 0) return false;
  now.flags |= kResetOnFork;
  now.runtime_ns =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(length).count());
  return ::syscall(SYS_sched_setattr, 0, &now, 0) == 0;
}

}  // namespace vr::io
