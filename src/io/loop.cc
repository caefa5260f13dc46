#include "io/loop.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <string>
#include <utility>

#include "io/cores.h"
#include "io/turns.h"

namespace vr::io {

namespace {
thread_local Loop* current_loop = nullptr;
}  // namespace

Loop* Loop::Current() {
  return current_loop;
}

Task<void> RunOn(Executor executor, Task<void> task) {
  co_await boost::asio::co_spawn(executor, std::move(task), kUseTask);
}

LoopPool::LoopPool(int count, std::string name) : name_(std::move(name)) {
  const int n = count > 0 ? count : static_cast<int>(UsableCores());
  for (int i = 0; i < n; ++i) {
    loops_.push_back(std::make_unique<Loop>(i));
    guards_.push_back(boost::asio::make_work_guard(loops_.back()->context_));
  }
}

LoopPool::~LoopPool() {
  Stop();
}

void LoopPool::Start(std::optional<std::chrono::microseconds> turns) {
  for (auto& loop : loops_) {
    threads_.emplace_back([this, turns, loop = loop.get()] {
      current_loop = loop;
      if (turns) TakeShortTurns(*turns);
      pthread_setname_np(pthread_self(), (name_ + "-" + std::to_string(loop->index())).c_str());
      loop->context_.run();
      current_loop = nullptr;
    });
  }
}

void LoopPool::Stop() {
  for (auto& loop : loops_) loop->context_.stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

Loop& LoopPool::Any() {
  return *loops_[next_.fetch_add(1, std::memory_order_relaxed) % loops_.size()];
}

}  // namespace vr::io
