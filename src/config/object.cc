#include "config/object.h"

#include <cstdio>

#include "config/jsonc.h"
#include "config/units.h"

namespace vr::config {
namespace {

using Kind = Node::Kind;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool IsVariableName(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool HasReference(const Node& node) {
  return (node.kind == Kind::kString || node.kind == Kind::kText) &&
         node.text.find("${") != std::string::npos;
}

/// What Resolve() undoes.
std::string EscapeReferences(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "${") out += '$';
    out += text[i];
  }
  return out;
}

std::string FormatNumber(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.15g", value);
  return buffer;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string Join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::string AllowedSeconds(std::chrono::milliseconds min, std::chrono::milliseconds max,
                           std::chrono::milliseconds unit) {
  const auto seconds = [](std::chrono::milliseconds d) {
    return FormatNumber(static_cast<double>(d.count()) / 1000);
  };
  const bool whole = unit >= std::chrono::seconds(1);
  return (whole ? "whole seconds " : "seconds ") + seconds(min) + ".." + seconds(max) +
         (whole ? R"( or "30s", "10m", "2h", "7d")" : R"( or "500ms", "30s", "10m", "2h")");
}

}  // namespace

Object::Object(Session& session, const Node* in, Node* out, std::string pointer, std::string path,
               Place place)
    : session_(session),
      in_(in),
      out_(out),
      pointer_(std::move(pointer)),
      path_(std::move(path)),
      place_(in != nullptr ? in->place : std::move(place)) {
  if (out_ != nullptr) out_->kind = Kind::kObject;
}

const Member* Object::Look(std::string_view key) {
  known_.emplace_back(key);
  return in_ == nullptr ? nullptr : in_->Find(key);
}

bool Object::Has(std::string_view key) const {
  return in_ != nullptr && in_->Find(key) != nullptr;
}

std::string Object::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
}

Place Object::PlaceOfMember(std::string_view key) const {
  const Member* member = in_ == nullptr ? nullptr : in_->Find(key);
  return member == nullptr ? place_ : member->value.place;
}

void Object::Report(const Place& place, std::string pointer, std::string found,
                    std::string allowed) {
  session_.problems.push_back({place, std::move(pointer), std::move(found), std::move(allowed)});
}

void Object::Complain(std::string_view key, std::string found, std::string allowed) {
  if (reading())
    Report(PlaceOfMember(key), AppendPointer(pointer_, key), std::move(found), std::move(allowed));
}

void Object::Warn(std::string_view key, std::string found, std::string allowed) {
  if (!reading()) return;
  session_.warnings.push_back(
      {PlaceOfMember(key), AppendPointer(pointer_, key), std::move(found), std::move(allowed)});
}

void Object::Finish() {
  if (!reading() || in_ == nullptr) return;
  for (const Member& member : in_->members) {
    const bool is_known = std::any_of(known_.begin(), known_.end(), [&](const std::string& name) {
      return name == member.name || (member.loose && EqualsIgnoreCase(name, member.name));
    });
    if (is_known) continue;
    const std::string guess = DidYouMean(member.name, known_);
    Report(member.place, AppendPointer(pointer_, member.name),
           (member.loose ? "the unknown setting " : "the unknown key ") + Quote(member.name),
           guess.empty() ? "one of " + Join(known_) : "did you mean " + Quote(guess) + "?");
  }
}

std::optional<std::string> Object::Resolve(const Node& node, const std::string& pointer) {
  const std::string_view text = node.text;
  std::string out;
  bool good = true;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i, 3) == "$${") {
      out += "${";
      i += 3;
      continue;
    }
    if (text.substr(i, 2) != "${") {
      out += text[i++];
      continue;
    }
    const size_t end = text.find('}', i);
    constexpr const char* kAllowed =
        "${NAME} or ${NAME:-default} ($${ for the characters themselves)";
    if (end == std::string_view::npos) {
      Report(node.place, pointer, "a ${ without }", kAllowed);
      return std::nullopt;
    }
    const std::string_view inner = text.substr(i + 2, end - i - 2);
    const size_t dash = inner.find(":-");
    const std::string name(inner.substr(0, dash));
    i = end + 1;
    const auto it = session_.environment.find(name);
    if (!IsVariableName(name)) {
      Report(node.place, pointer, "the reference ${" + std::string(inner) + "}", kAllowed);
      good = false;
    } else if (it != session_.environment.end() &&
               (!it->second.empty() || dash == std::string_view::npos)) {
      if (FindInvalidUtf8(it->second) != std::string_view::npos) {
        Report(node.place, pointer, "a ${" + name + "} that is not UTF-8", "UTF-8 text");
        good = false;
      }
      out += it->second;
    } else if (dash != std::string_view::npos) {
      out += inner.substr(dash + 2);
    } else {
      Report(node.place, pointer, "${" + name + "}, which is not set",
             "a variable of the environment, or ${" + name + ":-default}");
      good = false;
    }
  }
  if (!good) return std::nullopt;
  return out;
}

bool Object::Read(const Node& node, const std::string& pointer, const Leaf& leaf) {
  if (node.kind == Kind::kBroken) return false;
  const bool has_reference = !leaf.raw && HasReference(node);
  Node resolved;
  const Node* value = &node;
  if (has_reference) {
    std::optional<std::string> text = Resolve(node, pointer);
    if (!text) return false;
    resolved.kind = Kind::kText;
    resolved.text = std::move(*text);
    resolved.place = node.place;
    value = &resolved;
  }
  if (leaf.secret && value->text == kMask) {
    Report(node.place, pointer, "the mask of `config print`", "the secret itself, best as ${NAME}");
    return false;
  }
  if (!leaf.read(*value)) {
    const bool is_text = value->kind == Kind::kString || value->kind == Kind::kText;
    Report(node.place, pointer,
           leaf.secret && is_text ? "a secret of " + std::to_string(value->text.size()) + " bytes"
                                  : Show(*value),
           leaf.allowed);
    return false;
  }
  if (leaf.secret && leaf.warn_inline && node.kind == Kind::kString && !has_reference &&
      !node.text.empty()) {
    session_.warnings.push_back({node.place, pointer, "a secret written in the file",
                                 "better a reference, ${NAME}, to the environment"});
  }
  return true;
}

bool Object::Visit(std::string_view key, const Leaf& leaf) {
  if (session_.mode == Mode::kDescribe) {
    const std::optional<Node> value = leaf.print();
    session_.keys.push_back({PathOf(key), std::string(leaf.type),
                             value ? WriteJsonLine(*value) : "", leaf.allowed, leaf.secret,
                             leaf.required});
    return false;
  }
  if (session_.mode == Mode::kPrint) {
    std::optional<Node> value = leaf.print();
    if (!value) return false;
    if (leaf.secret && !session_.show_secrets && !value->text.empty())
      value = Node::String(std::string(kMask));
    out_->Add(std::string(key), std::move(*value));
    return false;
  }
  const Member* member = Look(key);
  if (member == nullptr) {
    if (leaf.required)
      Report(place_, AppendPointer(pointer_, key), "nothing", leaf.allowed + " (required)");
    return false;
  }
  return Read(member->value, AppendPointer(pointer_, key), leaf);
}

void Object::Field(std::string_view key, std::string& value, const Text& rule) {
  Leaf leaf;
  leaf.type = "string";
  leaf.allowed = rule.allowed;
  leaf.raw = rule.raw;
  leaf.secret = rule.secret;
  leaf.warn_inline = rule.warn_inline;
  leaf.required = rule.required;
  leaf.read = [&](const Node& node) {
    if (node.kind != Kind::kString && node.kind != Kind::kText) return false;
    if (node.text.size() < rule.min_length || node.text.size() > rule.max_length) return false;
    if (rule.check && !rule.check(node.text)) return false;
    value = node.text;
    return true;
  };
  leaf.print = [&]() -> std::optional<Node> {
    if (rule.omit_empty && value.empty()) return std::nullopt;
    return Node::String(rule.raw ? value : EscapeReferences(value));
  };
  Visit(key, leaf);
}

void Object::Field(std::string_view key, std::optional<std::string>& value, const Text& rule) {
  if (session_.mode == Mode::kPrint && !value) return;
  if (session_.mode == Mode::kRead && !Has(key)) {
    Look(key);
    return;
  }
  std::string text = value.value_or("");
  const size_t before = session_.problems.size();
  Field(key, text, rule);
  if (session_.mode == Mode::kRead && session_.problems.size() == before) value = std::move(text);
  if (session_.mode == Mode::kDescribe) session_.keys.back().default_value.clear();
}

void Object::Field(std::string_view key, bool& value) {
  Leaf leaf;
  leaf.type = "boolean";
  leaf.allowed = "true or false";
  leaf.read = [&](const Node& node) {
    if (node.kind == Kind::kBool) {
      value = node.boolean;
      return true;
    }
    const std::optional<bool> parsed =
        node.kind == Kind::kText ? ParseBool(node.text) : std::nullopt;
    if (parsed) value = *parsed;
    return parsed.has_value();
  };
  leaf.print = [&] { return Node::Bool(value); };
  Visit(key, leaf);
}

void Object::Field(std::string_view key, std::optional<bool>& value) {
  if (session_.mode == Mode::kPrint && !value) return;
  bool inner = value.value_or(false);
  const size_t before = session_.problems.size();
  const bool is_set = Has(key);
  Field(key, inner);
  if (session_.mode == Mode::kRead && is_set && session_.problems.size() == before) value = inner;
  if (session_.mode == Mode::kDescribe) session_.keys.back().default_value.clear();
}

void Object::Field(std::string_view key, double& value, Range<double> range) {
  Leaf leaf;
  leaf.type = "number";
  leaf.allowed = "numbers " + FormatNumber(range.min) + ".." + FormatNumber(range.max);
  leaf.required = range.required;
  leaf.read = [&](const Node& node) {
    if (node.kind != Kind::kNumber && node.kind != Kind::kText) return false;
    const std::optional<double> number = ParseNumber(node.text);
    if (!number || *number < range.min || *number > range.max) return false;
    value = *number;
    return true;
  };
  leaf.print = [&] { return Node::Number(FormatNumber(value)); };
  Visit(key, leaf);
}

bool Object::Integer(std::string_view key, int64_t& value, int64_t min, int64_t max,
                     bool required) {
  Leaf leaf;
  leaf.type = "integer";
  leaf.allowed = "whole numbers " + std::to_string(min) + ".." + std::to_string(max);
  leaf.required = required;
  leaf.read = [&](const Node& node) {
    if (node.kind != Kind::kNumber && node.kind != Kind::kText) return false;
    const std::optional<int64_t> number = ParseInteger(node.text);
    if (!number || *number < min || *number > max) return false;
    value = *number;
    return true;
  };
  leaf.print = [&] { return Node::Number(std::to_string(value)); };
  return Visit(key, leaf);
}

void Object::Bytes(std::string_view key, uint64_t& value, Size limits) {
  Leaf leaf;
  leaf.type = "bytes";
  leaf.allowed = "bytes " + FormatBytes(limits.min) + ".." + FormatBytes(limits.max) +
                 R"(: a whole number, or "64MiB", "1.5GB")";
  leaf.read = [&](const Node& node) {
    if (node.kind != Kind::kNumber && node.kind != Kind::kText && node.kind != Kind::kString)
      return false;
    const std::optional<uint64_t> bytes = ParseBytes(node.text);
    if (!bytes || *bytes < limits.min || *bytes > limits.max) return false;
    value = *bytes;
    return true;
  };
  leaf.print = [&] { return Node::String(FormatBytes(value)); };
  Visit(key, leaf);
}

bool Object::Length(std::string_view key, std::chrono::milliseconds& value,
                    std::chrono::milliseconds min, std::chrono::milliseconds max,
                    std::chrono::milliseconds unit, bool optional) {
  Leaf leaf;
  leaf.type = "duration";
  leaf.allowed = AllowedSeconds(min, max, unit);
  leaf.read = [&](const Node& node) {
    if (node.kind != Kind::kNumber && node.kind != Kind::kText && node.kind != Kind::kString)
      return false;
    const std::optional<std::chrono::milliseconds> length = ParseDuration(node.text);
    if (!length || *length < min || *length > max || length->count() % unit.count() != 0)
      return false;
    value = *length;
    return true;
  };
  leaf.print = [&]() -> std::optional<Node> {
    if (optional && value.count() < 0) return std::nullopt;
    return Node::String(FormatDuration(value));
  };
  return Visit(key, leaf);
}

bool Object::OneOf(std::string_view key, int& index, const std::vector<std::string_view>& names,
                   bool required) {
  Leaf leaf;
  leaf.type = "string";
  for (std::string_view name : names) {
    leaf.allowed += (leaf.allowed.empty() ? "" : ", ") + Quote(name);
  }
  leaf.required = required;
  leaf.read = [&](const Node& node) {
    if (node.kind != Kind::kString && node.kind != Kind::kText) return false;
    for (size_t i = 0; i < names.size(); ++i) {
      if (node.text != names[i]) continue;
      index = static_cast<int>(i);
      return true;
    }
    return false;
  };
  leaf.print = [&]() -> std::optional<Node> {
    if (index < 0) return std::nullopt;
    return Node::String(std::string(names[static_cast<size_t>(index)]));
  };
  return Visit(key, leaf);
}

void Object::Scalar(std::string_view key, std::string_view type, std::string_view allowed,
                    const std::function<std::optional<std::string>(const std::string&)>& set,
                    const std::function<std::optional<Node>()>& print) {
  Leaf leaf;
  leaf.type = type;
  leaf.allowed = std::string(allowed);
  leaf.read = [&](const Node& node) {
    std::string text = node.text;
    if (node.kind == Kind::kBool) {
      text = node.boolean ? "true" : "false";
    } else if (node.kind == Kind::kNull || node.kind == Kind::kArray ||
               node.kind == Kind::kObject) {
      return false;
    }
    std::optional<std::string> wrong = set(text);
    if (wrong) leaf.allowed = std::move(*wrong);
    return !wrong;
  };
  leaf.print = print;
  Visit(key, leaf);
}

void Object::Strings(std::string_view key, std::vector<std::string>& values, const Text& each,
                     size_t max_items) {
  if (session_.mode != Mode::kRead) {
    Leaf leaf;
    leaf.type = "list of strings";
    leaf.allowed = "a list; each " + each.allowed;
    leaf.secret = each.secret;
    leaf.required = each.required;
    leaf.print = [&] {
      Node list = Node::Array();
      for (const std::string& value : values) {
        list.items.push_back(Node::String(each.raw ? value : EscapeReferences(value)));
      }
      return list;
    };
    Visit(key, leaf);
    return;
  }
  const Member* member = Look(key);
  const std::string pointer = AppendPointer(pointer_, key);
  if (member == nullptr) {
    if (each.required) Report(place_, pointer, "nothing", "a list of strings (required)");
    return;
  }
  Node made;
  const Node* list = &member->value;
  Node resolved;
  if (!each.raw && list->kind == Kind::kString && HasReference(*list)) {
    std::optional<std::string> text = Resolve(*list, pointer);
    if (!text) return;
    resolved.kind = Kind::kText;
    resolved.place = list->place;
    resolved.text = std::move(*text);
    list = &resolved;
  }
  if (list->kind == Kind::kText && Trim(list->text).substr(0, 1) != "[") {
    made.kind = Kind::kArray;
    made.place = list->place;
    std::string_view rest = Trim(list->text);
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      Node item;
      item.kind = Kind::kText;
      item.place = list->place;
      item.text = std::string(Trim(rest.substr(0, comma)));
      made.items.push_back(std::move(item));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
    list = &made;
  } else {
    list = Container(*list, Kind::kArray, pointer, made);
    if (list == nullptr) return;
  }
  if (list->items.size() > max_items) {
    Report(list->place, pointer, std::to_string(list->items.size()) + " items",
           "at most " + std::to_string(max_items));
    return;
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < list->items.size(); ++i) {
    Leaf leaf;
    leaf.allowed = each.allowed;
    leaf.raw = each.raw;
    leaf.secret = each.secret;
    leaf.warn_inline = each.warn_inline;
    leaf.read = [&](const Node& node) {
      if (node.kind != Kind::kString && node.kind != Kind::kText) return false;
      if (node.text.size() < each.min_length || node.text.size() > each.max_length) return false;
      if (each.check && !each.check(node.text)) return false;
      out.push_back(node.text);
      return true;
    };
    Read(list->items[i], AppendPointer(pointer, std::to_string(i)), leaf);
  }
  values = std::move(out);
}

void Object::Texts(std::string_view key, std::map<std::string, std::string, std::less<>>& values,
                   const Text& each) {
  if (session_.mode == Mode::kDescribe) {
    session_.keys.push_back({PathOf(key) + ".*", "string", "", each.allowed, each.secret, false});
    return;
  }
  if (session_.mode == Mode::kPrint) {
    if (each.omit_empty && values.empty()) return;
    Node map = Node::Object();
    for (const auto& [name, value] : values) {
      map.Add(name, Node::String(each.secret && !session_.show_secrets ? std::string(kMask)
                                 : each.raw                            ? value
                                                                       : EscapeReferences(value)));
    }
    out_->Add(std::string(key), std::move(map));
    return;
  }
  const Member* member = Look(key);
  if (member == nullptr) return;
  Node parsed;
  const std::string pointer = AppendPointer(pointer_, key);
  const Node* node = Container(member->value, Kind::kObject, pointer, parsed);
  if (node == nullptr) return;
  values.clear();
  Object child(session_, node, nullptr, pointer, PathOf(key));
  for (const Member& entry : node->members) child.Field(entry.name, values[entry.name], each);
}

const Node* Object::Container(const Node& node, Kind kind, const std::string& pointer,
                              Node& parsed) {
  if (node.kind == kind) return &node;
  if (node.kind == Kind::kBroken) return nullptr;
  const char* const allowed = kind == Kind::kObject ? "an object { ... }" : "a list [ ... ]";
  if (node.kind == Kind::kText) {
    Parsed result = ParseJsonc(node.text, node.place.source, false);
    if (result.usable && result.problems.empty() && result.root.kind == kind) {
      parsed = std::move(result.root);
      return &parsed;
    }
    for (Problem& problem : result.problems) {
      problem.pointer = pointer + problem.pointer;
      session_.problems.push_back(std::move(problem));
    }
    if (!result.problems.empty()) return nullptr;
    Report(node.place, pointer, ShowType(result.root), std::string("JSON, ") + allowed);
    return nullptr;
  }
  Report(node.place, pointer, Show(node), allowed);
  return nullptr;
}

void Object::Walk(std::string_view key, const std::function<void(Object&)>& bind) {
  if (session_.mode == Mode::kDescribe) {
    Object child(session_, nullptr, nullptr, "", PathOf(key));
    bind(child);
    return;
  }
  if (session_.mode == Mode::kPrint) {
    Node out;
    Object child(session_, nullptr, &out);
    bind(child);
    out_->Add(std::string(key), std::move(out));
    return;
  }
  const Member* member = Look(key);
  const std::string pointer = AppendPointer(pointer_, key);
  Node parsed;
  const Node* node =
      member == nullptr ? nullptr : Container(member->value, Kind::kObject, pointer, parsed);
  if (member != nullptr && node == nullptr) return;
  Object child(session_, node, nullptr, pointer, PathOf(key), place_);
  bind(child);
  child.Finish();
}

void Object::WalkList(std::string_view key, size_t count, size_t max_items,
                      const std::function<void()>& clear,
                      const std::function<void(Object&, size_t)>& each) {
  if (session_.mode == Mode::kDescribe) {
    Object child(session_, nullptr, nullptr, "", PathOf(key) + "[]");
    each(child, 0);
    return;
  }
  if (session_.mode == Mode::kPrint) {
    Node list = Node::Array();
    for (size_t i = 0; i < count; ++i) {
      Node item;
      Object child(session_, nullptr, &item);
      each(child, i);
      list.items.push_back(std::move(item));
    }
    out_->Add(std::string(key), std::move(list));
    return;
  }
  const Member* member = Look(key);
  if (member == nullptr) return;
  const std::string pointer = AppendPointer(pointer_, key);
  Node parsed;
  const Node* list = Container(member->value, Kind::kArray, pointer, parsed);
  if (list == nullptr) return;
  if (list->items.size() > max_items) {
    Report(list->place, pointer, std::to_string(list->items.size()) + " items",
           "at most " + std::to_string(max_items));
    return;
  }
  clear();
  for (size_t i = 0; i < list->items.size(); ++i) {
    const std::string item_pointer = AppendPointer(pointer, std::to_string(i));
    Node parsed_item;
    const Node* item = Container(list->items[i], Kind::kObject, item_pointer, parsed_item);
    // A bad item still takes its place, so that indexes in problems stay true.
    const Node empty = Node::Object();
    Session scratch;
    Object child(item == nullptr ? scratch : session_, item == nullptr ? &empty : item, nullptr,
                 item_pointer, PathOf(key) + "[]");
    each(child, i);
    child.Finish();
  }
}

void Object::WalkMap(std::string_view key, const std::vector<std::string>& names,
                     const std::optional<Merge>& merge, const std::function<void()>& clear,
                     const std::function<void(const std::string&)>& erase,
                     const std::function<void(Object&, const std::string&)>& each) {
  if (session_.mode == Mode::kDescribe) {
    Object child(session_, nullptr, nullptr, "", PathOf(key) + ".*");
    each(child, "*");
    return;
  }
  if (session_.mode == Mode::kPrint) {
    Node map = Node::Object();
    for (const std::string& name : names) {
      Node item;
      Object child(session_, nullptr, &item);
      each(child, name);
      map.Add(name, std::move(item));
    }
    if (merge) {
      for (const std::string& name : merge->removed) map.Add(name, Node());
    }
    out_->Add(std::string(key), std::move(map));
    return;
  }
  const Member* member = Look(key);
  if (member == nullptr) return;
  const std::string pointer = AppendPointer(pointer_, key);
  Node parsed;
  const Node* map = Container(member->value, Kind::kObject, pointer, parsed);
  if (map == nullptr) return;
  if (!merge) clear();
  for (const Member& entry : map->members) {
    if (merge && entry.value.kind == Kind::kNull) {
      erase(entry.name);
      continue;
    }
    const std::string item_pointer = AppendPointer(pointer, entry.name);
    Node parsed_item;
    const Node* item = Container(entry.value, Kind::kObject, item_pointer, parsed_item);
    if (item == nullptr) continue;
    Object child(session_, item, nullptr, item_pointer, PathOf(key) + ".*");
    each(child, entry.name);
    child.Finish();
  }
}

Place PlaceAt(const Node& root, std::string_view pointer) {
  const Node* node = &root;
  for (const std::string& name : SplitPointer(pointer)) {
    const Node* next = nullptr;
    if (node->kind == Kind::kArray) {
      const std::optional<int64_t> index = ParseInteger(name);
      if (index && *index >= 0 && static_cast<size_t>(*index) < node->items.size()) {
        next = &node->items[static_cast<size_t>(*index)];
      }
    } else if (const Member* member = node->Find(name)) {
      next = &member->value;
    }
    if (next == nullptr) break;
    node = next;
  }
  return node->place;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates) {
  size_t best = name.size() <= 3 ? 2 : std::max<size_t>(2, name.size() / 3) + 1;
  std::string guess;
  if (name.size() > 64) return guess;
  const std::string lower = LowerCase(name);
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(lower, LowerCase(candidate));
    if (distance < best && distance < std::max(name.size(), candidate.size())) {
      best = distance;
      guess = candidate;
    }
  }
  return guess;
}

}  // namespace vr::config
