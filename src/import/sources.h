// Sources of an origin in the shapes of v1 and v2. Used inside of import/ only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "import/run.h"

namespace vr::import {

/// What the parts of one origin need of the whole.
struct OriginState {
  std::string pointer;  ///< in the result
  std::string owner;    ///< its name as part of a variable's
  bool is_transformed = true;
  std::vector<std::string> groups;
  int64_t last_priority = 0;
  int64_t largest = -1'000'000;  ///< priority of the sources that are no fallback
};

/// Appends to the origin's sources; a source that cannot be said is left out with a warning.
void ConvertSource(Run& run, const Node& source, Draft& origin, OriginState& state);

/// Whether requests to it are signed by SigV4.
bool IsSigned(Run& run, const Node& source);

}  // namespace vr::import
