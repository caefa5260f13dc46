#include "config/overrides.h"

#include "config/jsonc.h"
#include "config/units.h"

namespace vr::config {
namespace {

using Kind = Node::Kind;

/// "7" → 7; nothing else is an index.
std::optional<size_t> ParseIndex(const std::string& name) {
  if (name.empty() || name.size() > 4 ||
      name.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return static_cast<size_t>(std::stoul(name));
}

Place PlaceOf(const Override& item) {
  return Place{item.source, 0, 0};
}

/// Makes an earlier override's text a container when it is JSON, so that this one can go inside.
bool Expand(Node& node, std::vector<Problem>& problems) {
  if (node.kind != Kind::kText) return node.kind == Kind::kObject || node.kind == Kind::kArray;
  const std::string source = node.place.source;
  Parsed parsed = ParseJsonc(node.text, source, false);
  problems.insert(problems.end(), parsed.problems.begin(), parsed.problems.end());
  node = std::move(parsed.root);
  if (!parsed.usable) node.kind = Kind::kBroken;
  return node.kind == Kind::kObject || node.kind == Kind::kArray;
}

Node* Step(Node& node, const std::string& name, const Override& item, const std::string& pointer,
           std::vector<Problem>& problems) {
  if (node.kind == Kind::kNull) {  // made on the way
    node.kind = ParseIndex(name) ? Kind::kArray : Kind::kObject;
    if (node.place.source.empty()) node.place = PlaceOf(item);
  }
  if (!Expand(node, problems)) {
    if (node.kind != Kind::kBroken) {
      problems.push_back({PlaceOf(item), AppendPointer(pointer, name),
                          "a setting inside " + ShowType(node), "one inside an object or a list"});
    }
    return nullptr;
  }
  if (node.kind == Kind::kArray) {
    const std::optional<size_t> index = ParseIndex(name);
    if (!index || *index > node.items.size()) {
      problems.push_back({PlaceOf(item), AppendPointer(pointer, name),
                          "the list index " + Quote(name),
                          "whole numbers 0.." + std::to_string(node.items.size())});
      return nullptr;
    }
    if (*index == node.items.size()) node.items.emplace_back();
    return &node.items[*index];
  }
  // Whatever the letter case: the file's own spelling wins, else the reader's key decides.
  for (Member& member : node.members) {
    if (member.name == name) return &member.value;
  }
  for (Member& member : node.members) {
    if (EqualsIgnoreCase(member.name, name)) return &member.value;
  }
  Member member;
  member.name = name;
  member.place = PlaceOf(item);
  member.loose = true;
  node.members.push_back(std::move(member));
  return &node.members.back().value;
}

}  // namespace

std::vector<Override> FromEnvironment(const std::map<std::string, std::string>& environment,
                                      std::string_view prefix, std::vector<Problem>& problems) {
  std::vector<Override> out;
  for (const auto& [name, value] : environment) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    Override item;
    item.value = value;
    item.source = "environment " + name;
    std::string rest = LowerCase(std::string_view(name).substr(prefix.size()));
    bool good = true;
    while (good) {
      const size_t cut = rest.find("__");
      item.path.push_back(rest.substr(0, cut));
      good = !item.path.back().empty();
      if (cut == std::string::npos) break;
      rest.erase(0, cut + 2);
    }
    if (!good) {
      problems.push_back({PlaceOf(item), "", "the name " + Quote(name),
                          std::string(prefix) + "<KEY>, with __ between the levels"});
    } else if (FindInvalidUtf8(value) != std::string_view::npos) {
      problems.push_back({PlaceOf(item), "", "bytes that are not UTF-8", "UTF-8 text"});
    } else {
      out.push_back(std::move(item));
    }
  }
  return out;
}

bool ParseAssignment(std::string_view text, std::vector<std::string>& path, std::string& value) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return false;
  std::string_view names = text.substr(0, equals);
  value = std::string(text.substr(equals + 1));
  path.clear();
  while (true) {
    const size_t dot = names.find('.');
    path.emplace_back(names.substr(0, dot));
    if (path.back().empty()) return false;
    if (dot == std::string_view::npos) return true;
    names.remove_prefix(dot + 1);
  }
}

void Apply(Node& root, const Override& item, std::vector<Problem>& problems) {
  Node* node = &root;
  std::string pointer;
  for (const std::string& name : item.path) {
    node = Step(*node, name, item, pointer, problems);
    if (node == nullptr) return;
    pointer = AppendPointer(pointer, name);
  }
  *node = Node{};
  node->kind = Kind::kText;
  node->text = item.value;
  node->place = PlaceOf(item);
}

}  // namespace vr::config
