// Configuration files of the public video-resizer, of any bytes: a worker configuration, and behind
// a NUL a wrangler file. A result or problems, not both; what is written can be read; every leaf
// has one line. Build with the `fuzz` preset.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "config/jsonc.h"
#include "import/importer.h"

namespace {

using namespace vr::import;  // NOLINT: a fuzz target is its own world

bool IsOneLine(const std::string& text) {
  return text.find('\n') == std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\0');
  ImportRequest request{.main = {"m", std::string(text.substr(0, end))}};
  if (end != std::string_view::npos) request.wrangler = {"w", std::string(text.substr(end + 1))};
  const ImportOutcome outcome = Import(request);
  if (outcome.problems.empty() == outcome.jsonc.empty()) std::abort();
  for (const vr::config::Problem& problem : outcome.problems) {
    if (problem.allowed.empty() || !IsOneLine(problem.ToString())) std::abort();
  }
  if (!outcome.problems.empty()) return 0;
  if (!vr::config::ParseJsonc(outcome.jsonc, "r").problems.empty()) std::abort();
  std::set<std::string> seen;
  for (const Line& line : outcome.report.lines) {
    if (line.verdict != Verdict::kConverted && line.why.empty()) std::abort();
    if (!seen.insert(line.place.source + " " + line.pointer).second) std::abort();
  }
  const std::string report = ToText(outcome.report);
  if (report.empty() || report.back() != '\n') std::abort();
  return 0;
}
