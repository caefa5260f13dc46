// Runs one Task to its end on a loop of its own; for tests.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <optional>
#include <stdexcept>

#include "io/task.h"

namespace vr::io::testing {

/// Stores the task's value; T need not be default-constructible.
template <class T>
Task<void> Keep(Task<T> task, std::optional<T>& out) {
  out.emplace(co_await std::move(task));
}

/// Drives a fresh loop until the task is done. Other threads may post to the loop meanwhile.
/// @throws what the task throws
template <class T>
T RunSync(Task<T> task) {
  boost::asio::io_context context(1);
  std::exception_ptr failure;
  auto guard = boost::asio::make_work_guard(context);
  if constexpr (std::is_void_v<T>) {
    boost::asio::co_spawn(context.get_executor(), std::move(task), [&](std::exception_ptr e) {
      failure = e;
      context.stop();
    });
    context.run();
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> result;
    boost::asio::co_spawn(context.get_executor(), Keep(std::move(task), result),
                          [&](std::exception_ptr e) {
                            failure = e;
                            context.stop();
                          });
    context.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*result);
  }
}

}  // namespace vr::io::testing
