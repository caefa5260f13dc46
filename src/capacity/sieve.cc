#include "capacity/sieve.h"

#include "capacity/policy_state.h"

namespace vr::capacity {

SievePolicy::SievePolicy(const PolicyOptions& options)
    : items_(options.expected_entries), queue_(items_) {}

void SievePolicy::Insert(const Item& item, int64_t) {
  Erase(item.id);
  queue_.PushNewest(items_.Add(item));
}

void SievePolicy::Hit(uint64_t id, int64_t) {
  if (const Index at = items_.Find(id); at != kNoIndex) items_[at].visited = true;
}

void SievePolicy::Erase(uint64_t id) {
  if (const Index at = items_.Find(id); at != kNoIndex) Remove(at);
}

std::optional<uint64_t> SievePolicy::Evict(int64_t) {
  if (items_.size() == 0) return std::nullopt;
  Index at = hand_ == kNoIndex ? queue_.oldest() : hand_;
  while (items_[at].visited) {
    items_[at].visited = false;
    at = items_[at].newer == kNoIndex ? queue_.oldest() : items_[at].newer;
  }
  const uint64_t id = items_[at].id;
  hand_ = at;
  Remove(at);
  return id;
}

void SievePolicy::Remove(Index at) {
  if (hand_ == at) hand_ = items_[at].newer;
  queue_.Remove(at);
  items_.Remove(at);
}

std::string SievePolicy::Save() const {
  std::string payload;
  PutUint(payload, queue_.size(), 4);
  for (Index at = queue_.oldest(); at != kNoIndex; at = items_[at].newer) {
    PutUint(payload, items_[at].id, 8);
    PutUint(payload, items_[at].visited ? 1 : 0, 1);
  }
  return SealState(PolicyKind::kSieve, payload);
}

Result<void> SievePolicy::Load(std::string_view state) {
  TRY(const std::string_view payload, OpenState(PolicyKind::kSieve, state));
  ByteReader in(payload);
  std::vector<std::pair<uint64_t, bool>> rows;
  for (uint64_t left = in.Uint(4); left > 0 && !in.failed(); --left) {
    const uint64_t id = in.Uint(8);
    rows.emplace_back(id, in.Uint(1) != 0);
  }
  CHECK_OK(CheckWhole(in));
  // From the newest on: what the state does not name was stored after it and stays in front.
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    const Index at = items_.Find(row->first);
    if (at == kNoIndex) continue;
    queue_.Remove(at);
    items_[at].visited = row->second;
    queue_.PushOldest(at);
  }
  hand_ = kNoIndex;
  return {};
}

}  // namespace vr::capacity
