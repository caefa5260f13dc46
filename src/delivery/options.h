// Settings of the delivery room: who may bypass the caches and see explanations.
#pragma once

#include <string>
#include <vector>

namespace vr::delivery {

struct Options {
  bool debug_enabled = false;  ///< every request is a debug request
  std::vector<std::string> debug_addresses = {"127.0.0.1",
                                              "::1"};  ///< peers whose debug headers count
  bool allow_public_bypass = true;  ///< false: bypass flags count from debug_addresses only
};

}  // namespace vr::delivery
