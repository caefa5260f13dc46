#include "delivery/known_targets.h"

#include <gtest/gtest.h>

namespace vr::delivery {
namespace {

KnownTarget Of(std::string target, std::string key) {
  KnownTarget known;
  known.target = std::move(target);
  known.key = std::move(key);
  return known;
}

TEST(KnownTargets, OnlyWhatIsAskedAgainIsWorthIt) {
  auto known = std::make_unique<KnownTargets>();
  EXPECT_FALSE(known->Offer("/a", 1));
  EXPECT_TRUE(known->Offer("/a", 1));
  EXPECT_EQ(known->Find("/a", 1), nullptr) << "an offer remembers nothing";
  known->Put(Of("/a", "key"));
  ASSERT_NE(known->Find("/a", 1), nullptr);
  EXPECT_EQ(known->Find("/a", 1)->key, "key");
  EXPECT_EQ(known->Find("/b", 1), nullptr);
}

TEST(KnownTargets, AnotherConfigurationKnowsNothing) {
  auto known = std::make_unique<KnownTargets>();
  known->Offer("/a", 1);
  known->Put(Of("/a", "old"));
  EXPECT_EQ(known->Find("/a", 2), nullptr);
  EXPECT_FALSE(known->Offer("/a", 2)) << "what was offered before does not count";
  EXPECT_EQ(known->Find("/a", 1), nullptr);
  EXPECT_EQ(known->Find("/a", 2), nullptr);
}

TEST(KnownTargets, IsBoundedAndWhatIsAskedOnceDisplacesNothing) {
  auto known = std::make_unique<KnownTargets>();
  known->Offer("/often", 1);
  known->Put(Of("/often", "key"));
  for (int i = 0; i < 100'000; ++i) EXPECT_FALSE(known->Offer("/once/" + std::to_string(i), 1));
  EXPECT_NE(known->Find("/often", 1), nullptr);
  size_t held = 0;
  for (int i = 0; i < 50'000; ++i) known->Put(Of("/many/" + std::to_string(i), "key"));
  for (int i = 0; i < 50'000; ++i) {
    const std::string target = "/many/" + std::to_string(i);
    if (KnownTarget* found = known->Find(target, 1)) {
      EXPECT_EQ(found->target, target);
      ++held;
    }
  }
  EXPECT_GT(held, KnownTargets::kSlots / 2);
  EXPECT_LE(held, KnownTargets::kSlots);
}

TEST(KnownTargets, LongTargetsAreNot) {
  auto known = std::make_unique<KnownTargets>();
  const std::string target(KnownTargets::kMaxTarget + 1, 'a');
  EXPECT_FALSE(known->Offer(target, 1));
  EXPECT_FALSE(known->Offer(target, 1));
}

TEST(RenderedHead, HoldsForOneEntityAndAWhile) {
  const auto entity = std::make_shared<const cache::Entity>();
  const auto other = std::make_shared<const cache::Entity>();
  RenderedHead head;
  EXPECT_FALSE(head.Holds(entity, 0));
  head.fields = std::make_shared<const std::string>("x");
  EXPECT_FALSE(head.Holds(entity, 0));
  head.of = entity;
  head.from_ms = 10;
  head.until_ms = 20;
  EXPECT_TRUE(head.Holds(entity, 10));
  EXPECT_TRUE(head.Holds(entity, 19));
  EXPECT_FALSE(head.Holds(entity, 20));
  EXPECT_FALSE(head.Holds(entity, 9)) << "the clock was set back";
  EXPECT_FALSE(head.Holds(other, 15));
}

}  // namespace
}  // namespace vr::delivery
