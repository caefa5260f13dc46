// What libav, x264 and glibc do at first use, done once in the zygote: tables, CPU detection,
// lazily loaded libraries. Workers inherit it and can do it no more. Starts no thread.
#pragma once

#include <string>

namespace vr::worker {

/// @return the recipe id for Hello
std::string WarmUp();

}  // namespace vr::worker
