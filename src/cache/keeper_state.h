// What the keeper of the durable store has learned, as the file that keeps it over restarts. Bytes:
// docs/formats/capacity.md. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vr::cache {

struct KeptUse {
  uint64_t id = 0;
  int64_t used_ms = 0;
  uint32_t uses = 0;
  float ttl_factor = 1;
};

struct KeeperState {
  int64_t saved_ms = 0;
  std::string policy;  ///< its name; what another learned is of no use
  std::vector<KeptUse> uses;
  std::vector<std::pair<std::string, std::string>> policies;  ///< Ledger::SavePolicies()
};

std::string EncodeState(const KeeperState& state);
/// @errors kUnsupported (another version), kCorruption
Result<KeeperState> DecodeState(std::string_view bytes);

}  // namespace vr::cache
