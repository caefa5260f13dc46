#include "http/structured_fields.h"

#include <algorithm>

#include "http/ascii.h"

namespace vr::http {

namespace {

bool IsLower(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsAlpha(char c) {
  return IsLower(ToLower(c));
}
/// %x20-7E
bool IsPrintable(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x20 && u < 0x7f;
}

/// The algorithms of RFC 9651 §4.2, one function each. Every function returns false when the field
/// fails parsing.
class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  bool Dictionary(SfDictionary& out) {
    SkipSpaces();
    while (!rest_.empty()) {
      SfMember member;
      if (!Key(member.key)) return false;
      if (Take('=')) {
        if (!ItemOrInnerList(member.value)) return false;
      } else if (!Parameters()) {
        return false;
      }
      const auto old = std::find_if(out.begin(), out.end(),
                                    [&](const SfMember& m) { return m.key == member.key; });
      if (old != out.end()) {
        old->value = std::move(member.value);
      } else {
        out.push_back(std::move(member));
      }
      SkipBlanks();
      if (rest_.empty()) return true;
      if (!Take(',')) return false;
      SkipBlanks();
      if (rest_.empty()) return false;  // a trailing comma
    }
    return true;
  }

 private:
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void SkipSpaces() {
    while (Take(' ')) {
    }
  }
  void SkipBlanks() {
    while (Take(' ') || Take('\t')) {
    }
  }

  bool Key(std::string& out) {
    if (rest_.empty() || (!IsLower(rest_.front()) && rest_.front() != '*')) return false;
    size_t n = 0;
    while (n < rest_.size() && (IsLower(rest_[n]) || IsDigit(rest_[n]) || rest_[n] == '_' ||
                                rest_[n] == '-' || rest_[n] == '.' || rest_[n] == '*')) {
      ++n;
    }
    out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return true;
  }

  bool Parameters() {
    while (Take(';')) {
      SkipSpaces();
      std::string key;
      if (!Key(key)) return false;
      SfItem ignored;
      if (Take('=') && !BareItem(ignored)) return false;
    }
    return true;
  }

  bool ItemOrInnerList(SfItem& out) {
    if (!Take('(')) return BareItem(out) && Parameters();
    out.kind = SfItem::Kind::kInnerList;
    for (;;) {
      SkipSpaces();
      if (Take(')')) return Parameters();
      SfItem inner;
      if (!BareItem(inner) || !Parameters()) return false;
      if (rest_.empty() || (rest_.front() != ' ' && rest_.front() != ')')) return false;
    }
  }

  bool BareItem(SfItem& out) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    if (c == '-' || IsDigit(c)) return Number(out);
    if (c == '"') return String(out);
    if (c == '*' || IsAlpha(c)) return Token(out);
    if (c == ':') return Bytes(out);
    if (c == '?') return Boolean(out);
    if (c == '@') {
      rest_.remove_prefix(1);
      if (!Number(out) || out.kind != SfItem::Kind::kInteger) return false;
      out.kind = SfItem::Kind::kDate;
      return true;
    }
    return c == '%' && DisplayString(out);
  }

  bool Number(SfItem& out) {
    const bool is_negative = Take('-');
    size_t digits = 0;
    int64_t value = 0;
    while (digits < rest_.size() && IsDigit(rest_[digits])) {
      if (++digits > 15) return false;
      value = value * 10 + (rest_[digits - 1] - '0');
    }
    if (digits == 0) return false;
    rest_.remove_prefix(digits);
    out.kind = SfItem::Kind::kInteger;
    out.integer = is_negative ? -value : value;
    if (!Take('.')) return true;
    size_t fraction = 0;
    while (fraction < rest_.size() && IsDigit(rest_[fraction])) ++fraction;
    if (digits > 12 || fraction == 0 || fraction > 3) return false;
    rest_.remove_prefix(fraction);
    out.kind = SfItem::Kind::kDecimal;
    return true;
  }

  bool String(SfItem& out) {
    rest_.remove_prefix(1);
    out.kind = SfItem::Kind::kString;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (rest_.empty()) return false;
        c = rest_.front();
        rest_.remove_prefix(1);
        if (c != '"' && c != '\\') return false;
      } else if (!IsPrintable(c)) {
        return false;
      }
      out.text += c;
    }
    return false;
  }

  bool Token(SfItem& out) {
    size_t n = 1;
    while (n < rest_.size() && (IsTokenChar(rest_[n]) || rest_[n] == ':' || rest_[n] == '/')) ++n;
    out.kind = SfItem::Kind::kToken;
    out.text = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return true;
  }

  bool Bytes(SfItem& out) {
    const size_t end = rest_.find(':', 1);
    if (end == std::string_view::npos) return false;
    for (char c : rest_.substr(1, end - 1)) {
      if (!IsAlpha(c) && !IsDigit(c) && c != '+' && c != '/' && c != '=') return false;
    }
    out.kind = SfItem::Kind::kBytes;
    rest_.remove_prefix(end + 1);
    return true;
  }

  bool Boolean(SfItem& out) {
    if (rest_.size() < 2 || (rest_[1] != '0' && rest_[1] != '1')) return false;
    out.kind = SfItem::Kind::kBoolean;
    out.boolean = rest_[1] == '1';
    rest_.remove_prefix(2);
    return true;
  }

  bool DisplayString(SfItem& out) {
    if (!rest_.starts_with("%\"")) return false;
    rest_.remove_prefix(2);
    out.kind = SfItem::Kind::kDisplayString;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (!IsPrintable(c)) return false;
      if (c != '%') continue;
      const auto is_hex = [](char h) { return IsDigit(h) || (h >= 'a' && h <= 'f'); };
      if (rest_.size() < 2 || !is_hex(rest_[0]) || !is_hex(rest_[1])) return false;
      rest_.remove_prefix(2);
    }
    return false;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<SfDictionary> ParseSfDictionary(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  SfDictionary out;
  if (!Parser(text).Dictionary(out)) return std::nullopt;
  return out;
}

}  // namespace vr::http
