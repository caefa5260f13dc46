#include "transform/job_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace vr::transform {
namespace {

class JobQueueTest : public ::testing::Test {
 protected:
  /// A job whose priority can be changed while it waits; its name is its request id.
  std::shared_ptr<Priority> Add(const std::string& name, const std::string& origin,
                                Priority priority = Priority::kWaiting) {
    auto urgency = std::make_shared<Priority>(priority);
    auto run = std::make_shared<JobRun>();
    run->ctx.request_id = name;
    run->claim.origin = origin;
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

TEST_F(JobQueueTest, TheUrgentOverTakeWhateverTheirOrigin) {
  Add("prewarm", "a", Priority::kPrewarm);
  Add("left", "b", Priority::kUnattended);
  Add("user1", "c");
  Add("user2", "c");
  EXPECT_EQ(Order(), "user1 user2 left prewarm");
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
