#include "analytics/top_list.h"

#include <algorithm>
#include <utility>

namespace vr::analytics {

void TopList::Swap(size_t a, size_t b) {
  std::swap(heap_[a], heap_[b]);
  places_[heap_[a].hash] = a;
  places_[heap_[b].hash] = b;
}

void TopList::SiftDown(size_t at) {
  for (;;) {
    size_t least = at;
    for (const size_t child : {2 * at + 1, 2 * at + 2}) {
      if (child < heap_.size() && heap_[child].tally.requests < heap_[least].tally.requests) {
        least = child;
      }
    }
    if (least == at) return;
    Swap(at, least);
    at = least;
  }
}

void TopList::SiftUp(size_t at) {
  while (at > 0) {
    const size_t parent = (at - 1) / 2;
    if (heap_[parent].tally.requests <= heap_[at].tally.requests) return;
    Swap(at, parent);
    at = parent;
  }
}

void TopList::Add(uint64_t hash, std::string_view name, const Tally& more, uint64_t overcount) {
  if (capacity_ == 0) return;
  if (const auto known = places_.find(hash); known != places_.end()) {
    Entry& entry = heap_[known->second];
    entry.tally.Add(more);
    entry.overcount += overcount;
    SiftDown(known->second);
    return;
  }
  Entry entry{hash, std::string(name.substr(0, kMaxName)), more, overcount};
  if (heap_.size() < capacity_) {
    heap_.push_back(std::move(entry));
    places_[hash] = heap_.size() - 1;
    SiftUp(heap_.size() - 1);
    return;
  }
  Entry& least = heap_.front();
  entry.overcount += least.tally.requests;
  entry.tally.requests += least.tally.requests;
  places_.erase(least.hash);
  least = std::move(entry);
  places_[hash] = 0;
  SiftDown(0);
}

void TopList::Merge(const TopList& more) {
  for (const Entry& entry : more.heap_) Add(entry.hash, entry.name, entry.tally, entry.overcount);
}

void TopList::Shrink(size_t most) {
  capacity_ = std::min(capacity_, most);
  if (heap_.size() <= most) return;
  std::vector<Entry> kept = Sorted(most);
  heap_.clear();
  places_.clear();
  for (Entry& entry : kept) Add(entry.hash, entry.name, entry.tally, entry.overcount);
  heap_.shrink_to_fit();
}

std::vector<TopList::Entry> TopList::Sorted(size_t most) const {
  std::vector<Entry> sorted = heap_;
  std::sort(sorted.begin(), sorted.end(), [](const Entry& a, const Entry& b) {
    return a.tally.requests != b.tally.requests ? a.tally.requests > b.tally.requests
                                                : a.name < b.name;
  });
  if (sorted.size() > most) sorted.resize(most);
  return sorted;
}

}  // namespace vr::analytics
