#include "capacity/cost_aware.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "capacity/policy_state.h"

namespace vr::capacity {

namespace {
/// Even what costs no CPU (a copy) has to be fetched again.
constexpr double kLeastSeconds = 0.001;
/// So many stores full of bytes that want in age popularity as much as one half-life does.
constexpr double kTurnoversPerHalfLife = 8;
constexpr size_t kGhostsPerItem = 2;
/// Outdated entries that one look for the least may sort in anew: bounds a call after a long time
/// of nothing but hits.
constexpr int kMaxRepairs = 64;
/// So many victims are looked at by Admit(); the rest is taken to be worth as much as the last.
constexpr size_t kMaxVictims = 64;
/// 2^64 requests just now: no state says more.
constexpr float kMaxScore = 64;
}  // namespace

CostAwarePolicy::CostAwarePolicy(const PolicyOptions& options)
    : max_bytes_(options.max_bytes),
      clock_(options.half_life_ms),
      items_(options.expected_entries),
      heap_(Places{&items_}),
      strangers_(options.expected_entries) {}

void CostAwarePolicy::Insert(const Item& item, int64_t now_ms) {
  clock_.AdvanceTo(now_ms);
  CountPressure(item.bytes);
  Erase(item.id);  // a held one becomes a ghost, and keeps its score
  const double score = ScoreOf(item.id);
  ghosts_.Take(item.id);
  const Index at = items_.Add(item);
  items_[at].score = score;
  items_[at].gain = GainOf(item);
  heap_.Push(at, WorthOf(at));
}

void CostAwarePolicy::Hit(uint64_t id, int64_t now_ms) {
  const Index at = items_.Find(id);
  if (at == kNoIndex) return;
  clock_.AdvanceTo(now_ms);
  items_[at].score = clock_.Add(items_[at].score);
}

void CostAwarePolicy::Erase(uint64_t id) {
  const Index at = items_.Find(id);
  if (at == kNoIndex) return;
  Remember(items_[at]);
  Remove(at);
}

void CostAwarePolicy::Miss(uint64_t id, int64_t now_ms) {
  clock_.AdvanceTo(now_ms);
  strangers_.AgeTo(clock_.now());
  if (float* score = ghosts_.Find(id)) {
    *score = static_cast<float>(clock_.Add(*score));
  } else {
    strangers_.Count(id);
  }
}

bool CostAwarePolicy::Admit(const Item& item, int64_t now_ms) {
  clock_.AdvanceTo(now_ms);
  if (max_bytes_ > 0 && item.bytes > max_bytes_) return false;
  const double density = clock_.CountOf(ScoreOf(item.id) + GainOf(item));
  if (density >= DensityOfVictims(item.bytes)) return true;
  CountPressure(item.bytes);
  return false;
}

std::optional<uint64_t> CostAwarePolicy::Evict(int64_t now_ms) {
  if (heap_.empty()) return std::nullopt;
  clock_.AdvanceTo(now_ms);
  const Index at = FindLeast();
  const uint64_t id = items_[at].id;
  Remember(items_[at]);
  Remove(at);
  return id;
}

float CostAwarePolicy::GainOf(const Item& item) {
  const double bytes = static_cast<double>(std::max<uint64_t>(item.bytes, 1));
  return static_cast<float>(std::log2(std::max(item.cost_seconds, kLeastSeconds) / bytes));
}

float CostAwarePolicy::WorthOf(Index at) const {
  return static_cast<float>(items_[at].score + items_[at].gain);
}

double CostAwarePolicy::ScoreOf(uint64_t id) {
  if (const float* score = ghosts_.Find(id)) return *score;
  return clock_.ScoreOf(std::max<uint32_t>(strangers_.Estimate(id), 1));
}

void CostAwarePolicy::CountPressure(uint64_t bytes) {
  const uint64_t room = std::max(max_bytes_, items_.bytes());
  if (room == 0) return;
  clock_.AdvanceBy(static_cast<double>(bytes) / static_cast<double>(room) / kTurnoversPerHalfLife);
}

/// The heap must not be empty.
Index CostAwarePolicy::FindLeast() {
  Index least = heap_.top();
  float least_worth = WorthOf(least);
  for (int n = 0; n < kMaxRepairs; ++n) {
    const Index at = heap_.top();
    const float worth = WorthOf(at);
    if (worth <= heap_.top_worth()) return at;
    if (worth < least_worth) {
      least = at;
      least_worth = worth;
    }
    heap_.SetTopWorth(worth);
  }
  return least;
}

/// Seconds per byte, all requests of late together, that evicting `bytes` would cost.
double CostAwarePolicy::DensityOfVictims(uint64_t bytes) {
  std::array<Index, kMaxVictims> victims;
  size_t count = 0;
  double lost = 0;
  double density = 0;
  uint64_t left = std::max<uint64_t>(bytes, 1);
  while (left > 0 && count < kMaxVictims && !heap_.empty()) {
    const Index at = FindLeast();
    heap_.Remove(at);
    victims[count++] = at;
    density = clock_.CountOf(WorthOf(at));
    const uint64_t taken = std::min(left, items_[at].bytes);
    lost += density * static_cast<double>(taken);
    left -= taken;
  }
  lost += density * static_cast<double>(left);
  for (size_t n = 0; n < count; ++n) heap_.Push(victims[n], WorthOf(victims[n]));
  return lost / static_cast<double>(std::max<uint64_t>(bytes, 1));
}

void CostAwarePolicy::Remember(const Node& node) {
  ghosts_.Remember(node.id, static_cast<float>(node.score));
  ghosts_.Shrink(kGhostsPerItem * items_.size());
}

void CostAwarePolicy::Remove(Index at) {
  heap_.Remove(at);
  items_.Remove(at);
}

std::string CostAwarePolicy::Save() const {
  std::vector<Scored> held, ghosts;
  held.reserve(items_.size());
  ghosts.reserve(ghosts_.size());
  heap_.ForEach([&](Index at) { held.push_back({items_[at].id, AgeOf(items_[at].score)}); });
  ghosts_.ForEach([&](uint64_t id, float score) { ghosts.push_back({id, AgeOf(score)}); });
  std::string payload;
  PutScored(payload, held);
  PutScored(payload, ghosts);
  PutBytes(payload, strangers_.raw());
  return SealState(PolicyKind::kCostAware, payload);
}

Result<void> CostAwarePolicy::Load(std::string_view state) {
  TRY(const std::string_view payload, OpenState(PolicyKind::kCostAware, state));
  ByteReader in(payload);
  const std::vector<Scored> held = ReadScored(in);
  const std::vector<Scored> ghosts = ReadScored(in);
  const std::string strangers = in.Bytes();
  CHECK_OK(CheckWhole(in));
  for (const std::vector<Scored>* all : {&held, &ghosts}) {
    for (const Scored& one : *all) {
      if (!std::isfinite(one.score) || one.score > kMaxScore) {
        return Error(Code::kCorruption, "a popularity is no number, or out of reason");
      }
    }
  }
  const double now = clock_.now();
  for (const Scored& one : held) {
    const Index at = items_.Find(one.id);
    if (at == kNoIndex) continue;
    heap_.Remove(at);
    items_[at].score = now + one.score;
    heap_.Push(at, WorthOf(at));
  }
  for (const Scored& one : ghosts) {
    if (items_.Find(one.id) == kNoIndex)
      ghosts_.Remember(one.id, static_cast<float>(now + one.score));
  }
  ghosts_.Shrink(kGhostsPerItem * items_.size());
  strangers_.SetRaw(strangers);
  return {};
}

float CostAwarePolicy::AgeOf(double score) const {
  return static_cast<float>(score - clock_.now());
}

void CostAwarePolicy::PutScored(std::string& out, const std::vector<Scored>& all) {
  PutUint(out, all.size(), 4);
  for (const Scored& one : all) {
    PutUint(out, one.id, 8);
    PutUint(out, std::bit_cast<uint32_t>(one.score), 4);
  }
}

std::vector<CostAwarePolicy::Scored> CostAwarePolicy::ReadScored(ByteReader& in) {
  std::vector<Scored> all;
  for (uint64_t left = in.Uint(4); left > 0 && !in.failed(); --left) {
    const uint64_t id = in.Uint(8);
    all.push_back({id, std::bit_cast<float>(static_cast<uint32_t>(in.Uint(4)))});
  }
  return all;
}

}  // namespace vr::capacity
