// The TTL table: how long a response may be reused when the source gave no explicit lifetime.
#pragma once

#include <chrono>

#include "cache/options.h"

namespace vr::cache {

/// How long a response with this HTTP status may be reused without revalidation (RFC 9111 §4.2.2,
/// our table by status class). Zero means: do not store. Pure function.
std::chrono::seconds TtlFor(int status, const TtlOptions& options);

}  // namespace vr::cache
