// TopList: those asked most of all, in bounded memory however many there are: the Space-Saving
// sketch of Metwally, Agrawal and El Abbadi (2005). Whoever is new and finds it full takes the
// place of the least, and that one's count with it: so a count is never too low, and `overcount`
// says by how much it may be too high. All that was asked more often than requests / capacity is in
// it. Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "analytics/tally.h"

namespace vr::analytics {

class TopList {
 public:
  struct Entry {
    uint64_t hash = 0;
    std::string name;
    /// `requests` may be up to `overcount` too high; the rest is of the time since it came in, so
    /// never too high.
    Tally tally;
    uint64_t overcount = 0;
    bool operator==(const Entry&) const = default;
  };
  static constexpr size_t kMaxName = 400;  ///< bytes; longer names are cut for showing

  explicit TopList(size_t capacity) : capacity_(capacity) {}

  /// @param hash of the whole name: what tells names apart
  void Add(uint64_t hash, std::string_view name, const Tally& more, uint64_t overcount = 0);
  void Merge(const TopList& more);
  /// Keeps the `most` with the highest counts, and grows no larger.
  void Shrink(size_t most);
  /// The `most` with the highest counts, highest first; ties by name.
  std::vector<Entry> Sorted(size_t most) const;

  size_t size() const { return heap_.size(); }
  size_t capacity() const { return capacity_; }
  const std::vector<Entry>& entries() const { return heap_; }

 private:
  void SiftDown(size_t at);
  void SiftUp(size_t at);
  void Swap(size_t a, size_t b);

  size_t capacity_;
  std::vector<Entry> heap_;  ///< the least in front
  std::unordered_map<uint64_t, size_t> places_;
};

}  // namespace vr::analytics
