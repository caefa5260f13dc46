// Whatever the bytes: an end, a bounded number of problems, each of them at a place in the text,
// and a tree that prints and parses to itself.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "config/jsonc.h"

namespace {

using namespace vr::config;  // NOLINT: a fuzz target is its own world

/// Characters of each line, the one behind its end included.
std::vector<int> Columns(std::string_view text) {
  std::vector<int> columns{1};
  for (const char c : text) {
    if (c == '\n')
      columns.push_back(1);
    else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80)
      ++columns.back();
  }
  return columns;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Parsed parsed = ParseJsonc(text, "f");
  if (parsed.problems.size() > kMaxSyntaxProblems) std::abort();
  if (!parsed.usable && parsed.problems.empty()) std::abort();
  const std::vector<int> columns = Columns(text);
  for (const Problem& problem : parsed.problems) {
    const Place& place = problem.place;
    if (place.source != "f" || place.line < 1 || static_cast<size_t>(place.line) > columns.size())
      std::abort();
    // A broken byte may look like a part of a character.
    const bool is_text = FindInvalidUtf8(text) == std::string_view::npos;
    if (place.column < 1 ||
        (is_text && place.column > columns[static_cast<size_t>(place.line) - 1])) {
      std::abort();
    }
    if (problem.ToString().find('\n') != std::string::npos) std::abort();
  }
  if (!parsed.problems.empty()) return 0;
  const std::string printed = WriteJson(parsed.root);
  const Parsed again = ParseJsonc(printed, "g");
  if (!again.problems.empty() || WriteJson(again.root) != printed) std::abort();
  return 0;
}
