// LazyHeap: finds the item of the least worth, when the worth of an item only ever grows between
// two looks at it.
//
// A heap of (worth when last looked at, item). Whoever raises an item's worth tells nobody: an
// entry that comes to the top with an old worth is sorted in anew then. So raising costs nothing,
// and taking the least one O(log n) for itself and for each outdated entry it meets.
// Each item's place in the heap is kept where `Places` says: it must be callable as
// places(Index) -> uint32_t&. Thread-compatible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "capacity/item_table.h"

namespace vr::capacity {

template <class Places>
class LazyHeap {
 public:
  explicit LazyHeap(Places places) : places_(places) {}

  void Push(Index item, float worth) {
    heap_.push_back({worth, item});
    Rise(heap_.size() - 1);
  }
  void Remove(Index item) {
    const size_t at = places_(item);
    const Entry last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) return;
    Put(at, last);
    Rise(at);
    Sink(places_(last.item));
  }
  /// The entry of the least worth, to the heap's knowledge.
  Index top() const { return heap_.front().item; }
  float top_worth() const { return heap_.front().worth; }
  void SetTopWorth(float worth) {
    heap_.front().worth = worth;
    Sink(0);
  }
  template <class F>
  void ForEach(F f) const {
    for (const Entry& entry : heap_) f(entry.item);
  }
  bool empty() const { return heap_.empty(); }

 private:
  static constexpr size_t kArity = 4;
  struct Entry {
    float worth;
    Index item;
  };
  void Put(size_t at, const Entry& entry) {
    heap_[at] = entry;
    places_(entry.item) = static_cast<uint32_t>(at);
  }
  void Rise(size_t at) {
    const Entry entry = heap_[at];
    while (at > 0 && entry.worth < heap_[(at - 1) / kArity].worth) {
      Put(at, heap_[(at - 1) / kArity]);
      at = (at - 1) / kArity;
    }
    Put(at, entry);
  }
  void Sink(size_t at) {
    const Entry entry = heap_[at];
    for (;;) {
      const size_t begin = at * kArity + 1;
      const size_t end = std::min(begin + kArity, heap_.size());
      size_t least = begin;
      for (size_t child = begin + 1; child < end; ++child) {
        if (heap_[child].worth < heap_[least].worth) least = child;
      }
      if (begin >= heap_.size() || heap_[least].worth >= entry.worth) break;
      Put(at, heap_[least]);
      at = least;
    }
    Put(at, entry);
  }

  Places places_;
  std::vector<Entry> heap_;
};

}  // namespace vr::capacity
