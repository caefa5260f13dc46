#include "base/clock.h"

namespace vr {

const SystemClock& SystemClock::Get() {
  static const SystemClock clock;
  return clock;
}

}  // namespace vr
