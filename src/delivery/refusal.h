// Refusal: the answer to a request for which no layer was asked.
#pragma once

#include "base/error.h"
#include "cache/options.h"
#include "http/message.h"

namespace vr::delivery {

/// ErrorResponse with what every answer carries, and a note for the log.
http::Response Refusal(const http::Request& request, const Error& error,
                       const cache::TtlOptions& ttl = {});

}  // namespace vr::delivery
