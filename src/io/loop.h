// Loops: one single-threaded io_context per core. A connection, and everything it awaits, stays on
// one.
//
// `LoopPool` is thread-safe; a loop's I/O objects are bound to that loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/task.h"

namespace vr::io {

class Loop {
 public:
  explicit Loop(int index) : index_(index), context_(1) {
    // asio opens a context's own descriptors with its first timer or socket. Later there may be
    // none left, and a connection that was accepted would be lost for that.
    boost::asio::steady_timer first(context_);
  }
  int index() const { return index_; }
  boost::asio::io_context& context() { return context_; }
  Executor executor() { return context_.get_executor(); }
  template <class F>
  void Post(F&& f) {
    boost::asio::post(context_, std::forward<F>(f));
  }
  /// The loop whose thread this is; null on other threads.
  static Loop* Current();

 private:
  friend class LoopPool;
  const int index_;
  boost::asio::io_context context_;
};

/// Has `task` run on `executor`; the caller goes on where it was.
Task<void> RunOn(Executor executor, Task<void> task);

class LoopPool {
 public:
  /// @param count number of loops, 0 = one per core.
  /// @param name  of their threads, which have a number behind it
  explicit LoopPool(int count, std::string name = "loop");
  ~LoopPool();
  /// @param turns  of the threads, see TakeShortTurns(); nullopt: the kernel's
  void Start(std::optional<std::chrono::microseconds> turns = std::nullopt);
  /// Stops the loops at once and joins their threads; handlers still queued are destroyed unrun
  /// when the pool is destroyed.
  void Stop();

  size_t size() const { return loops_.size(); }
  Loop& operator[](size_t i) { return *loops_[i]; }
  /// Round robin, for work that belongs to no connection.
  Loop& Any();

 private:
  const std::string name_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<boost::asio::executor_work_guard<Executor>> guards_;
  std::vector<std::thread> threads_;
  std::atomic<size_t> next_{0};
};

}  // namespace vr::io
