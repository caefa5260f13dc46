#include "capacity/s3_fifo.h"

#include <algorithm>

#include "capacity/policy_state.h"

namespace vr::capacity {

namespace {
constexpr uint8_t kMaxUses = 3;
/// The small queue's share of the bytes: one in so many (the paper's 10 %).
constexpr uint64_t kSmallShare = 10;
}  // namespace

struct S3FifoPolicy::Row {
  uint64_t id = 0;
  uint8_t uses = 0;
};

S3FifoPolicy::S3FifoPolicy(const PolicyOptions& options)
    : max_bytes_(options.max_bytes),
      items_(options.expected_entries),
      small_(items_),
      main_(items_) {}

void S3FifoPolicy::Insert(const Item& item, int64_t) {
  Index at = items_.Find(item.id);
  const bool is_known = at != kNoIndex ? items_[at].is_main : ghosts_.Take(item.id).has_value();
  if (at != kNoIndex) Remove(at);
  at = items_.Add(item);
  items_[at].is_main = is_known;
  QueueOf(items_[at]).PushNewest(at);
}

void S3FifoPolicy::Hit(uint64_t id, int64_t) {
  const Index at = items_.Find(id);
  if (at == kNoIndex) return;
  uint8_t& uses = items_[at].uses;
  uses = std::min<uint8_t>(uses + 1, kMaxUses);
}

void S3FifoPolicy::Erase(uint64_t id) {
  if (const Index at = items_.Find(id); at != kNoIndex) Remove(at);
}

std::optional<uint64_t> S3FifoPolicy::Evict(int64_t) {
  // Ends: every turn moves an item out of the small queue, or takes a use from one in the main one.
  while (items_.size() > 0) {
    const bool is_small = IsSmallsTurn();
    const Index at = is_small ? small_.oldest() : main_.oldest();
    Node& node = items_[at];
    if (is_small && node.uses > 1) {
      MoveToMain(at);
    } else if (!is_small && node.uses > 0) {
      --node.uses;
      main_.Remove(at);
      main_.PushNewest(at);
    } else {
      const uint64_t id = node.id;
      if (is_small) ghosts_.Remember(id, {});
      Remove(at);
      ghosts_.Shrink(items_.size());
      return id;
    }
  }
  return std::nullopt;
}

bool S3FifoPolicy::IsSmallsTurn() const {
  if (small_.size() == 0 || main_.size() == 0) return main_.size() == 0;
  return small_.bytes() >= std::max(max_bytes_, items_.bytes()) / kSmallShare;
}

void S3FifoPolicy::MoveToMain(Index at) {
  small_.Remove(at);
  items_[at].uses = 0;
  items_[at].is_main = true;
  main_.PushNewest(at);
}

void S3FifoPolicy::Remove(Index at) {
  QueueOf(items_[at]).Remove(at);
  items_.Remove(at);
}

std::string S3FifoPolicy::Save() const {
  std::string payload;
  for (const Queue* queue : {&small_, &main_}) {
    PutUint(payload, queue->size(), 4);
    for (Index at = queue->oldest(); at != kNoIndex; at = items_[at].newer) {
      PutUint(payload, items_[at].id, 8);
      PutUint(payload, items_[at].uses, 1);
    }
  }
  std::vector<uint64_t> ghosts;
  ghosts_.ForEach([&](uint64_t id, Nothing) { ghosts.push_back(id); });
  PutIds(payload, ghosts);
  return SealState(PolicyKind::kS3Fifo, payload);
}

Result<void> S3FifoPolicy::Load(std::string_view state) {
  TRY(const std::string_view payload, OpenState(PolicyKind::kS3Fifo, state));
  ByteReader in(payload);
  std::vector<Row> queues[2];
  for (std::vector<Row>& rows : queues) {
    for (uint64_t left = in.Uint(4); left > 0 && !in.failed(); --left) {
      const uint64_t id = in.Uint(8);
      rows.push_back({id, std::min(static_cast<uint8_t>(in.Uint(1)), kMaxUses)});
    }
  }
  const std::vector<uint64_t> ghosts = ReadIds(in);
  CHECK_OK(CheckWhole(in));
  Restore(queues[0], false);
  Restore(queues[1], true);
  for (const uint64_t id : ghosts) {
    if (items_.Find(id) == kNoIndex) ghosts_.Remember(id, {});
  }
  ghosts_.Shrink(items_.size());
  return {};
}

/// What the rows do not name was stored after them and stays newest.
void S3FifoPolicy::Restore(const std::vector<Row>& rows, bool is_main) {
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    const Index at = items_.Find(row->id);
    if (at == kNoIndex) continue;
    QueueOf(items_[at]).Remove(at);
    items_[at].uses = row->uses;
    items_[at].is_main = is_main;
    QueueOf(items_[at]).PushOldest(at);
  }
}

}  // namespace vr::capacity
