// A configuration of any bytes: never crashes, settings or problems but not both, each problem at a
// place in the text, and what is printed loads and prints the same. Build with the `fuzz` preset.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "app/settings.h"

namespace {

using namespace vr::app;  // NOLINT: a fuzz target is its own world

Sources Environment() {
  Sources sources;
  sources.environment = {{"SECRET", "s3cr3t-value"}, {"NUMBER", "12"}, {"EMPTY", ""}};
  return sources;
}

void CheckPlaces(const std::vector<vr::config::Problem>& problems, std::string_view text) {
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  for (const vr::config::Problem& problem : problems) {
    const auto& place = problem.place;
    if (place.line < 0 || place.line > lines || place.column < 0) std::abort();
    if (place.line > 0 && static_cast<size_t>(place.column) > text.size() + 1) std::abort();
    const std::string line = problem.ToString();
    if (line.find('\n') != std::string::npos) std::abort();
    if (line.find("s3cr3t-value") != std::string::npos) std::abort();
    if (problem.allowed.empty()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find("s3cr3t-value") != std::string_view::npos) return 0;  // then it is no secret
  static const Sources sources = Environment();
  const LoadOutcome loaded = LoadText(text, "f", sources);
  if (loaded.settings.has_value() != loaded.problems.empty()) std::abort();
  CheckPlaces(loaded.problems, text);
  CheckPlaces(loaded.warnings, text);
  if (!loaded.settings) return 0;
  const std::string printed = PrintEffective(*loaded.settings);
  if (printed.find("***") != std::string::npos) return 0;  // masks are refused, rightly
  const LoadOutcome again = LoadText(printed, "g", Environment());
  if (!again.settings || PrintEffective(*again.settings) != printed) std::abort();
  return 0;
}
