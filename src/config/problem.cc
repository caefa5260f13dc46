#include "config/problem.h"

namespace vr::config {

std::string ToString(const Problem& problem) {
  std::string out = problem.place.source;
  if (problem.place.line > 0) {
    out += ':' + std::to_string(problem.place.line) + ':' + std::to_string(problem.place.column);
  }
  if (!out.empty()) out += ": ";
  out += problem.pointer.empty() ? "/" : problem.pointer;
  out += ": found " + problem.found + ", allowed: " + problem.allowed;
  return out;
}

std::string AppendPointer(std::string_view pointer, std::string_view name) {
  std::string out(pointer);
  out += '/';
  for (char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<std::string> SplitPointer(std::string_view pointer) {
  std::vector<std::string> names;
  for (size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      names.emplace_back();
    } else if (pointer[i] == '~' && i + 1 < pointer.size() && !names.empty()) {
      names.back() += pointer[++i] == '1' ? '/' : '~';
    } else if (!names.empty()) {
      names.back() += pointer[i];
    }
  }
  return names;
}

}  // namespace vr::config
