// Node: a configuration value that remembers where it was written.
//
// The tree is what the parser makes of a file, what overrides are merged into and what the binder
// reads; in the other direction it is what `config print` writes. Plain values; thread-compatible.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/problem.h"

namespace vr::config {

struct Member;

struct Node {
  enum class Kind {
    kNull,
    kBool,
    kNumber,  ///< `text` is the literal as written
    kString,
    kArray,
    kObject,
    kText,    ///< from the environment or a flag: typed by whoever expects it
    kBroken,  ///< was reported by the parser already; readers stay silent
  };

  Kind kind = Kind::kNull;
  Place place;
  bool boolean = false;
  std::string text;
  std::vector<Node> items;
  std::vector<Member> members;  ///< in the order of the file

  static Node Bool(bool value);
  static Node Number(std::string literal);
  static Node String(std::string value);
  static Node Array();
  static Node Object();

  bool is(Kind k) const { return kind == k; }
  /// Member by exact name, else an override's member by name without regard to letter case. Null
  /// when absent.
  const Member* Find(std::string_view name) const;
  Member* Find(std::string_view name);
  void Add(std::string name, Node value);
};

struct Member {
  std::string name;
  Place place;         ///< of the name
  bool loose = false;  ///< an override's name: letter case does not count
  Node value;
};

/// The value as a piece of sentence: `"abc"` (cut when long), `12`, `an object`.
std::string Show(const Node& node);
/// The type as a piece of sentence: `a string`, `an array`.
std::string ShowType(const Node& node);
/// Indented JSON, ends with a newline.
std::string WriteJson(const Node& node);
/// JSON on one line.
std::string WriteJsonLine(const Node& node);

bool EqualsIgnoreCase(std::string_view a, std::string_view b);  ///< ASCII
std::string LowerCase(std::string_view text);                   ///< ASCII
/// `text` as a JSON string with quotes. Expects UTF-8.
std::string Quote(std::string_view text);

}  // namespace vr::config
