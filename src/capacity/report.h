// What a simulation found, for people: a table (Markdown) and a plot (SVG). Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capacity/simulator.h"

namespace vr::capacity {

struct SimulationRow {
  std::string policy;
  uint64_t max_bytes = 0;
  Outcome outcome;
};

/// Rows in the order given. "vs lru": encode seconds saved, against lru at the same size.
std::string FormatTable(const std::vector<SimulationRow>& rows);
/// Over the size of the store: the share of encode seconds saved, and the hit rate; one line per
/// policy.
std::string PlotSvg(const std::vector<SimulationRow>& rows, const std::string& title);

}  // namespace vr::capacity
