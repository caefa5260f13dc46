#include "config/problem.h"

namespace vr::config {

std::string Problem::ToString() const {
  std::string out = place.source;
  if (place.line > 0) out += ':' + std::to_string(place.line) + ':' + std::to_string(place.column);
  if (!out.empty()) out += ": ";
  out += pointer.empty() ? "/" : pointer;
  out += ": found " + found + ", allowed: " + allowed;
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';  // a key may hold anything
  }
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
