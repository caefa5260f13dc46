#include "io/turns.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <thread>

namespace vr::io {
namespace {

using namespace std::chrono_literals;

/// The kernel's answer: policy, nice value and the length of a turn in ns (0: unknown to it).
struct Turns {
  uint32_t policy = 0;
  int32_t nice = 0;
  uint64_t length_ns = 0;
};

Turns TurnsNow() {
  std::array<char, 48> raw{};
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, raw.data(), raw.size(), 0), 0);
  Turns turns;
  std::memcpy(&turns.policy, raw.data() + 4, sizeof turns.policy);
  std::memcpy(&turns.nice, raw.data() + 16, sizeof turns.nice);
  std::memcpy(&turns.length_ns, raw.data() + 24, sizeof turns.length_ns);
  return turns;
}

void OnAThread(const std::function<void()>& act) {
  std::thread(act).join();
}

TEST(ShortTurns, BelongToTheThreadAlone) {
  OnAThread([] {
    const Turns before = TurnsNow();
    const bool is_known = before.length_ns != 0;
    EXPECT_EQ(TakeShortTurns(300us), is_known);
    EXPECT_EQ(TurnsNow().length_ns, is_known ? 300'000u : 0u);
    EXPECT_EQ(TurnsNow().nice, before.nice);
    EXPECT_EQ(TurnsNow().policy, before.policy);
    OnAThread([&] { EXPECT_EQ(TurnsNow().length_ns, before.length_ns); });
  });
}

TEST(ShortTurns, KeepTheNiceValue) {
  OnAThread([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 3), 0);
    TakeShortTurns(300us);
    EXPECT_EQ(TurnsNow().nice, 3);
  });
}

TEST(ShortTurns, LeaveAPolicyAloneThatSomebodyChose) {
  OnAThread([] {
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_BATCH, &none), 0);
    EXPECT_FALSE(TakeShortTurns(300us));
    EXPECT_EQ(TurnsNow().policy, static_cast<uint32_t>(SCHED_BATCH));
  });
}

}  // namespace
}  // namespace vr::io
