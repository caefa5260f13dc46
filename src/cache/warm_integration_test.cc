// What is made on nobody's behalf.
#include "cache/testing/orchestrator_fixture.h"

namespace vr::cache {
namespace {

using testing::FakeProducer;
using testing::OrchestratorTest;

class WarmTest : public OrchestratorTest {
 protected:
  using WarmSlot = std::shared_ptr<std::optional<Result<Warmed>>>;
  WarmSlot StartWarm(Query query, bool compare = false) {
    auto slot = std::make_shared<std::optional<Result<Warmed>>>();
    auto task = [this, slot, query, compare]() -> Task<void> {
      return KeepWarm(slot, query, compare);
    };
    boost::asio::co_spawn(context_.get_executor(), task, boost::asio::detached);
    return slot;
  }
  Task<void> KeepWarm(WarmSlot slot, Query query, bool compare) {
    auto producer = std::make_shared<FakeProducer>(kitchen_);
    Result<Warmed> warmed =
        co_await orchestrator_->Warm(std::move(query), std::move(producer), compare);
    slot->emplace(std::move(warmed));
  }
  Result<Warmed> Warm(Query query, bool compare = false) {
    const WarmSlot slot = StartWarm(std::move(query), compare);
    RunUntil([&] { return slot->has_value(); });
    return **slot;
  }
  static Query AskWarm(const std::string& key) {
    Query query = Ask(key);
    query.write_edge = false;
    return query;
  }
};

TEST_F(WarmTest, IsStoredWhenItSaysSoAndStaysOutOfTheEdge) {
  const Result<Warmed> warmed = Warm(AskWarm("a"));
  ASSERT_TRUE(warmed.ok()) << warmed.error().ToLogString();
  EXPECT_EQ(*warmed, Warmed::kMade);
  EXPECT_EQ(Stores("stored"), 1);
  EXPECT_EQ(orchestrator_->edge().entries(), 0u);
  EXPECT_EQ(*Warm(AskWarm("a")), Warmed::kHeld);
  EXPECT_EQ(orchestrator_->edge().entries(), 0u);
  EXPECT_EQ(Fetch(Ask("a"))->layer, Layer::kKv);
  EXPECT_EQ(*Warm(AskWarm("a")), Warmed::kHeld) << "by the edge now";
  EXPECT_EQ(kitchen_->calls, 1);
  EXPECT_EQ(kitchen_->checks, 0);
}

TEST_F(WarmTest, NobodyWaitsForItUntilSomebodyJoins) {
  kitchen_->is_gated = true;
  const WarmSlot warm = StartWarm(AskWarm("a"));
  RunUntil([&] { return kitchen_->calls == 1; });
  const ProductionRef production = orchestrator_->InFlight("a", {7, 7});
  ASSERT_TRUE(production);
  EXPECT_EQ(production->interest(), Interest::kPrewarm);
  const Slot user = Start(Ask("a"));
  RunUntil([&] { return production->waiters() == 1; });
  EXPECT_EQ(production->interest(), Interest::kWaiting);
  kitchen_->Open();
  RunUntil([&] { return user->has_value() && warm->has_value(); });
  EXPECT_EQ((*user)->value().layer, Layer::kJoined);
  EXPECT_EQ(***warm, Warmed::kMade);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(WarmTest, JoinsWhatSomebodyHasMade) {
  kitchen_->is_gated = true;
  const Slot user = Start(Ask("a"));
  RunUntil([&] { return kitchen_->calls == 1; });
  const WarmSlot warm = StartWarm(AskWarm("a"));
  const ProductionRef production = orchestrator_->InFlight("a", {7, 7});
  ASSERT_TRUE(production);
  EXPECT_EQ(production->waiters(), 1u) << "the user alone";
  kitchen_->Open();
  RunUntil([&] { return user->has_value() && warm->has_value(); });
  EXPECT_EQ(***warm, Warmed::kJoined);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(WarmTest, FailuresAreTold) {
  kitchen_->failure = Error(Code::kCorruption, "no video").WithReason("SOURCE_CORRUPT");
  EXPECT_EQ(Warm(AskWarm("a")).error().reason, "SOURCE_CORRUPT");
  EXPECT_FALSE(Fetch(Ask("a")).ok());
  EXPECT_EQ(kitchen_->calls, 2) << "it was not remembered: nobody had asked";
  EXPECT_EQ(Warm(AskWarm("a")).error().reason, "REMEMBERED_FAILURE");
  EXPECT_EQ(kitchen_->calls, 2);
}

TEST_F(WarmTest, WhatCouldNotBeStoredIsNoSuccess) {
  KvFails([](auto& f) { f.fail_commit = Error(Code::kUnavailable, "disk gone"); });
  EXPECT_EQ(Warm(AskWarm("a")).error().reason, "NOT_STORED");
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(WarmTest, WhatIsHeldOfAnotherVersionIsMadeAgain) {
  ASSERT_TRUE(Fetch(Ask("a")).ok());
  EXPECT_EQ(*Warm(AskWarm("a"), true), Warmed::kHeld);
  EXPECT_EQ(kitchen_->checks, 1);
  kitchen_->version = "v2";
  kitchen_->body = "other bytes";
  EXPECT_EQ(*Warm(AskWarm("a")), Warmed::kHeld) << "it was not asked to compare";
  EXPECT_EQ(*Warm(AskWarm("a"), true), Warmed::kMade);
  EXPECT_EQ(kitchen_->calls, 2);
  const Result<Answer> now = Fetch(Ask("a"));
  ASSERT_TRUE(now.ok());
  EXPECT_EQ(BodyOf(now->entity), "other bytes") << "whatever the edge had";
}

}  // namespace
}  // namespace vr::cache
