// Counts of our own mistakes in making messages. Thread-safe.
#pragma once

#include <cstdint>

namespace vr::http {

/// Response fields that Response::Add dropped because they would have broken the message.
uint64_t RefusedResponseFields();

}  // namespace vr::http
