// GhostList: what was known of items that are gone, so that one that comes back is no stranger.
//
// Bounded: the oldest is forgotten first. Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>

#include "capacity/item_table.h"

namespace vr::capacity {

template <class Known>
class GhostList {
 public:
  GhostList() : ghosts_(0), order_(ghosts_) {}

  /// It is the newest now.
  void Remember(uint64_t id, const Known& known) {
    Take(id);
    const Index at = ghosts_.Add({.id = id});
    ghosts_[at].known = known;
    order_.PushNewest(at);
  }
  /// Forgets it too.
  std::optional<Known> Take(uint64_t id) {
    const Index at = ghosts_.Find(id);
    if (at == kNoIndex) return std::nullopt;
    const Known known = ghosts_[at].known;
    Forget(at);
    return known;
  }
  /// Null when it is not known; valid until the next change.
  Known* Find(uint64_t id) {
    const Index at = ghosts_.Find(id);
    return at == kNoIndex ? nullptr : &ghosts_[at].known;
  }
  /// Forgets the oldest until at most `limit` are left.
  void Shrink(size_t limit) {
    while (ghosts_.size() > limit) Forget(order_.oldest());
  }
  /// Calls `f(id, known)`, oldest first.
  template <class F>
  void ForEach(F f) const {
    for (Index at = order_.oldest(); at != kNoIndex; at = ghosts_[at].newer) {
      f(ghosts_[at].id, ghosts_[at].known);
    }
  }
  size_t size() const { return ghosts_.size(); }

 private:
  struct Ghost : QueuedNode {
    Known known{};
  };
  void Forget(Index at) {
    order_.Remove(at);
    ghosts_.Remove(at);
  }

  ItemTable<Ghost> ghosts_;
  ItemQueue<Ghost> order_;
};

}  // namespace vr::capacity
