// Request ids. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace vr::http {

/// 13 characters of [0-9a-v], different for every call in this process and by chance in others.
std::string NewRequestId();
/// Whether a client's X-Request-ID may be used as it is: 1 to 64 of [A-Za-z0-9._-].
bool IsSaneRequestId(std::string_view id);

}  // namespace vr::http
