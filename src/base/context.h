// What travels with a request through everything that may wait: until when, and under which name.
// Cheap to copy. Immutable in use.
#pragma once

#include <chrono>
#include <string>

#include "base/clock.h"

namespace vr {

struct Context {
  /// Waiting past this point ends with kDeadlineExceeded. max() = no limit.
  SteadyTime deadline = SteadyTime::max();
  std::string request_id;

  static Context WithTimeout(std::chrono::milliseconds timeout, std::string id = {}) {
    return Context{std::chrono::steady_clock::now() + timeout, std::move(id)};
  }
};

}  // namespace vr
