#include "capacity/lru.h"

#include "capacity/policy_state.h"

namespace vr::capacity {

LruPolicy::LruPolicy(const PolicyOptions& options)
    : items_(options.expected_entries), queue_(items_) {}

void LruPolicy::Insert(const Item& item, int64_t) {
  Erase(item.id);
  queue_.PushNewest(items_.Add(item));
}

void LruPolicy::Hit(uint64_t id, int64_t) {
  const Index at = items_.Find(id);
  if (at == kNoIndex || at == queue_.newest()) return;
  queue_.Remove(at);
  queue_.PushNewest(at);
}

void LruPolicy::Erase(uint64_t id) {
  if (const Index at = items_.Find(id); at != kNoIndex) Remove(at);
}

std::optional<uint64_t> LruPolicy::Evict(int64_t) {
  const Index at = queue_.oldest();
  if (at == kNoIndex) return std::nullopt;
  const uint64_t id = items_[at].id;
  Remove(at);
  return id;
}

void LruPolicy::Remove(Index at) {
  queue_.Remove(at);
  items_.Remove(at);
}

std::string LruPolicy::Save() const {
  std::string payload;
  PutIds(payload, queue_.Ids());
  return SealState(PolicyKind::kLru, payload);
}

Result<void> LruPolicy::Load(std::string_view state) {
  TRY(const std::string_view payload, OpenState(PolicyKind::kLru, state));
  ByteReader in(payload);
  const std::vector<uint64_t> ids = ReadIds(in);
  CHECK_OK(CheckWhole(in));
  // From the newest on: what the state does not name was stored after it and stays in front.
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    const Index at = items_.Find(*id);
    if (at == kNoIndex) continue;
    queue_.Remove(at);
    queue_.PushOldest(at);
  }
  return {};
}

}  // namespace vr::capacity
