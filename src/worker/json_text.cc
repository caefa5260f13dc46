#include "worker/json_text.h"

#include <cmath>
#include <cstdio>
#include <utility>

namespace vr::worker {
namespace {

/// Length of the well-formed UTF-8 sequence at the beginning, 0 = it is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first < 0xE0   ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies behind U+10FFFF.
  const unsigned char second = byte(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return length;
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string CleanText(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    std::string_view piece = length == 0 ? kReplacement : text.substr(0, length);
    if (length == 1 && (static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7F)) piece = " ";
    if (out.size() + piece.size() > max_bytes) break;
    out += piece;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

void JsonText::Open(char bracket) {
  text_ += bracket;
  open_ += bracket == '{' ? '}' : ']';
  is_first_ = true;
}

void JsonText::NextItem() {
  if (!is_first_) text_ += ',';
  is_first_ = false;
  text_ += '\n';
  text_.append(2 * open_.size(), ' ');
}

void JsonText::Quote(std::string_view text) {
  text_ += '"';
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      text_ += kReplacement;
    } else if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += text[0];
    } else if (c < 0x20 || c == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      text_ += escape;
    } else {
      text_ += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  text_ += '"';
}

void JsonText::Key(std::string_view key) {
  NextItem();
  Quote(key);
  text_ += ": ";
}

void JsonText::Add(std::string_view key, std::string_view value) {
  Key(key);
  Quote(value);
}

void JsonText::Add(std::string_view key, bool value) {
  Key(key);
  text_ += value ? "true" : "false";
}

void JsonText::Add(std::string_view key, double value) {
  Key(key);
  if (!std::isfinite(value) || std::fabs(value) > 1e15) {
    text_ += "null";
    return;
  }
  char number[48];
  std::snprintf(number, sizeof number, "%.6f", value);
  std::string digits = number;
  while (digits.back() == '0') digits.pop_back();
  if (digits.back() == '.') digits.pop_back();
  text_ += digits == "-0" ? "0" : digits;
}

void JsonText::OpenObject(std::string_view key) {
  Key(key);
  Open('{');
}

void JsonText::OpenList(std::string_view key) {
  Key(key);
  Open('[');
}

void JsonText::OpenObjectInList() {
  NextItem();
  Open('{');
}

void JsonText::AddToList(std::string_view value) {
  NextItem();
  Quote(value);
}

void JsonText::Close() {
  const char bracket = open_.back();
  open_.pop_back();
  if (!is_first_) {
    text_ += '\n';
    text_.append(2 * open_.size(), ' ');
  }
  text_ += bracket;
  is_first_ = false;
}

std::string JsonText::Finish() && {
  while (!open_.empty()) Close();
  text_ += '\n';
  return std::move(text_);
}

}  // namespace vr::worker
