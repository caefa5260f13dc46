#include "http/live_connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "http/request_id.h"
#include "http/respond.h"

namespace vr::http {

Response InternalError() {
  Response response = ErrorResponse(500, "INTERNAL", "internal error");
  response.fields += "Cache-Control: no-store\r\n";
  response.close = true;
  return response;
}

Response RefusalOf(const ParseError& error) {
  Response response = ErrorResponse(error.status, error.code, error.message);
  response.Add("Cache-Control", "no-store");
  response.close = true;
  return response;
}

std::string RequestIdFor(const Request& request) {
  const auto id = request.Get("x-request-id");
  return id && IsSaneRequestId(*id) ? std::string(*id) : NewRequestId();
}

std::string WhatOf(std::exception_ptr failure) {
  try {
    std::rethrow_exception(std::move(failure));
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown exception";
  }
}

ParseLimits LimitsOf(const ServerOptions& options) {
  ParseLimits limits;
  limits.max_head_bytes = options.max_head_bytes;
  limits.max_target_bytes = options.max_target_bytes;
  limits.max_body_bytes = options.max_body_bytes;
  return limits;
}

void ResetOnClose(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

std::optional<int> UnsentBytes(int fd) {
  int unsent = 0;
  if (::ioctl(fd, SIOCOUTQ, &unsent) != 0) return std::nullopt;
  return unsent;
}

}  // namespace vr::http
