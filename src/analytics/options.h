// Settings of analytics. See docs/configuration.md, section "analytics".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace vr::analytics {

struct Options {
  bool enabled = true;
  std::chrono::seconds interval{10};  ///< between saves: what a kill loses at most
  uint32_t keep_hours = 192;          ///< hours kept one by one
  uint32_t keep_days = 400;           ///< days (UTC) kept one by one
  std::string dir = "./var/analytics";
};

/// Minutes kept one by one.
inline constexpr uint32_t kKeepMinutes = 180;

}  // namespace vr::analytics
