// What every policy promises, whatever it keeps: its books are right, it ends empty, what it saved
// can be loaded, and what it did not save changes nothing.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "capacity/eviction_policy.h"

namespace vr::capacity {
namespace {

std::unique_ptr<EvictionPolicy> Make(std::string_view name, PolicyOptions options = {}) {
  Result<std::unique_ptr<EvictionPolicy>> made = MakePolicy(name, options);
  EXPECT_TRUE(made.ok()) << made.error().ToLogString();
  return std::move(*made);
}

std::vector<uint64_t> EvictAll(EvictionPolicy& policy, int64_t now_ms = 0) {
  std::vector<uint64_t> order;
  while (const auto id = policy.Evict(now_ms)) order.push_back(*id);
  return order;
}

class PolicyConformance : public testing::TestWithParam<std::string_view> {};

TEST_P(PolicyConformance, TellsItsName) {
  EXPECT_EQ(Make(GetParam())->name(), GetParam());
}

TEST_P(PolicyConformance, AnEmptyOneHasNothingToEvict) {
  const auto policy = Make(GetParam());
  EXPECT_EQ(policy->Evict(0), std::nullopt);
  EXPECT_EQ(policy->entries(), 0u);
  EXPECT_EQ(policy->bytes(), 0u);
}

TEST_P(PolicyConformance, AnItemStoredAgainCountsOnce) {
  const auto policy = Make(GetParam());
  policy->Insert({7, 100, 1}, 0);
  policy->Insert({7, 40, 2}, 1);
  EXPECT_EQ(policy->entries(), 1u);
  EXPECT_EQ(policy->bytes(), 40u);
  EXPECT_EQ(policy->Evict(2), std::optional<uint64_t>(7));
  EXPECT_EQ(policy->Evict(2), std::nullopt);
}

TEST_P(PolicyConformance, EmptyAndCostlessItemsAreItemsToo) {
  const auto policy = Make(GetParam());
  policy->Insert({1, 0, 0}, 0);
  policy->Insert({2, UINT32_MAX * 4ULL, 1e9}, 0);
  policy->Insert({3, 1, -1}, 0);
  policy->Hit(1, 1);
  (void)policy->Admit({4, 0, 0}, 2);
  EXPECT_EQ(EvictAll(*policy, 3).size(), 3u);
}

TEST_P(PolicyConformance, TimeMayStandStillOrRunBackwards) {
  const auto policy = Make(GetParam());
  policy->Insert({1, 10, 1}, 1'000'000'000);
  policy->Hit(1, 0);
  policy->Miss(2, -5);
  (void)policy->Admit({2, 10, 1}, -6);
  policy->Insert({2, 10, 1}, 0);
  EXPECT_EQ(EvictAll(*policy, -1).size(), 2u);
}

/// Random steps beside a plain map of what must be held.
TEST_P(PolicyConformance, ItsBooksStayRightUnderRandomUse) {
  PolicyOptions options;
  options.max_bytes = 20'000;
  options.expected_entries = 100;
  const auto policy = Make(GetParam(), options);
  std::map<uint64_t, uint64_t> held;
  uint64_t held_bytes = 0;
  std::mt19937_64 random(20261127);
  const auto drop = [&](uint64_t id) {
    const auto found = held.find(id);
    if (found == held.end()) return false;
    held_bytes -= found->second;
    held.erase(found);
    return true;
  };
  for (int64_t now = 0; now < 50'000; ++now) {
    const uint64_t id = random() % 400;
    switch (random() % 8) {
      case 0:
      case 1:
      case 2: {
        const Item item{id, 1 + random() % 500, static_cast<double>(random() % 100) / 10};
        policy->Miss(id, now);
        drop(id);
        policy->Erase(id);
        while (held_bytes + item.bytes > options.max_bytes) {
          (void)policy->Admit(item, now);
          const auto victim = policy->Evict(now);
          ASSERT_TRUE(victim) << "step " << now;
          ASSERT_TRUE(drop(*victim)) << "evicted what is not held, step " << now;
        }
        policy->Insert(item, now);
        held[id] = item.bytes;
        held_bytes += item.bytes;
        break;
      }
      case 3:
        drop(id);
        policy->Erase(id);
        break;
      default:
        policy->Hit(id, now);
    }
    ASSERT_EQ(policy->entries(), held.size()) << "step " << now;
    ASSERT_EQ(policy->bytes(), held_bytes) << "step " << now;
  }
  while (const auto victim = policy->Evict(50'000)) ASSERT_TRUE(drop(*victim));
  EXPECT_TRUE(held.empty());
}

/// A policy with a history, and one that was started over the same items.
class Restart {
 public:
  explicit Restart(std::string_view name)
      : name_(name), old_(Make(name, Options())), next_(Make(name, Options())) {
    std::mt19937_64 random(7);
    for (uint64_t id = 0; id < 60; ++id) old_->Insert(ItemOf(id), 0);
    for (int64_t now = 0; now < 1000; ++now) old_->Hit(random() % 60 * (random() % 60) / 60, now);
    for (int64_t now = 0; now < 100; ++now) old_->Miss(100 + random() % 50, 1000 + now);
    for (int n = 0; n < 10; ++n) old_->Evict(1100);
    state_ = old_->Save();
    for (const uint64_t id : EvictAll(*old_, 1100)) order_.push_back(id);
    FillAnew(*next_);
  }
  static PolicyOptions Options() {
    PolicyOptions options;
    options.max_bytes = 60 * 100;
    options.expected_entries = 60;
    return options;
  }
  static Item ItemOf(uint64_t id) { return {id, 100 + id % 7, 1 + static_cast<double>(id % 5)}; }
  void FillAnew(EvictionPolicy& policy) const {
    auto ids = order_;
    std::sort(ids.begin(), ids.end());
    for (const uint64_t id : ids) policy.Insert(ItemOf(id), 1100);
  }

  std::string name_;
  std::unique_ptr<EvictionPolicy> old_;
  std::unique_ptr<EvictionPolicy> next_;
  std::string state_;
  std::vector<uint64_t> order_;  ///< in which the old one would have evicted
};

TEST_P(PolicyConformance, WhatItLearnedSurvivesARestart) {
  Restart restart(GetParam());
  ASSERT_TRUE(restart.next_->Load(restart.state_).ok());
  EXPECT_EQ(restart.next_->entries(), restart.order_.size());
  EXPECT_EQ(EvictAll(*restart.next_, 1100), restart.order_);
}

TEST_P(PolicyConformance, AStateOfAnotherStoreIsDroppedWithoutHarm) {
  Restart restart(GetParam());
  const auto other = Make(GetParam(), Restart::Options());
  other->Insert({9001, 10, 1}, 0);
  ASSERT_TRUE(other->Load(restart.state_).ok());
  EXPECT_EQ(other->entries(), 1u);
  EXPECT_EQ(other->bytes(), 10u);
  EXPECT_EQ(EvictAll(*other), std::vector<uint64_t>{9001});
}

TEST_P(PolicyConformance, ADamagedStateChangesNothing) {
  Restart restart(GetParam());
  const auto fresh = Make(GetParam(), Restart::Options());
  restart.FillAnew(*fresh);
  for (size_t at = 0; at < restart.state_.size(); ++at) {
    std::string damaged = restart.state_;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    ASSERT_FALSE(restart.next_->Load(damaged).ok()) << "byte " << at;
    ASSERT_FALSE(restart.next_->Load(restart.state_.substr(0, at)).ok()) << "cut at " << at;
  }
  EXPECT_FALSE(restart.next_->Load(restart.state_ + "x").ok());
  EXPECT_EQ(EvictAll(*restart.next_, 1100), EvictAll(*fresh, 1100));
}

TEST_P(PolicyConformance, AnotherVersionIsUnsupported) {
  Restart restart(GetParam());
  std::string newer = restart.state_;
  newer[8] = 99;
  const Result<void> loaded = restart.next_->Load(newer);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, Code::kUnsupported);
}

INSTANTIATE_TEST_SUITE_P(, PolicyConformance, testing::ValuesIn(PolicyNames()),
                         [](const auto& info) {
                           std::string name(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(MakePolicy, NamesWhatThereIs) {
  const auto made = MakePolicy("fifo", {});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Code::kInvalidArgument);
  EXPECT_NE(made.error().public_message.find("lru"), std::string::npos);
}

TEST(MakePolicy, RefusesOptionsThatMakeNoSense) {
  for (const std::string_view name : PolicyNames()) {
    EXPECT_FALSE(MakePolicy(name, {.expected_entries = 0}).ok());
    EXPECT_FALSE(MakePolicy(name, {.expected_entries = 1ULL << 40}).ok());
    EXPECT_FALSE(MakePolicy(name, {.half_life_ms = 0}).ok());
  }
}

}  // namespace
}  // namespace vr::capacity
