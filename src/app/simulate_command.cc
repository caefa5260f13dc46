#include "app/simulate_command.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
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

/// Of StoreRules, what the options say; max_bytes is left alone.
Result<capacity::StoreRules> ParseRules(const cli::Command::Simulate& asked) {
  capacity::StoreRules rules;
  const auto metadata = config::ParseBytes(asked.metadata);
  if (!metadata) {
    return Error(Code::kInvalidArgument,
                 "--metadata: \"" + asked.metadata + "\" is no size such as 800B");
  }
  rules.metadata_bytes = *metadata;
  if (asked.watermarks.empty()) return rules;
  const auto percent = [](const std::string& text) {
    uint32_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stop == end ? value : 0;
  };
  const std::vector<std::string> marks = SplitAtCommas(asked.watermarks);
  rules.high_watermark = percent(marks.front());
  rules.low_watermark = percent(marks.back());
  if (marks.size() != 2 || rules.high_watermark > 100 || rules.low_watermark == 0 ||
      rules.low_watermark > rules.high_watermark) {
    return Error(Code::kInvalidArgument,
                 "--watermarks: \"" + asked.watermarks +
                     "\" is no pair of percentages, the higher one first, such as 95,90");
  }
  return rules;
}

/// A line each, sorted.
std::string NamesOf(const std::vector<uint64_t>& ids, const capacity::Trace& trace) {
  std::vector<std::string_view> names;
  names.reserve(ids.size());
  for (const uint64_t id : ids) names.push_back(trace.names.at(id));
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string_view name : names) text.append(name).append("\n");
  return text;
}

/// As many entries as a store of that size may come to hold: what sketches are sized by.
uint64_t ExpectedEntries(const capacity::Footprint& all, uint64_t max_bytes) {
  const double share =
      static_cast<double>(max_bytes) / static_cast<double>(std::max<uint64_t>(all.bytes, 1));
  return std::max<uint64_t>(
      1000, static_cast<uint64_t>(std::min(share, 1.0) * static_cast<double>(all.entries)));
}

Result<void> WriteFile(const char* option, const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return ErrnoError(errno, option + (" " + path));
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
  TRY(capacity::StoreRules rules, ParseRules(asked));
  const std::vector<std::string> policies = SplitAtCommas(asked.policies);
  if (!asked.held.empty() && (policies.size() != 1 || sizes.size() != 1)) {
    return Error(Code::kInvalidArgument, "--held: works with one policy and one size");
  }
  for (const std::string& name : policies) {
    const auto made = capacity::MakePolicy(name, {});
    if (!made.ok())
      return Error(Code::kInvalidArgument, "--policy: " + made.error().public_message);
  }
  const auto format = asked.format == "log"   ? capacity::TraceFormat::kLog
                      : asked.format == "csv" ? capacity::TraceFormat::kCsv
                                              : capacity::TraceFormat::kAuto;
  TRY(const capacity::Trace trace, capacity::ReadTrace(in, format, !asked.held.empty()));
  const capacity::Footprint all = capacity::MeasureFootprint(trace.requests);
  std::vector<capacity::SimulationRow> rows;
  std::vector<uint64_t> held;
  for (const uint64_t max_bytes : sizes) {
    for (const std::string& name : policies) {
      capacity::PolicyOptions options;
      options.max_bytes = max_bytes;
      // The server knows no trace, and leaves it at the default.
      if (asked.watermarks.empty()) options.expected_entries = ExpectedEntries(all, max_bytes);
      options.half_life_ms = half_life->count();
      TRY(const auto policy, capacity::MakePolicy(name, options));
      rules.max_bytes = max_bytes;
      std::vector<uint64_t>* const ids = asked.held.empty() ? nullptr : &held;
      rows.push_back({name, max_bytes, capacity::Replay(trace.requests, *policy, rules, ids)});
    }
  }
  const std::string what = Describe(trace, all);
  const std::string drawn = asked.plot.empty() ? "" : capacity::PlotSvg(rows, what);
  if (!drawn.empty()) CHECK_OK(WriteFile("--plot", asked.plot, drawn));
  if (!asked.held.empty()) CHECK_OK(WriteFile("--held", asked.held, NamesOf(held, trace)));
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
