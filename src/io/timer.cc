#include "io/timer.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>

namespace vr::io {

namespace asio = boost::asio;

Task<void> SleepUntil(SteadyTime when) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>, Executor>
      timer(executor);
  timer.expires_at(when);
  const auto token = asio::as_tuple(kUseTask);
  co_await timer.async_wait(token);
}

}  // namespace vr::io
