#include "import/run.h"

#include <algorithm>

#include "config/units.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

}  // namespace

std::string At(const std::string& pointer, std::string_view key) {
  return config::AppendPointer(pointer, key);
}

std::string Lower(std::string_view text) {
  return config::LowerCase(text);
}

std::string AsName(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 90)) {
    const bool is_good = IsAlnum(c) || c == '-' || c == '_' || c == '.';
    if (is_good) {
      out += c;
    } else if (out.empty() || out.back() != '-') {
      out += '-';
    }
  }
  return out;
}

std::string AsVariable(std::string_view text) {
  std::string out;
  for (char c : text) {
    out += IsAlnum(c) ? static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c) : '_';
  }
  if (out.empty() || (out[0] >= '0' && out[0] <= '9')) out.insert(0, 1, '_');
  return out;
}

bool IsVariableName(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return IsAlnum(c) || c == '_'; });
}

std::string Escaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') out += '$';
    out += text[i];
  }
  return out;
}

const Node* Run::Get(const Node& object, std::string_view key) {
  const config::Member* member = object.Find(key);
  if (member == nullptr || member->value.is(Kind::kNull)) return nullptr;
  return &member->value;
}

void Run::Wrong(const Node& node, std::string allowed) {
  if (node.is(Kind::kBroken)) return;
  problems.push_back(
      {node.place, ledger.PointerOf(node), config::ShowType(node), std::move(allowed)});
}

void Run::Warn(const Node& node, std::string text) {
  report.warnings.push_back({node.place, ledger.PointerOf(node), std::move(text)});
}

bool Run::NeedObject(const Node& node) {
  if (node.is(Kind::kObject)) return true;
  Wrong(node, "an object { ... }");
  return false;
}

bool Run::NeedArray(const Node& node) {
  if (node.is(Kind::kArray)) return true;
  Wrong(node, "an array [ ... ]");
  return false;
}

std::optional<std::string> Run::Text(const Node& node) {
  if (node.is(Kind::kString)) return node.text;
  Wrong(node, "a string");
  return std::nullopt;
}

std::optional<bool> Run::Bool(const Node& node, bool loose) {
  if (node.is(Kind::kBool)) return node.boolean;
  if (loose && node.is(Kind::kString)) {
    const std::string word = Lower(Trim(node.text));
    if (word == "true" || word == "1" || word == "yes" || word == "on") return true;
    if (word == "false" || word == "0" || word == "no" || word == "off") return false;
  }
  Wrong(node, loose ? "true or false, also as text" : "true or false");
  return std::nullopt;
}

std::optional<int64_t> Run::Whole(const Node& node, int64_t min, int64_t max, bool loose) {
  if (node.is(Kind::kNumber) || (loose && node.is(Kind::kString))) {
    const std::optional<int64_t> value = config::ParseInteger(Trim(node.text));
    if (value && *value >= min && *value <= max) return value;
    problems.push_back({node.place, ledger.PointerOf(node), config::Show(node),
                        "whole numbers " + std::to_string(min) + ".." + std::to_string(max)});
    return std::nullopt;
  }
  Wrong(node, "a whole number");
  return std::nullopt;
}

std::optional<std::vector<std::string>> Run::Texts(const Node& node, bool loose) {
  std::vector<std::string> texts;
  if (loose && node.is(Kind::kString)) {
    std::string_view rest = node.text;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (std::string item = Trim(rest.substr(0, comma)); !item.empty()) texts.push_back(item);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return texts;
  }
  if (!NeedArray(node)) return std::nullopt;
  bool is_good = true;
  for (const Node& item : node.items) {
    if (item.is(Kind::kString)) {
      texts.push_back(item.text);
    } else {
      Wrong(item, "a string");
      is_good = false;
    }
  }
  if (!is_good) return std::nullopt;
  return texts;
}

std::optional<std::string> Run::OneOf(const Node& node, const std::vector<std::string_view>& words,
                                      bool loose) {
  if (!node.is(Kind::kString)) {
    Wrong(node, "a string");
    return std::nullopt;
  }
  const std::string text = loose ? Lower(Trim(node.text)) : node.text;
  if (std::find(words.begin(), words.end(), text) != words.end()) return text;
  std::string allowed;
  for (const std::string_view word : words)
    allowed += (allowed.empty() ? "" : ", ") + config::Quote(word);
  problems.push_back({node.place, ledger.PointerOf(node), config::Show(node), allowed});
  return std::nullopt;
}

bool Run::Claim(const Node& node, const Draft::Path& path) {
  if (!out.Has(path)) return true;
  const Node* winner = out.FromAt(path);
  std::string who = "another key";
  if (winner != nullptr) who = winner->place.source + " " + ledger.PointerOf(*winner);
  ledger.Dropped(node, who + " says it too and is stronger");
  return false;
}

void Run::Set(const Node& node, const Draft::Path& path, Node value, std::string why) {
  if (!Claim(node, path)) return;
  const std::string pointer = out.Set(path, std::move(value), &node);
  if (why.empty()) {
    ledger.Converted(node, pointer);
  } else {
    ledger.Changed(node, pointer, std::move(why));
  }
}

void Run::DropKnown(const Node& object, const std::vector<DropRule>& rules) {
  for (const DropRule& rule : rules) {
    if (const Node* node = Get(object, rule.key)) ledger.Dropped(*node, std::string(rule.why));
  }
}

std::string Run::SecretVariable(const std::string& name, const std::string& secret) {
  std::string unique = name;
  for (int i = 2; secrets.try_emplace(unique, secret).first->second != secret; ++i)
    unique = name + "_" + std::to_string(i);
  return unique;
}

std::optional<std::string> Run::Reference(const Node& name) {
  const std::optional<std::string> text = Text(name);
  if (!text) return std::nullopt;
  if (!IsVariableName(*text)) {
    // Not shown: somebody may have put the secret itself there.
    problems.push_back({name.place, ledger.PointerOf(name), "something else",
                        "a variable's name: A-Z a-z 0-9 _, not beginning with a digit"});
    return std::nullopt;
  }
  if (const auto it = variables.find(*text); it != variables.end()) {
    if (!ledger.HasVerdict(*it->second)) {
      ledger.Changed(*it->second, "", "set it in the environment of the server: ${" + *text + "}");
    }
  }
  return "${" + *text + "}";
}

void Run::Ttl(const Node& ttl, Draft& target, const Draft::Path& path, const std::string& to) {
  if (!NeedObject(ttl)) return;
  for (const char* key : {"ok", "redirects", "clientError", "serverError"}) {
    const Node* node = Get(ttl, key);
    if (node == nullptr) continue;
    const std::optional<int64_t> seconds = Whole(*node, 0, 31536000);
    if (!seconds) continue;
    Draft::Path full = path;
    full.emplace_back(key);
    if (&target == &out) {
      Set(*node, full, Node::Number(std::to_string(*seconds)));
      continue;
    }
    target.Set(full, Node::Number(std::to_string(*seconds)), node);
    ledger.Converted(*node, to + "/ttl/" + key);
  }
}

}  // namespace vr::import
