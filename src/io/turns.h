// Turns: how the kernel shares a core between our loops and what else wants to run there.
#pragma once

#include <chrono>

namespace vr::io {

/// Gives the calling thread turns of this length on its core instead of the kernel's own (some
/// milliseconds). Its share stays the same; a thread with shorter turns gets them sooner: one that
/// wakes up need not wait for the end of another's turn. Threads and processes that it makes are
/// not affected. Linux 6.12 and newer, 100 µs to 100 ms.
/// @return false when the kernel does not know this or does not allow it: nothing has changed then
bool TakeShortTurns(std::chrono::microseconds length);

}  // namespace vr::io
