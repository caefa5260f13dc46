// The reader of JSON with comments and trailing commas (RFC 8259 plus `//`, `/* */` and a comma
// before a closing bracket; nothing else).
//
// Ours, because the JSON library at hand knows neither positions nor duplicates nor trailing commas
// and stops at the first error. Linear time, bounded depth; pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"
#include "config/problem.h"

namespace vr::config {

inline constexpr int kMaxDepth = 64;
inline constexpr size_t kMaxSyntaxProblems = 50;

struct Parsed {
  Node root;
  std::vector<Problem> problems;
  /// False when the structure was damaged: binding it would only report consequences.
  bool usable = true;
};

/// @param source what positions are reported under: a file name, or "environment NAME" (then
/// without lines)
Parsed ParseJsonc(std::string_view text, const std::string& source, bool with_lines = true);

/// Byte offset of the first byte that is not UTF-8 (RFC 3629), or npos.
size_t FindInvalidUtf8(std::string_view text);

}  // namespace vr::config
