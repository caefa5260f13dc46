#include "io/notifier.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace vr::io {

namespace asio = boost::asio;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;

/// Touched only on its executor's thread once it is registered.
struct Notifier::Waiter {
  explicit Waiter(Executor e) : executor(e), timer(e) {}
  Executor executor;
  Timer timer;
  bool notified = false;
};

Notifier::Notifier() = default;
Notifier::~Notifier() = default;

uint64_t Notifier::ticket() const {
  MutexLock lock(mutex_);
  return ticket_;
}

void Notifier::NotifyAll() {
  std::vector<std::shared_ptr<Waiter>> waiters;
  {
    MutexLock lock(mutex_);
    ++ticket_;
    waiters.swap(waiters_);
  }
  while (!waiters.empty()) {
    const Executor executor = waiters.front()->executor;
    auto same_loop = std::partition(waiters.begin(), waiters.end(),
                                    [&](const auto& w) { return w->executor != executor; });
    std::vector<std::shared_ptr<Waiter>> group(same_loop, waiters.end());
    waiters.erase(same_loop, waiters.end());
    asio::post(executor, [group = std::move(group)] {
      for (const auto& w : group) {
        w->notified = true;
        w->timer.cancel();
      }
    });
  }
}

Task<bool> Notifier::WaitChange(uint64_t ticket, SteadyTime deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  auto waiter = std::make_shared<Waiter>(executor);
  {
    MutexLock lock(mutex_);
    if (ticket_ != ticket) co_return true;
    waiters_.push_back(waiter);
  }
  // The notifier posts to this loop, so its cancel() always finds the wait below already started.
  waiter->timer.expires_at(deadline);
  const auto token = asio::as_tuple(kUseTask);
  co_await waiter->timer.async_wait(token);
  if (!waiter->notified) {
    MutexLock lock(mutex_);
    if (ticket_ != ticket) co_return true;
    std::erase(waiters_, waiter);
  }
  co_return waiter->notified;
}

}  // namespace vr::io
