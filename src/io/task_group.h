// TaskGroup: detached work that somebody owns. Close() refuses new work, WaitEmpty() waits for what
// runs. Declare it as the last member of its owner. Thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "io/task.h"

namespace vr::io {

class TaskGroup {
 public:
  TaskGroup();
  /// Closes; does not wait. What still runs keeps the group's state alive, but nothing else of the
  /// owner: call WaitEmpty() first, let the tasks own what they use, or stop the loops before.
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
