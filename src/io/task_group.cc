#include "io/task_group.h"

#include <boost/asio/co_spawn.hpp>
#include <condition_variable>
#include <exception>
#include <mutex>

#include "observe/log.h"

namespace vr::io {

struct TaskGroup::State {
  std::mutex mutex;
  std::condition_variable changed;
  size_t running = 0;
  bool closed = false;
};

namespace {

Task<void> RunKept(std::shared_ptr<std::function<Task<void>()>> f) {
  co_await (*f)();
}

}  // namespace

TaskGroup::TaskGroup() : state_(std::make_shared<State>()) {}

TaskGroup::~TaskGroup() {
  Close();
}

bool TaskGroup::Spawn(Executor executor, std::function<Task<void>()> f) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->closed) return false;
    ++state_->running;
  }
  auto kept = std::make_shared<std::function<Task<void>()>>(std::move(f));
  // Counted down when the handler is destroyed, so that a stopped loop's unrun tasks count as ended
  // too. Made in place: a temporary of it would count down once more.
  struct Ticket {
    explicit Ticket(std::shared_ptr<State> s) : state(std::move(s)) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    std::shared_ptr<State> state;
    ~Ticket() {
      std::lock_guard lock(state->mutex);
      --state->running;
      state->changed.notify_all();
    }
  };
  auto ticket = std::make_shared<Ticket>(state_);
  boost::asio::co_spawn(executor, RunKept(kept), [kept, ticket](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      LogError("task_failed", {{"what", e.what()}});
    } catch (...) {
      LogError("task_failed", {{"what", "unknown exception"}});
    }
  });
  return true;
}

void TaskGroup::Close() {
  std::lock_guard lock(state_->mutex);
  state_->closed = true;
}

bool TaskGroup::WaitEmpty(SteadyTime deadline) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_until(lock, deadline, [&] { return state_->running == 0; });
}

size_t TaskGroup::running() const {
  std::lock_guard lock(state_->mutex);
  return state_->running;
}

}  // namespace vr::io
