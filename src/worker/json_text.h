// JsonText: writes one JSON document, indented, keys in the order in which they come. Strings may
// be anything: what is no UTF-8 becomes U+FFFD, so the text is always valid.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace vr::worker {

class JsonText {
 public:
  JsonText() { Open('{'); }

  void Add(std::string_view key, std::string_view value);
  void Add(std::string_view key, const char* value) { Add(key, std::string_view(value)); }
  void Add(std::string_view key, bool value);
  /// At most six digits after the point; null when it is not finite.
  void Add(std::string_view key, double value);
  template <std::integral T>
  void Add(std::string_view key, T value) {
    Key(key);
    text_ += std::to_string(value);
  }
  void OpenObject(std::string_view key);
  void OpenList(std::string_view key);
  void OpenObjectInList();
  void AddToList(std::string_view value);
  void Close();
  /// Ends the document. @return it, with a line end
  std::string Finish() &&;

 private:
  void Open(char bracket);
  void Key(std::string_view key);
  void NextItem();
  void Quote(std::string_view text);

  std::string text_;
  std::string open_;  // the closing brackets that are due
  bool is_first_ = true;
};

/// `text` as UTF-8 of at most `max_bytes`, cut between characters; control characters become
/// spaces.
std::string CleanText(std::string_view text, size_t max_bytes);

}  // namespace vr::worker
