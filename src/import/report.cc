#include "import/report.h"

#include <algorithm>

namespace vr::import {
namespace {

using config::Node;

bool IsContainer(const Node& node) {
  return node.is(Node::Kind::kArray) || node.is(Node::Kind::kObject);
}

std::string Where(const config::Place& place, const std::string& pointer) {
  std::string out = place.source;
  if (place.line > 0) out += ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
  return out + " " + (pointer.empty() ? "/" : pointer);
}

/// A line stays a line whatever a key is called.
std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

}  // namespace

bool IsLeaf(const Node& node) {
  if (node.is(Node::Kind::kObject)) return node.members.empty();
  if (!node.is(Node::Kind::kArray)) return true;
  return std::none_of(node.items.begin(), node.items.end(), IsContainer);
}

void Ledger::Open(const Node& root) {
  Index(root, "");
}

void Ledger::Index(const Node& node, const std::string& pointer) {
  Entry entry;
  entry.pointer = pointer;
  entry.order = order_.size();
  entry.is_leaf = IsLeaf(node);
  order_.push_back(&node);
  const bool is_leaf = entry.is_leaf;
  entries_.emplace(&node, std::move(entry));
  for (size_t i = 0; i < node.items.size(); ++i) {
    const std::string below = config::AppendPointer(pointer, std::to_string(i));
    if (is_leaf) {
      // Parts of a leaf have a name, but no line of their own.
      entries_[&node.items[i]].pointer = below;
    } else {
      Index(node.items[i], below);
    }
  }
  for (const config::Member& member : node.members) {
    Index(member.value, config::AppendPointer(pointer, member.name));
  }
}

void Ledger::Settle(const Node& node, const Line& line) {
  const auto it = entries_.find(&node);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  if (entry.is_leaf) {
    if (entry.is_settled) return;
    entry.is_settled = true;
    entry.line = line;
    entry.line.place = node.place;
    entry.line.pointer = entry.pointer;
    return;
  }
  for (const Node& item : node.items) Settle(item, line);
  for (const config::Member& member : node.members) Settle(member.value, line);
}

void Ledger::Converted(const Node& node, std::string to) {
  Settle(node, {Verdict::kConverted, {}, "", std::move(to), ""});
}

void Ledger::Changed(const Node& node, std::string to, std::string why) {
  Settle(node, {Verdict::kChanged, {}, "", std::move(to), std::move(why)});
}

void Ledger::Dropped(const Node& node, std::string why) {
  Settle(node, {Verdict::kDropped, {}, "", "", std::move(why)});
}

bool Ledger::HasVerdict(const Node& node) const {
  const auto it = entries_.find(&node);
  return it != entries_.end() && it->second.is_settled;
}

const std::string& Ledger::PointerOf(const Node& node) const {
  static const std::string none;
  const auto it = entries_.find(&node);
  return it == entries_.end() ? none : it->second.pointer;
}

std::vector<Line> Ledger::Close() {
  std::vector<Line> out;
  for (const Node* node : order_) {
    Entry& entry = entries_.at(node);
    if (!entry.is_leaf) continue;
    if (!entry.is_settled) {
      Dropped(*node, node->is(Node::Kind::kNull) ? "null: not set" : "unknown key");
    }
    out.push_back(entry.line);
  }
  return out;
}

std::string ToText(const Report& report) {
  std::string out = "video-resizer config import\n";
  for (const std::string& input : report.inputs) out += "  " + OneLine(input) + "\n";
  constexpr std::pair<Verdict, const char*> kLists[] = {{Verdict::kConverted, "converted"},
                                                        {Verdict::kChanged, "changed"},
                                                        {Verdict::kDropped, "dropped"}};
  for (const auto& [verdict, title] : kLists) {
    const auto is_mine = [v = verdict](const Line& line) { return line.verdict == v; };
    out += std::string("\n") + title + ": " +
           std::to_string(std::count_if(report.lines.begin(), report.lines.end(), is_mine)) + "\n";
    for (const Line& line : report.lines) {
      if (!is_mine(line)) continue;
      std::string text = Where(line.place, line.pointer);
      if (!line.to.empty()) text += " -> " + line.to;
      if (!line.why.empty()) text += ": " + line.why;
      out += "  " + OneLine(std::move(text)) + "\n";
    }
  }
  out += "\nwarnings: " + std::to_string(report.warnings.size()) + "\n";
  for (const Warning& warning : report.warnings) {
    out += "  " + OneLine(Where(warning.place, warning.pointer) + ": " + warning.text) + "\n";
  }
  out += "\nenvironment variables: " + std::to_string(report.variables.size()) + "\n";
  for (const auto& [name, uses] : report.variables) {
    const bool is_missing =
        std::find(report.missing_variables.begin(), report.missing_variables.end(), name) !=
        report.missing_variables.end();
    std::string text = name + (is_missing ? " (not set now)" : "") + ":";
    for (const std::string& use : uses) text += " " + use;
    out += "  " + OneLine(std::move(text)) + "\n";
  }
  out += "\nresult:\n";
  for (const std::string& line : report.result) out += "  " + OneLine(line) + "\n";
  return out;
}

}  // namespace vr::import
