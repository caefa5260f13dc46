// Base search: which of what is held a variant can be made of (derivation.h has the rules). Runs on
// a miss only, and only where deriving is allowed.
#pragma once

#include <optional>
#include <string>

#include "cache/orchestrator.h"
#include "delivery/derivation.h"

namespace vr::delivery {

struct BaseSearch {
  cache::Orchestrator& orchestrator;  ///< outlives the search
  SnapshotRef snapshot;
  variant::VariantRequest wanted;
  origin::Resolved resolved;
  std::string recipe;  ///< of the workers
  bool may_read_kv = true;
};

/// Chooses among the source's variants in the KV, and those in the edge whose key is known without
/// a list. Looks at the metadata of a bounded number of them, and reads the body of one.
/// @return nullopt: it has to be made of its source
Task<std::optional<Base>> FindBase(Context ctx, BaseSearch search);

}  // namespace vr::delivery
