// What variants of the corpus' clips weighed and cost, measured with the server itself
// (bench/capacity/measure_variants.py; bench/results/2026-11-27-variants.csv).
#pragma once

#include <cstdint>
#include <span>

namespace vr::capacity {

/// One clip made into one kind of variant.
struct MeasuredVariant {
  float clip_seconds = 0;
  uint32_t bytes = 0;
  float cpu_seconds = 0;
};

struct VariantKind {
  const char* name;
  /// Of a site's requests. An assumption: nobody's log was at hand.
  float share;
  /// Whether size and cost follow the source's length; stills and cuts have their own.
  bool scales;
  std::span<const MeasuredVariant> measured;
};

std::span<const VariantKind> VariantKinds();

}  // namespace vr::capacity
