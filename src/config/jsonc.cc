#include "config/jsonc.h"

#include <cstdint>
#include <unordered_map>

namespace vr::config {
namespace {

using Kind = Node::Kind;

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || c == '-' || c == '+' || c == '.' ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

/// RFC 8259 §6.
bool IsJsonNumber(std::string_view s) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < s.size() && IsDigit(s[i])) ++i;
    return i > start;
  };
  if (i < s.size() && s[i] == '-') ++i;
  if (i < s.size() && s[i] == '0') {
    ++i;
  } else if (!digits()) {
    return false;
  }
  if (i < s.size() && s[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    ++i;
    if (i < s.size() && (s[i] == '+' || s[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == s.size();
}

void AppendUtf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& source, bool with_lines)
      : text_(text), source_(source), with_lines_(with_lines) {}

  Parsed Run() {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") {
      pos_ = 3;  // a byte order mark is not a character of the file
    }
    if (const size_t bad = FindInvalidUtf8(text_); bad != std::string_view::npos) {
      while (pos_ < bad) Advance();
      char hex[8];
      constexpr char kHex[] = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(text_[bad]);
      hex[0] = kHex[byte >> 4];
      hex[1] = kHex[byte & 15];
      hex[2] = 0;
      Damage(Here(), "", std::string("byte 0x") + hex, "UTF-8 text");
      return std::move(out_);
    }
    SkipSpace();
    if (AtEnd()) {
      Damage(Here(), "", "an empty document", "a JSON object");
      return std::move(out_);
    }
    out_.root = ParseValue("", 0);
    SkipSpace();
    if (!AtEnd() && !stopped_) Damage(Here(), "", ShowNext(), "nothing after the document's end");
    return std::move(out_);
  }

 private:
  bool AtEnd() const { return pos_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[pos_]; }
  Place Here() const { return with_lines_ ? Place{source_, line_, column_} : Place{source_, 0, 0}; }

  void Advance() {
    const char c = text_[pos_++];
    if (c == '\n') {
      ++line_;
      column_ = 1;
    } else if (AtEnd() || (static_cast<unsigned char>(text_[pos_]) & 0xC0) != 0x80) {
      ++column_;
    }
  }

  void Report(Place place, std::string pointer, std::string found, std::string allowed) {
    if (out_.problems.size() >= kMaxSyntaxProblems) {
      stopped_ = true;
      out_.usable = false;
      return;
    }
    out_.problems.push_back(
        {std::move(place), std::move(pointer), std::move(found), std::move(allowed)});
  }
  void Damage(Place place, std::string pointer, std::string found, std::string allowed) {
    out_.usable = false;
    Report(std::move(place), std::move(pointer), std::move(found), std::move(allowed));
  }

  std::string ShowNext() const {
    if (AtEnd()) return "the end of the text";
    size_t end = pos_;
    while (end < text_.size() && IsWordChar(text_[end]) && end - pos_ < 40) ++end;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    if (end == pos_) ++end;
    return Quote(text_.substr(pos_, end - pos_));
  }

  void SkipSpace() {
    while (!AtEnd()) {
      const char c = Peek();
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        Advance();
      } else if (c == '/' && pos_ + 1 < text_.size() && text_[pos_ + 1] == '/') {
        while (!AtEnd() && Peek() != '\n') Advance();
      } else if (c == '/' && pos_ + 1 < text_.size() && text_[pos_ + 1] == '*') {
        const Place start = Here();
        Advance();
        Advance();
        while (!AtEnd() && text_.substr(pos_, 2) != "*/") Advance();
        if (AtEnd()) {
          Damage(start, "", "a comment without end", "/* ... */");
          return;
        }
        Advance();
        Advance();
      } else {
        return;
      }
    }
  }

  /// After an error: on to the next ',' or closing bracket of this level.
  void Resync() {
    int depth = 0;
    while (!AtEnd()) {
      SkipSpace();
      const char c = Peek();
      if (AtEnd()) return;
      if (c == '"') {
        const bool reported_before = stopped_;
        std::string ignored;
        quiet_ = true;
        ParseString("", ignored);
        quiet_ = false;
        stopped_ = reported_before;
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') {
        if (depth == 0) return;
        --depth;
      }
      if (c == ',' && depth == 0) return;
      Advance();
    }
  }

  bool ParseString(const std::string& pointer, std::string& value) {
    const Place start = Here();
    Advance();
    bool good = true;
    while (true) {
      if (AtEnd() || Peek() == '\n') {
        if (!quiet_)
          Damage(start, pointer, "a string without end", "a closing \" on the same line");
        return false;
      }
      const char c = Peek();
      if (c == '"') {
        Advance();
        return good;
      }
      if (static_cast<unsigned char>(c) < 0x20) {
        if (!quiet_)
          Report(Here(), pointer, "a control character in a string",
                 "an escape such as \\t or \\u0009");
        good = false;
        Advance();
      } else if (c == '\\') {
        good = ParseEscape(pointer, value) && good;
      } else {
        value += c;
        Advance();
      }
    }
  }

  bool ParseEscape(const std::string& pointer, std::string& value) {
    const Place start = Here();
    const size_t begin = pos_;
    Advance();
    const char c = Peek();
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    if (const size_t i = kFrom.find(c); !AtEnd() && i != std::string_view::npos) {
      value += kTo[i];
      Advance();
      return true;
    }
    if (c == 'u') {
      Advance();
      uint32_t unit = 0;
      if (ParseHex4(unit)) {
        if (unit >= 0xD800 && unit < 0xDC00 && text_.substr(pos_, 2) == "\\u") {
          Advance();
          Advance();
          uint32_t low = 0;
          if (ParseHex4(low) && low >= 0xDC00 && low < 0xE000) {
            AppendUtf8(value, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
            return true;
          }
        } else if (unit < 0xD800 || unit >= 0xE000) {
          if (unit != 0) {
            AppendUtf8(value, unit);
            return true;
          }
        }
      }
    } else if (!AtEnd() && c != '\n') {
      Advance();
    }
    if (!quiet_) {
      size_t end = pos_;
      while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
      Report(start, pointer, "the escape " + std::string(text_.substr(begin, end - begin)),
             R"(\" \\ \/ \b \f \n \r \t or \uXXXX (a whole character, not NUL))");
    }
    return false;
  }

  bool ParseHex4(uint32_t& unit) {
    for (int i = 0; i < 4; ++i) {
      const char c = Peek();
      uint32_t digit = 0;
      if (IsDigit(c)) {
        digit = static_cast<uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<uint32_t>(c - 'A' + 10);
      } else {
        return false;
      }
      unit = unit * 16 + digit;
      Advance();
    }
    return true;
  }

  Node ParseValue(const std::string& pointer, int depth) {
    Node node;
    node.place = Here();
    const char c = Peek();
    if (c == '{' || c == '[') {
      if (depth >= kMaxDepth) {
        Damage(Here(), pointer, "nesting deeper than " + std::to_string(kMaxDepth) + " levels",
               "at most " + std::to_string(kMaxDepth));
        stopped_ = true;
        pos_ = text_.size();
        node.kind = Kind::kBroken;
        return node;
      }
      if (c == '{') {
        ParseObject(node, pointer, depth);
      } else {
        ParseArray(node, pointer, depth);
      }
      return node;
    }
    if (c == '"') {
      node.kind = ParseString(pointer, node.text) ? Kind::kString : Kind::kBroken;
      return node;
    }
    const std::string shown = ShowNext();
    const size_t start = pos_;
    while (!AtEnd() && IsWordChar(Peek())) Advance();
    const std::string_view word = text_.substr(start, pos_ - start);
    if (word == "true" || word == "false") {
      node.kind = Kind::kBool;
      node.boolean = word == "true";
    } else if (word == "null") {
      node.kind = Kind::kNull;
    } else if (IsJsonNumber(word)) {
      node.kind = Kind::kNumber;
      node.text = std::string(word);
    } else {
      node.kind = Kind::kBroken;
      constexpr const char* kAllowed =
          R"(a JSON value ("text", 12, 1.5, true, false, null, [...] or {...}))";
      if (word.empty()) {
        Damage(node.place, pointer, shown, kAllowed);
        Resync();
      } else {
        Report(node.place, pointer, shown, kAllowed);
      }
    }
    return node;
  }

  /// After an item: true to go on with the next one, false when the container is closed or the text
  /// ended.
  bool NextItem(char close, const std::string& pointer, const Place& start) {
    SkipSpace();
    if (stopped_) return false;
    if (Peek() == ',' && !AtEnd()) {
      Advance();
      SkipSpace();
      if (!AtEnd() && Peek() == ',') {
        Damage(Here(), pointer, "\",\"", close == '}' ? "a member or \"}\"" : "a value or \"]\"");
        while (!AtEnd() && Peek() == ',') {
          Advance();
          SkipSpace();
        }
      }
    } else if (!AtEnd() && Peek() != close) {
      Damage(Here(), pointer, ShowNext(), std::string("\",\" or \"") + close + '"');
      if (Peek() == '}' || Peek() == ']') return false;  // the wrong bracket closes us
    }
    if (AtEnd()) {
      Damage(Here(), pointer, "the end of the text",
             std::string("\"") + close + '"' +
                 (with_lines_ ? " to close what was opened in line " + std::to_string(start.line)
                              : ""));
      stopped_ = true;
      return false;
    }
    return Peek() != close;
  }

  void CloseWith() {
    if (!AtEnd() && (Peek() == '}' || Peek() == ']')) Advance();
  }

  void ParseArray(Node& node, const std::string& pointer, int depth) {
    node.kind = Kind::kArray;
    Advance();
    SkipSpace();
    if (!AtEnd() && Peek() == ']') {
      Advance();
      return;
    }
    do {
      const size_t before = pos_;
      node.items.push_back(
          ParseValue(AppendPointer(pointer, std::to_string(node.items.size())), depth + 1));
      if (pos_ == before && !AtEnd() && Peek() != ',' && Peek() != ']' && Peek() != '}') Advance();
    } while (!stopped_ && NextItem(']', pointer, node.place));
    CloseWith();
  }

  void ParseObject(Node& node, const std::string& pointer, int depth) {
    node.kind = Kind::kObject;
    Advance();
    SkipSpace();
    if (!AtEnd() && Peek() == '}') {
      Advance();
      return;
    }
    std::unordered_map<std::string, int> seen;  // name → line
    do {
      ParseMember(node, pointer, depth, seen);
    } while (!stopped_ && NextItem('}', pointer, node.place));
    CloseWith();
  }

  void ParseMember(Node& node, const std::string& pointer, int depth,
                   std::unordered_map<std::string, int>& seen) {
    Member member;
    member.place = Here();
    if (AtEnd()) return;  // NextItem() says so
    if (Peek() != '"') {
      Damage(Here(), pointer, ShowNext(), "a key in double quotes");
      Resync();
      return;
    }
    if (!ParseString(pointer, member.name)) {
      Resync();
      return;
    }
    const std::string child = AppendPointer(pointer, member.name);
    SkipSpace();
    if (AtEnd() || Peek() != ':') {
      Damage(Here(), child, ShowNext(), "\":\" and a value");
      Resync();
      return;
    }
    Advance();
    SkipSpace();
    if (AtEnd()) {
      Damage(Here(), child, ShowNext(), "a value");
      stopped_ = true;
      return;
    }
    member.value = ParseValue(child, depth + 1);
    const auto [it, is_new] = seen.emplace(member.name, member.place.line);
    if (!is_new) {
      std::string found = "the key " + Quote(member.name) + " again";
      if (with_lines_) found += " (first in line " + std::to_string(it->second) + ")";
      Report(member.place, child, std::move(found), "each key once");
      return;
    }
    node.members.push_back(std::move(member));
  }

  std::string_view text_;
  const std::string& source_;
  bool with_lines_;
  size_t pos_ = 0;
  int line_ = 1;
  int column_ = 1;
  bool stopped_ = false;
  bool quiet_ = false;
  Parsed out_;
};

}  // namespace

size_t FindInvalidUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || i + length > text.size()) return i;
    uint32_t value = lead & (0xFFu >> (length + 1));
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return i;
      value = (value << 6) | (next & 0x3F);
    }
    const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    if (overlong || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return i;
    i += length;
  }
  return std::string_view::npos;
}

Parsed ParseJsonc(std::string_view text, const std::string& source, bool with_lines) {
  return Parser(text, source, with_lines).Run();
}

}  // namespace vr::config
