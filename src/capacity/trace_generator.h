// Traces of a made-up site whose variants weigh and cost what those of real clips did
// (measured_variants.h). The same options give the same trace on every machine.
//
// Sources have a length (a few seconds to 45 minutes, most under a minute) and a popularity (Zipf);
// each request picks a source and one of its variants; there are more by day than by night. What
// the kinds add to that:
//   steady  nothing: popularity stays as it is
//   scan    crawlers that walk the whole catalogue once, one request of five
//   churn   sources are released and forgotten within days, some stay
//   burst   for minutes at a time half of the requests go to one source that nobody asked for
//   before
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "capacity/trace.h"

namespace vr::capacity {

enum class TraceKind { kSteady, kScan, kChurn, kBurst };

/// "steady", "scan", "churn", "burst".
std::optional<TraceKind> ParseTraceKind(std::string_view name);

struct GeneratorOptions {
  TraceKind kind = TraceKind::kSteady;
  uint64_t seed = 1;
  uint64_t requests = 200'000;
  int days = 14;
  double zipf = 0.9;
};

std::vector<TraceRequest> GenerateTrace(const GeneratorOptions& options);

}  // namespace vr::capacity
