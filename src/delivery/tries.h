// Tries: the sources of a forwarded request, in which order they are asked, and what came of each.
//
// A source that has seen nothing of the request is followed by the next one; one that may have seen
// it is the last. Thread-compatible, no I/O.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace vr::delivery {

/// How one try ended that brought no answer.
struct TryEnd {
  std::string text;  ///< in a word, for those who asked; names no host
  bool was_sent = false;
  bool was_skipped = false;  ///< its circuit is open
};

class Tries {
 public:
  /// @param types of the sources, in their order ("http"); not empty
  explicit Tries(std::vector<std::string> types);

  /// The source that is to be asked now.
  size_t at() const { return at_; }
  /// @return whether another source is to be asked
  bool Next(TryEnd end);

  /// No source was asked at all.
  bool were_all_skipped() const { return were_all_skipped_; }
  /// "http: unreachable, http: timeout".
  std::string Text() const;

 private:
  struct Place {
    std::string type;
    std::vector<std::string> ends;
  };
  std::vector<Place> places_;
  size_t at_ = 0;
  bool were_all_skipped_ = true;
};

/// In a word, how a transfer failed that brought no answer.
std::string TryText(const Error& error);

}  // namespace vr::delivery
