#include "transform/job_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

namespace vr::transform {
namespace {

class JobQueueTest : public ::testing::Test {
 protected:
  /// A job whose priority can be changed while it waits; its name is its request id.
  std::shared_ptr<Priority> Add(const std::string& name, const std::string& origin,
                                Priority priority = Priority::kWaiting,
                                const std::string& client = {}) {
    auto urgency = std::make_shared<Priority>(priority);
    auto run = std::make_shared<JobRun>();
    run->ctx.request_id = name;
    run->claim.origin = origin;
    run->claim.client = client;
    run->claim.priority = [urgency] { return *urgency; };
    queue_.Push(std::move(run));
    return urgency;
  }
  static std::string NameOf(const JobRunRef& run) { return run ? run->ctx.request_id : "nobody"; }
  std::string Order() {
    std::string order;
    while (const JobRunRef run = queue_.Pop()) order += (order.empty() ? "" : " ") + NameOf(run);
    return order;
  }
  JobQueue queue_;
};

TEST_F(JobQueueTest, WithinAnOriginFirstComeFirstServed) {
  EXPECT_EQ(queue_.Pop(), nullptr);
  for (const char* name : {"1", "2", "3"}) Add(name, "a");
  EXPECT_EQ(queue_.size(), 3u);
  EXPECT_EQ(Order(), "1 2 3");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(JobQueueTest, OriginsTakeTurnsHoweverManyOneSends) {
  for (const char* name : {"a1", "a2", "a3", "a4"}) Add(name, "a");
  for (const char* name : {"b1", "b2"}) Add(name, "b");
  Add("c1", "c");
  EXPECT_EQ(Order(), "a1 b1 c1 a2 b2 a3 a4");
}

TEST_F(JobQueueTest, TurnsAreRememberedWhileAnOriginHasNothingToDo) {
  Add("a1", "a");
  EXPECT_EQ(NameOf(queue_.Pop()), "a1");
  Add("a2", "a");
  Add("b1", "b");
  EXPECT_EQ(Order(), "b1 a2");
}

TEST_F(JobQueueTest, ClientsOfAnOriginTakeTurnsHoweverManyOneSends) {
  constexpr auto kWaiting = Priority::kWaiting;
  for (const char* name : {"x1", "x2", "x3", "x4"}) Add(name, "a", kWaiting, "x");
  for (const char* name : {"y1", "y2"}) Add(name, "a", kWaiting, "y");
  Add("z1", "a", kWaiting, "z");
  EXPECT_EQ(Order(), "x1 y1 z1 x2 y2 x3 x4");
}

TEST_F(JobQueueTest, OriginsCountBeforeClients) {
  constexpr auto kWaiting = Priority::kWaiting;
  for (const char* client : {"1", "2", "3", "4"}) {
    Add(std::string("a") + client, "a", kWaiting, client);
  }
  for (const char* name : {"b1", "b2"}) Add(name, "b", kWaiting, "1");
  EXPECT_EQ(Order(), "a1 b1 a2 b2 a3 a4");
}

TEST_F(JobQueueTest, ANewClientWaitsForOneTurnOfEachOtherAndNobodyStarves) {
  constexpr auto kWaiting = Priority::kWaiting;
  for (const char* name : {"x1", "x2", "x3"}) Add(name, "a", kWaiting, "x");
  EXPECT_EQ(NameOf(queue_.Pop()), "x1");
  // One new client after the other: each comes behind what waits already.
  std::string order;
  for (int i = 0; i < 4; ++i) {
    Add("n" + std::to_string(i), "a", kWaiting, "client" + std::to_string(i));
    order += NameOf(queue_.Pop()) + ' ';
  }
  EXPECT_EQ(order, "x2 n0 x3 n1 ");
  EXPECT_EQ(Order(), "n2 n3");
}

TEST_F(JobQueueTest, AClientThatComesBackDoesNotOvertakeWhoWaits) {
  constexpr auto kWaiting = Priority::kWaiting;
  for (const char* name : {"x1", "x2", "x3"}) Add(name, "a", kWaiting, "x");
  Add("y1", "a", kWaiting, "y");
  EXPECT_EQ(NameOf(queue_.Pop()), "x1");
  EXPECT_EQ(NameOf(queue_.Pop()), "y1");
  Add("y2", "a", kWaiting, "y");
  EXPECT_EQ(Order(), "x2 y2 x3");
}

TEST_F(JobQueueTest, TooManyCostsTheLongestLineOfTheLongestOrigin) {
  constexpr auto kWaiting = Priority::kWaiting;
  for (const char* name : {"x1", "x2", "x3"}) Add(name, "a", kWaiting, "x");
  Add("y1", "a", kWaiting, "y");
  for (const char* name : {"z1", "z2"}) Add(name, "b", kWaiting, "z");
  EXPECT_EQ(NameOf(queue_.PopSurplus()), "x3");
  EXPECT_EQ(NameOf(queue_.PopSurplus()), "x2");
  EXPECT_EQ(NameOf(queue_.PopSurplus()), "z2")
      << "now as long as the other, and more of one client";
  EXPECT_EQ(queue_.size(), 3u);
}

TEST_F(JobQueueTest, TheUrgentOverTakeWhateverTheirOrigin) {
  Add("prewarm", "a", Priority::kPrewarm);
  Add("left", "b", Priority::kUnattended);
  Add("user1", "c");
  Add("user2", "c");
  EXPECT_EQ(Order(), "user1 user2 left prewarm");
}

TEST_F(JobQueueTest, OnlyWhatIsUrgentEnoughCanBeAskedFor) {
  const auto prewarm = Add("prewarm", "a", Priority::kPrewarm);
  Add("left", "b", Priority::kUnattended);
  EXPECT_EQ(queue_.Pop(Priority::kWaiting), nullptr);
  EXPECT_EQ(NameOf(queue_.Pop(Priority::kUnattended)), "left");
  EXPECT_EQ(queue_.Pop(Priority::kUnattended), nullptr);
  EXPECT_EQ(queue_.size(), 1u);
  *prewarm = Priority::kWaiting;
  EXPECT_EQ(NameOf(queue_.Pop(Priority::kUnattended)), "prewarm") << "somebody has joined";
}

TEST_F(JobQueueTest, APriorityMayChangeWhileItWaits) {
  const auto leaving = Add("leaving", "a");
  Add("staying", "a");
  const auto joined = Add("joined", "a", Priority::kPrewarm);
  *leaving = Priority::kUnattended;
  *joined = Priority::kWaiting;
  EXPECT_EQ(Order(), "staying joined leaving");
}

TEST_F(JobQueueTest, AJobWithoutAClaimIsAUsers) {
  Add("left", "a", Priority::kUnattended);
  auto run = std::make_shared<JobRun>();
  run->ctx.request_id = "plain";
  queue_.Push(std::move(run));
  EXPECT_EQ(Order(), "plain left");
}

TEST_F(JobQueueTest, ASecondTryIsTheFirstOfItsOriginAgain) {
  Add("1", "a");
  Add("2", "a");
  queue_.PushFirst(queue_.Pop());
  EXPECT_EQ(Order(), "1 2");
}

TEST_F(JobQueueTest, TheSurplusIsTheLastOfTheLongestLineOfTheLeastUrgent) {
  Add("a1", "a");
  Add("a2", "a");
  Add("b1", "b");
  EXPECT_EQ(NameOf(queue_.PopSurplus()), "a2") << "not the newcomer of the short line";
  Add("p1", "b", Priority::kPrewarm);
  Add("b2", "b");
  EXPECT_EQ(NameOf(queue_.PopSurplus()), "p1");
  EXPECT_EQ(NameOf(queue_.PopSurplus()), "b2");
  EXPECT_EQ(Order(), "a1 b1");
  EXPECT_EQ(queue_.PopSurplus(), nullptr);
}

TEST_F(JobQueueTest, WhoWouldBeTheSurplusIsToldBefore) {
  EXPECT_TRUE(queue_.IsSurplus("a", "x", Priority::kWaiting)) << "nobody else is there";
  std::mt19937 random(7);
  const auto any_of = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  size_t surplus = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string origin(1, static_cast<char>('a' + any_of(3)));
    const std::string client(1, static_cast<char>('x' + any_of(3)));
    // Mostly users' jobs, as in life.
    const auto priority = static_cast<Priority>(any_of(8) < 6 ? 0 : 1 + any_of(2));
    const bool told = queue_.IsSurplus(origin, client, priority);
    const std::string name = "newcomer " + std::to_string(i);
    Add(name, origin, priority, client);
    const bool is_taken = NameOf(queue_.PopSurplus()) == name;
    ASSERT_EQ(told, is_taken) << "step " << i << ", " << queue_.size() << " wait";
    surplus += told ? 1 : 0;
    if (queue_.size() < 12) Add("old", origin, priority, client);
    if (any_of(4) == 0) queue_.Pop();
  }
  EXPECT_GT(surplus, 300u);
  EXPECT_LT(surplus, 2700u);
}

TEST_F(JobQueueTest, SomeCanBeTakenOut) {
  for (const char* name : {"1", "2", "3"}) Add(name, "a");
  const auto taken = queue_.TakeIf([](const JobRun& run) { return run.ctx.request_id != "2"; });
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(NameOf(taken[0]), "1");
  EXPECT_EQ(NameOf(taken[1]), "3");
  EXPECT_EQ(Order(), "2");
}

}  // namespace
}  // namespace vr::transform
