// Marks of a store's limit.
#pragma once

#include <cstdint>

namespace vr::capacity {

/// Without overflow; rounded down.
constexpr uint64_t PercentOf(uint64_t whole, uint32_t percent) {
  return whole / 100 * percent + whole % 100 * percent / 100;
}

}  // namespace vr::capacity
