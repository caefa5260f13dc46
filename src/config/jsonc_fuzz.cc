// Whatever the bytes: an end, a bounded number of problems, and a tree that prints and parses to
// itself.
#include <cstdint>
#include <cstdlib>

#include "config/jsonc.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vr::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Parsed parsed = ParseJsonc(text, "f");
  if (parsed.problems.size() > kMaxSyntaxProblems) std::abort();
  if (!parsed.usable && parsed.problems.empty()) std::abort();
  if (!parsed.problems.empty()) return 0;
  const std::string printed = WriteJson(parsed.root);
  const Parsed again = ParseJsonc(printed, "g");
  if (!again.problems.empty() || WriteJson(again.root) != printed) std::abort();
  return 0;
}
