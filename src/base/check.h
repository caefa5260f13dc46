// VR_CHECK: for our own mistakes only. What a client, a disk, a peer or a video can cause is an
// Error.
#pragma once

namespace vr {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}  // namespace vr

#define VR_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::vr::CheckFailed(#condition, __FILE__, __LINE__))
