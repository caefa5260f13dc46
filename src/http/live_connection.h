// What the server knows of each of its connections, whatever it speaks; and what those that speak
// have in common. Inside http/ only.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "http/message.h"
#include "http/parser.h"
#include "http/server_core.h"
#include "io/task.h"

namespace vr::http {

using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, io::Executor>;
using LoopTimer = boost::asio::basic_waitable_timer<
    std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, io::Executor>;

/// Bound to its loop.
class LiveConnection {
 public:
  virtual ~LiveConnection() = default;
  /// Ends now when idle, else after the running answers.
  virtual void Drain() = 0;
  /// Ends as soon as possible; answers under way are cut.
  virtual void Cut() = 0;
};

inline SteadyTime SteadyNow() {
  return std::chrono::steady_clock::now();
}
inline double SecondsBetween(SteadyTime a, SteadyTime b) {
  return std::chrono::duration<double>(b - a).count();
}

/// 500 with a fixed text.
Response InternalError();
/// The answer to a request that the server itself refuses.
Response RefusalOf(const ParseError& error);
/// The client's X-Request-ID if it is sane, else a new one.
std::string RequestIdFor(const Request& request);
std::string WhatOf(std::exception_ptr failure);
ParseLimits LimitsOf(const ServerOptions& options);
/// The next close() sends a reset: nobody can take what was sent for a complete answer.
void ResetOnClose(int fd);
/// Bytes the other side has not acknowledged; nullopt when the kernel does not say.
std::optional<int> UnsentBytes(int fd);

}  // namespace vr::http
