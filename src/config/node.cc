#include "config/node.h"

#include <algorithm>
#include <cstdio>

namespace vr::config {
namespace {

constexpr size_t kShownBytes = 80;

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

void Write(const Node& node, int indent, bool lines, std::string& out) {
  const auto separator = [&](int depth) {
    if (lines) out += '\n' + std::string(static_cast<size_t>(depth) * 2, ' ');
  };
  // Short lists of scalars stay on one line: easier to read.
  const bool flat_items = std::all_of(node.items.begin(), node.items.end(), [](const Node& n) {
    return n.kind != Node::Kind::kArray && n.kind != Node::Kind::kObject;
  });
  switch (node.kind) {
    case Node::Kind::kNull:
    case Node::Kind::kBroken:
      out += "null";
      return;
    case Node::Kind::kBool:
      out += node.boolean ? "true" : "false";
      return;
    case Node::Kind::kNumber:
      out += node.text;
      return;
    case Node::Kind::kString:
    case Node::Kind::kText:
      out += Quote(node.text);
      return;
    case Node::Kind::kArray:
      out += '[';
      for (size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) out += flat_items || !lines ? ", " : ",";
        if (!flat_items) separator(indent + 1);
        Write(node.items[i], indent + 1, lines, out);
      }
      if (!flat_items) separator(indent);
      out += ']';
      return;
    case Node::Kind::kObject:
      out += '{';
      for (size_t i = 0; i < node.members.size(); ++i) {
        if (i > 0) out += lines ? "," : ", ";
        separator(indent + 1);
        out += Quote(node.members[i].name) + ": ";
        Write(node.members[i].value, indent + 1, lines, out);
      }
      if (!node.members.empty()) separator(indent);
      out += '}';
      return;
  }
}

}  // namespace

Node Node::Bool(bool value) {
  Node node;
  node.kind = Kind::kBool;
  node.boolean = value;
  return node;
}

Node Node::Number(std::string literal) {
  Node node;
  node.kind = Kind::kNumber;
  node.text = std::move(literal);
  return node;
}

Node Node::String(std::string value) {
  Node node;
  node.kind = Kind::kString;
  node.text = std::move(value);
  return node;
}

Node Node::Array() {
  Node node;
  node.kind = Kind::kArray;
  return node;
}

Node Node::Object() {
  Node node;
  node.kind = Kind::kObject;
  return node;
}

const Member* Node::Find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.name == name) return &member;
  }
  for (const Member& member : members) {
    if (member.loose && EqualsIgnoreCase(member.name, name)) return &member;
  }
  return nullptr;
}

Member* Node::Find(std::string_view name) {
  return const_cast<Member*>(static_cast<const Node*>(this)->Find(name));
}

void Node::Add(std::string name, Node value) {
  Member member;
  member.name = std::move(name);
  member.value = std::move(value);
  members.push_back(std::move(member));
}

std::string Show(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kString:
    case Node::Kind::kText: {
      if (node.text.size() <= kShownBytes) return Quote(node.text);
      size_t cut = kShownBytes;
      while (cut > 0 && (static_cast<unsigned char>(node.text[cut]) & 0xC0) == 0x80) --cut;
      return Quote(node.text.substr(0, cut)) + "...";
    }
    case Node::Kind::kBool:
      return node.boolean ? "true" : "false";
    case Node::Kind::kNumber:
      return node.text;
    default:
      return ShowType(node);
  }
}

std::string ShowType(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kBool:
      return "a boolean";
    case Node::Kind::kNumber:
      return "a number";
    case Node::Kind::kString:
    case Node::Kind::kText:
      return "a string";
    case Node::Kind::kArray:
      return "an array";
    case Node::Kind::kObject:
      return "an object";
    case Node::Kind::kBroken:
      break;
  }
  return "something unreadable";
}

std::string WriteJson(const Node& node) {
  std::string out;
  Write(node, 0, true, out);
  return out + '\n';
}

std::string WriteJsonLine(const Node& node) {
  std::string out;
  Write(node, 0, false, out);
  return out;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), Lower);
  return out;
}

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace vr::config
