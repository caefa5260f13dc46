// TaskGroup: detached work that somebody owns. Close() refuses new work and waits for what runs.
// Declare it as the last member of its owner. Thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "io/task.h"

namespace vr::io {

class TaskGroup {
 public:
  TaskGroup();
  /// Waits (blocking the thread) for running work unless Close() already has; never destroy on a
  /// loop thread.
  ~TaskGroup();

  /// Starts `f()` on `executor`. An exception that escapes it is logged and swallowed.
  /// The callable is kept alive until its task ends. @return false when closed.
  bool Spawn(Executor executor, std::function<Task<void>()> f);
  /// Refuses new work.
  void Close();
  /// Blocks this (non-loop) thread until nothing runs. @return false when the deadline came first.
  bool WaitEmpty(SteadyTime deadline);
  size_t running() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace vr::io
