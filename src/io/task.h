// Task<T>: a coroutine bound to one loop. It resumes on the loop it was started on.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vr::io {

using Executor = boost::asio::io_context::executor_type;

template <class T>
using Task = boost::asio::awaitable<T, Executor>;

/// Completion token for asynchronous operations inside a Task.
inline constexpr boost::asio::use_awaitable_t<Executor> kUseTask{};

}  // namespace vr::io

namespace vr {
using io::Task;
}  // namespace vr
