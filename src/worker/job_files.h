// The descriptors of one job.
#pragma once

#include "base/fd.h"

namespace vr::worker {

struct JobFiles {
  UniqueFd source;
  UniqueFd stored;
  UniqueFd stream;  ///< invalid when nobody waits for a stream
};

}  // namespace vr::worker
