// Tries: the sources of a forwarded request, in which order they are asked, and what came of each.
//
// A source that has seen nothing of the request is followed by the next one; one that may have seen
// it ends the round, and all of it unless it is worth another try. When some are, and the request
// may be sent twice, there is a pause and then a round of those and of the ones not asked yet.
// Thread-compatible, no I/O.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace vr::delivery {

/// How one try ended that brought no answer.
struct TryEnd {
  std::string text;  ///< in a word, for those who asked; names no host
  bool was_sent = false;
  bool was_skipped = false;  ///< its circuit is open
  /// Set: worth another try, after this long at least.
  std::optional<std::chrono::milliseconds> retry;
};

class Tries {
 public:
  /// @param types of the sources, in their order ("http"); not empty
  /// @param repeats how many rounds may follow the first; 0 for a request that must not be sent
  /// twice
  Tries(std::vector<std::string> types, int repeats);

  /// The source that is to be asked now.
  size_t at() const { return at_; }
  /// @return how long to wait before at() is asked; nullopt: nobody is
  std::optional<std::chrono::milliseconds> Next(TryEnd end);

  /// How many rounds are over.
  int round() const { return round_; }
  /// Whether a source that is worth another try gets one.
  bool may_repeat() const { return round_ < repeats_; }

  /// No source was asked at all.
  bool were_all_skipped() const { return were_all_skipped_; }
  /// "http: unreachable, http: timeout".
  std::string Text() const;

 private:
  struct Place {
    std::string type;
    std::vector<std::string> ends;
    std::optional<std::chrono::milliseconds> retry;
  };
  bool IsDue(const Place& place) const { return place.ends.empty() || place.retry; }

  const int repeats_;
  std::vector<Place> places_;
  size_t at_ = 0;
  int round_ = 0;
  bool were_all_skipped_ = true;
};

/// In a word, or by its fact "upstream", how a transfer failed that brought no answer.
std::string TryText(const Error& error);

}  // namespace vr::delivery
