// What became of every value of the imported files: the ledger keeps account, the report tells.
//
// A leaf is a value that holds no others to speak of: a scalar, an empty container, a list of
// scalars. Every leaf of every input ends in exactly one of three lists: converted, changed,
// dropped. What nobody spoke about is an unknown key and dropped as such, so nothing is lost in
// silence. Thread-compatible.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/node.h"
#include "config/problem.h"

namespace vr::import {

enum class Verdict { kConverted, kChanged, kDropped };

/// One leaf of the input. Never holds a value that could be a secret.
struct Line {
  Verdict verdict = Verdict::kDropped;
  config::Place place;
  std::string pointer;  ///< in the input
  std::string to;       ///< in our configuration; empty: nowhere
  std::string why;
};

/// Something that works, and may not be what its author thinks.
struct Warning {
  config::Place place;
  std::string pointer;
  std::string text;
};

struct Report {
  std::vector<std::string> inputs;  ///< "worker-config.json: worker configuration of v1"
  std::vector<Line> lines;          ///< in the order of the files
  std::vector<Warning> warnings;
  /// Environment variables that the result refers to → where.
  std::map<std::string, std::vector<std::string>> variables;
  std::vector<std::string> missing_variables;  ///< of them, those not set now; filled in by `app`
  std::vector<std::string> result;             ///< what it came to, in words
};

/// For reading and for grep: one line per leaf.
std::string ToText(const Report& report);

bool IsLeaf(const config::Node& node);

class Ledger {
 public:
  /// Takes account of a document. `root` must live, unchanged, as long as the ledger.
  void Open(const config::Node& root);

  // A container stands for all its leaves that nobody spoke about yet. The first word counts.
  void Converted(const config::Node& node, std::string to);
  void Changed(const config::Node& node, std::string to, std::string why);
  void Dropped(const config::Node& node, std::string why);

  bool Knows(const config::Node& node) const { return entries_.contains(&node); }
  bool HasVerdict(const config::Node& node) const;
  const std::string& PointerOf(const config::Node& node) const;

  /// All lines; what is left is dropped.
  std::vector<Line> Close();

 private:
  struct Entry {
    std::string pointer;
    size_t order = 0;
    bool is_leaf = false;
    bool is_settled = false;
    Line line;
  };
  void Index(const config::Node& node, const std::string& pointer);
  void Settle(const config::Node& node, const Line& line);

  std::unordered_map<const config::Node*, Entry> entries_;
  std::vector<const config::Node*> order_;
};

}  // namespace vr::import
