#include "import/draft.h"

#include <algorithm>
#include <iterator>

#include "config/problem.h"

namespace vr::import {
namespace {

using config::Node;

constexpr size_t kInlineBytes = 112;
constexpr size_t kCommentBytes = 96;
constexpr std::string_view kOrder[] = {
    "listen",      "admin",      "data",  "origins",   "buckets", "derivatives", "responsive",
    "passthrough", "validation", "cache", "transform", "access",  "debug",       "log"};

std::string PointerOf(const Draft::Path& path) {
  std::string out;
  for (const std::string& name : path) out = config::AppendPointer(out, name);
  return out;
}

const Node* At(const Node& root, const Draft::Path& path) {
  const Node* node = &root;
  for (const std::string& name : path) {
    const config::Member* member = node->Find(name);
    if (member == nullptr) return nullptr;
    node = &member->value;
  }
  return node;
}

Node& Make(Node& root, const Draft::Path& path, const Node& last) {
  Node* node = &root;
  for (size_t i = 0; i < path.size(); ++i) {
    config::Member* member = node->Find(path[i]);
    if (member == nullptr) {
      node->Add(path[i], i + 1 == path.size() ? last : Node::Object());
      member = node->Find(path[i]);
    }
    node = &member->value;
  }
  return *node;
}

class Writer {
 public:
  explicit Writer(const std::map<std::string, std::string>& comments) : comments_(comments) {}

  void Value(const Node& node, const std::string& pointer, size_t depth) {
    const bool is_array = node.is(Node::Kind::kArray);
    const bool is_container = is_array || node.is(Node::Kind::kObject);
    if (!is_container || (node.items.empty() && node.members.empty())) {
      out_ += config::WriteJsonLine(node);
      return;
    }
    const bool is_list_of_objects = is_array && node.items[0].is(Node::Kind::kObject);
    if (depth > 1 && !is_list_of_objects && !HasCommentBelow(pointer)) {
      std::string line = config::WriteJsonLine(node);
      if (!is_array) line = "{ " + line.substr(1, line.size() - 2) + " }";
      if (line.size() + 2 * depth <= kInlineBytes) {
        out_ += line;
        return;
      }
    }
    out_ += is_array ? "[" : "{";
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string below = config::AppendPointer(pointer, std::to_string(i));
      Begin(below, depth + 1);
      Value(node.items[i], below, depth + 1);
      out_ += ',';
    }
    for (const config::Member& member : node.members) {
      const std::string below = config::AppendPointer(pointer, member.name);
      Begin(below, depth + 1);
      out_ += config::Quote(member.name) + ": ";
      Value(member.value, below, depth + 1);
      out_ += ',';
    }
    out_ += '\n' + std::string(2 * depth, ' ') + (is_array ? "]" : "}");
  }

  void CommentLines(const std::string& text, size_t indent) {
    std::string line;
    const auto flush = [&] {
      if (!line.empty()) out_ += std::string(indent, ' ') + "//" + line + "\n";
      line.clear();
    };
    size_t at = 0;
    while (at < text.size()) {
      size_t end = text.find_first_of(" \n", at);
      if (end == std::string::npos) end = text.size();
      std::string word = text.substr(at, end - at);
      for (char& c : word) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
      }
      if (line.size() + word.size() + indent > kCommentBytes) flush();
      if (!word.empty()) line += " " + word;
      if (end < text.size() && text[end] == '\n') flush();
      at = end + 1;
    }
    flush();
  }

  std::string out_;

 private:
  bool HasCommentBelow(const std::string& pointer) const {
    const auto it = comments_.lower_bound(pointer + "/");
    return it != comments_.end() && it->first.compare(0, pointer.size() + 1, pointer + "/") == 0;
  }

  void Begin(const std::string& pointer, size_t depth) {
    out_ += '\n';
    const auto it = comments_.find(pointer);
    if (it != comments_.end()) CommentLines(it->second, 2 * depth);
    out_ += std::string(2 * depth, ' ');
  }

  const std::map<std::string, std::string>& comments_;
};

}  // namespace

bool Draft::Has(const Path& path) const {
  return At(node_, path) != nullptr;
}

const Node* Draft::FromAt(const Path& path) const {
  const auto it = from_.find(PointerOf(path));
  return it == from_.end() ? nullptr : it->second;
}

std::string Draft::Set(const Path& path, Node value, const Node* from) {
  std::string pointer = PointerOf(path);
  Make(node_, path, Node()) = std::move(value);
  if (from != nullptr) from_[pointer] = from;
  return pointer;
}

void Draft::Adopt(const std::string& pointer, Draft& other) {
  for (auto& [below, text] : other.comments_) comments_[pointer + below] = std::move(text);
  for (const auto& [below, node] : other.from_) from_[pointer + below] = node;
}

std::string Draft::Put(const Path& path, Draft object) {
  std::string pointer = PointerOf(path);
  Adopt(pointer, object);
  Make(node_, path, Node()) = std::move(object.node_);
  return pointer;
}

std::string Draft::Append(const Path& path, Draft item) {
  Node& list = Make(node_, path, Node::Array());
  std::string pointer = config::AppendPointer(PointerOf(path), std::to_string(list.items.size()));
  Adopt(pointer, item);
  list.items.push_back(std::move(item.node_));
  return pointer;
}

void Draft::Comment(const Path& path, const std::string& text) {
  std::string& comment = comments_[PointerOf(path)];
  comment += (comment.empty() ? "" : "\n") + text;
}

std::string Draft::Write(const std::vector<std::string>& head) const {
  Writer writer(comments_);
  for (const std::string& line : head) writer.CommentLines(line, 0);
  Node sorted = node_;
  std::stable_sort(sorted.members.begin(), sorted.members.end(),
                   [](const config::Member& a, const config::Member& b) {
                     const auto rank = [](const std::string& name) {
                       return std::find(std::begin(kOrder), std::end(kOrder), name) -
                              std::begin(kOrder);
                     };
                     return rank(a.name) < rank(b.name);
                   });
  writer.Value(sorted, "", 0);
  return writer.out_ + "\n";
}

}  // namespace vr::import
