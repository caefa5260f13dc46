// What the store's journal says of a purge under way, so that one that a crash interrupted is
// finished at the next start. Bytes: docs/formats/store.md §8. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cache/purge.h"

namespace vr::cache {

struct PurgeIntent {
  PurgeScope scope;
  PurgeMode mode = PurgeMode::kHard;  ///< never kDryRun
  int64_t horizon_ms = 0;             ///< entries created later are not meant
};

std::string EncodeIntent(const PurgeIntent& intent);
/// @errors kUnsupported (version of a newer program), kCorruption
Result<PurgeIntent> DecodeIntent(std::string_view bytes);
/// What is done when a row cannot be read: somebody wanted something gone, and we do not know what.
PurgeIntent WorstIntent();

/// For people: `hard purge of tag "t1", requested at 1700000000000`.
std::string Describe(const PurgeIntent& intent);

}  // namespace vr::cache
