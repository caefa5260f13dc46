#include "app/simulate_command.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "capacity/eviction_policy.h"
#include "capacity/report.h"
#include "capacity/simulator.h"
#include "capacity/trace.h"
#include "capacity/trace_generator.h"
#include "config/units.h"

namespace vr::app {

namespace {

int Complain(const std::string& what) {
  std::fprintf(stderr, "video-resizer simulate: %s\n", what.c_str());
  return cli::kExitFailed;
}

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Result<std::vector<uint64_t>> ParseSizes(const cli::Command::Simulate& asked) {
  const bool is_one = !asked.size.empty();
  std::vector<uint64_t> sizes;
  for (const std::string& text : SplitAtCommas(is_one ? asked.size : asked.sizes)) {
    const auto bytes = config::ParseBytes(text);
    if (!bytes || *bytes == 0) {
      return Error(Code::kInvalidArgument, std::string(is_one ? "--size" : "--sizes") + ": \"" +
                                               text + "\" is no size such as 10GB or 512MiB");
    }
    sizes.push_back(*bytes);
  }
  return sizes;
}

/// As many entries as a store of that size may come to hold: what sketches are sized by.
uint64_t ExpectedEntries(const capacity::Footprint& all, uint64_t max_bytes) {
  const double share =
      static_cast<double>(max_bytes) / static_cast<double>(std::max<uint64_t>(all.bytes, 1));
  return std::max<uint64_t>(
      1000, static_cast<uint64_t>(std::min(share, 1.0) * static_cast<double>(all.entries)));
}

Result<void> WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return ErrnoError(errno, "--plot " + path);
  return {};
}

std::string Describe(const capacity::Trace& trace, const capacity::Footprint& all) {
  std::string text = std::to_string(trace.requests.size()) + " requests for " +
                     std::to_string(all.entries) + " entries of " + config::FormatBytes(all.bytes);
  if (trace.skipped > 0) text += "; " + std::to_string(trace.skipped) + " other lines skipped";
  if (!trace.has_cost) text += "; no costs in the trace: every miss counts one second";
  return text;
}

}  // namespace

Result<std::string> Simulate(const cli::Command::Simulate& asked, std::istream& in) {
  TRY(const std::vector<uint64_t> sizes, ParseSizes(asked));
  const auto half_life = config::ParseDuration(asked.half_life);
  if (!half_life || half_life->count() <= 0) {
    return Error(Code::kInvalidArgument,
                 "--half-life: \"" + asked.half_life + "\" is no length of time such as 1d");
  }
  const std::vector<std::string> policies = SplitAtCommas(asked.policies);
  for (const std::string& name : policies) {
    const auto made = capacity::MakePolicy(name, {});
    if (!made.ok())
      return Error(Code::kInvalidArgument, "--policy: " + made.error().public_message);
  }
  const auto format = asked.format == "log"   ? capacity::TraceFormat::kLog
                      : asked.format == "csv" ? capacity::TraceFormat::kCsv
                                              : capacity::TraceFormat::kAuto;
  TRY(const capacity::Trace trace, capacity::ReadTrace(in, format));
  const capacity::Footprint all = capacity::MeasureFootprint(trace.requests);
  std::vector<capacity::SimulationRow> rows;
  for (const uint64_t max_bytes : sizes) {
    for (const std::string& name : policies) {
      capacity::PolicyOptions options;
      options.max_bytes = max_bytes;
      options.expected_entries = ExpectedEntries(all, max_bytes);
      options.half_life_ms = half_life->count();
      TRY(const auto policy, capacity::MakePolicy(name, options));
      rows.push_back({name, max_bytes, capacity::Replay(trace.requests, *policy, max_bytes)});
    }
  }
  const std::string what = Describe(trace, all);
  if (!asked.plot.empty()) CHECK_OK(WriteFile(asked.plot, capacity::PlotSvg(rows, what)));
  return what + "\n\n" + capacity::FormatTable(rows);
}

int RunSimulate(const cli::Command::Simulate& asked) {
  if (!asked.generate.empty()) {
    capacity::GeneratorOptions options;
    options.kind = *capacity::ParseTraceKind(asked.generate);
    options.seed = asked.seed;
    options.requests = asked.requests;
    capacity::WriteTrace(std::cout, capacity::GenerateTrace(options));
    std::cout.flush();
    return std::cout ? cli::kExitDone : Complain("standard output does not take it all");
  }
  std::ifstream file;
  if (asked.trace != "-") {
    file.open(asked.trace, std::ios::binary);
    if (!file) return Complain(asked.trace + ": " + std::generic_category().message(errno));
  }
  const Result<std::string> table = Simulate(asked, asked.trace == "-" ? std::cin : file);
  if (!table.ok()) {
    const std::string& detail = table.error().detail;
    return Complain(table.error().public_message + (detail.empty() ? "" : " (" + detail + ")"));
  }
  std::fputs(table->c_str(), stdout);
  return cli::kExitDone;
}

}  // namespace vr::app
