// Jobs: who is told of a production instead of waiting for it, and what becomes of it.
#include <chrono>

#include "cache/testing/orchestrator_fixture.h"

namespace vr::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::OrchestratorTest;

class JobsTest : public OrchestratorTest {
 protected:
  static Query AskAsync(const std::string& key, milliseconds wait = milliseconds(0)) {
    Query query = Ask(key);
    query.target = "/" + key;
    query.patience.most = wait;
    return query;
  }
  /// Waits until nothing goes on any more.
  void RunOut() {
    RunUntil([&] { return orchestrator_->flights() == 0; });
  }
  Job::View Look(const JobRef& job) { return job->Look(); }
};

TEST_F(JobsTest, WhoDoesNotWaitGetsAJobAndTheResultLater) {
  kitchen_->is_gated = true;
  const Result<Answer> first = Fetch(AskAsync("a"));
  ASSERT_TRUE(first.ok() && first->job);
  EXPECT_FALSE(first->entity || first->live);
  EXPECT_EQ(first->job->names().key, "a");
  EXPECT_EQ(first->job->names().target, "/a");
  const Result<Answer> again = Fetch(AskAsync("a"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->job, first->job) << "one job per variant";
  EXPECT_EQ(orchestrator_->jobs().List().size(), 1u);
  kitchen_->Open();
  RunOut();
  EXPECT_EQ(Look(first->job).state, JobState::kComplete);
  const Result<Answer> whole = Fetch(AskAsync("a"));
  ASSERT_TRUE(whole.ok() && whole->entity);
  EXPECT_EQ(whole->layer, Layer::kEdge);
  EXPECT_EQ(kitchen_->calls, 1);
  EXPECT_EQ(Stores("stored"), 1);
}

TEST_F(JobsTest, CompleteMeansThatItCanBeRead) {
  options_.edge.max_bytes = 0;
  Restart();
  kitchen_->is_gated = true;
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok() && told->job);
  kitchen_->Open();
  RunUntil([&] { return told->job->Look().has_ended(); });
  EXPECT_EQ(Look(told->job).state, JobState::kComplete);
  const Result<Answer> whole = Fetch(AskAsync("a"));
  ASSERT_TRUE(whole.ok() && whole->entity);
  EXPECT_EQ(whole->layer, Layer::kKv);
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(JobsTest, WhatCouldNotBeKeptIsNotCalledComplete) {
  options_.edge.max_bytes = 0;
  Restart();
  KvFails([](auto& f) { f.fail_commit = Error(Code::kUnavailable, "disk gone"); });
  kitchen_->is_gated = true;
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok() && told->job);
  kitchen_->Open();
  RunOut();
  EXPECT_EQ(Look(told->job).state, JobState::kFailed);
  const Result<Answer> again = Fetch(AskAsync("a"));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().reason, "OVERLOADED");
  EXPECT_EQ(kitchen_->calls, 1);
}

TEST_F(JobsTest, WhatAPurgeDiscardsIsNotCalledComplete) {
  kitchen_->is_gated = true;
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok() && told->job);
  PurgeScope scope;
  scope.key = "a";
  std::optional<Result<PurgeReport>> report;
  auto purge = [&]() -> Task<void> {
    report.emplace(co_await orchestrator_->Purge(Context(), scope, PurgeMode::kHard));
  };
  boost::asio::co_spawn(context_.get_executor(), purge, boost::asio::detached);
  RunUntil([&] { return report.has_value(); });
  kitchen_->Open();
  RunUntil([&] { return told->job->Look().has_ended(); });
  EXPECT_EQ(Look(told->job).state, JobState::kCancelled);
  EXPECT_TRUE(Fetch(AskAsync("a")).ok()) << "and may be made again at once";
}

TEST_F(JobsTest, WhatALayerHoldsIsAnsweredWithoutAJob) {
  ASSERT_TRUE(Fetch(Ask("a"))->entity);
  Restart();
  const Result<Answer> kv = Fetch(AskAsync("a"));
  ASSERT_TRUE(kv.ok() && kv->entity);
  EXPECT_EQ(kv->layer, Layer::kKv);
  EXPECT_TRUE(orchestrator_->jobs().List().empty());
}

TEST_F(JobsTest, APromisedProductionGoesOnAlthoughNobodyWaits) {
  options_.abandon_after = milliseconds(1);
  Restart();
  kitchen_->is_gated = true;
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok() && told->job);
  EXPECT_EQ(orchestrator_->jobs().List().at(0).interest, Interest::kUnattended);
  // One that nobody was promised is given up meanwhile.
  Context impatient = Context::WithTimeout(milliseconds(1));
  EXPECT_FALSE(Fetch(Ask("b"), impatient).ok());
  RunUntil([&] { return Count("video_resizer_abandoned_total") == 1; });
  EXPECT_EQ(orchestrator_->flights(), 1u);
  kitchen_->Open();
  RunOut();
  EXPECT_EQ(Look(told->job).state, JobState::kComplete);
}

TEST_F(JobsTest, SomePatienceIsEnoughForWhatIsQuick) {
  const Result<Answer> quick = Fetch(AskAsync("a", seconds(60)));
  ASSERT_TRUE(quick.ok());
  EXPECT_TRUE(quick->entity);
  kitchen_->is_gated = true;
  const Result<Answer> slow = Fetch(AskAsync("b", milliseconds(5)));
  ASSERT_TRUE(slow.ok());
  EXPECT_TRUE(slow->job);
}

TEST_F(JobsTest, WhoAskedForAnAnswerAtOnceIsNotGivenAStream) {
  kitchen_->is_gated = kitchen_->streams = true;
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok());
  EXPECT_TRUE(told->job && !told->live);
  const Result<Answer> plain = Fetch(Ask("a"));
  ASSERT_TRUE(plain.ok());
  EXPECT_TRUE(plain->live) << "others join it";
}

TEST_F(JobsTest, AnEstimateOverTheThresholdSendsEverybodyAway) {
  kitchen_->is_gated = kitchen_->streams = true;
  kitchen_->estimate = 61;
  Query query = Ask("a");
  query.patience.threshold = seconds(60);
  const Result<Answer> leader = Fetch(query);
  ASSERT_TRUE(leader.ok());
  EXPECT_TRUE(leader->job && !leader->live);
  const Result<Answer> joiner = Fetch(query);
  ASSERT_TRUE(joiner.ok());
  EXPECT_EQ(joiner->job, leader->job) << "although there are bytes to read";
  query.patience.threshold = seconds(61);
  EXPECT_TRUE(Fetch(query)->live);
  query.patience.threshold = seconds(0);
  EXPECT_TRUE(Fetch(query)->live) << "0 = never";
}

TEST_F(JobsTest, WaitingForTheFirstByteCountsLikeAnEstimate) {
  kitchen_->is_gated = true;
  Query query = Ask("a");
  query.patience.threshold = milliseconds(5);
  const Result<Answer> told = Fetch(query);
  ASSERT_TRUE(told.ok());
  EXPECT_TRUE(told->job);
  kitchen_->streams = true;
  ASSERT_TRUE(Fetch(Ask("b"))->live);
  query.key = "b";
  const SteadyTime later = std::chrono::steady_clock::now() + milliseconds(5);
  while (std::chrono::steady_clock::now() <= later) context_.poll();
  EXPECT_TRUE(Fetch(query)->live) << "what streams already is not waited for";
}

TEST_F(JobsTest, AFailureIsToldToWhoAsksAgainAndNothingIsBegunBehindIt) {
  kitchen_->is_gated = true;
  kitchen_->failure = Error(Code::kInternal, "broken").WithReason("TRANSFORM_FAILED");
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok() && told->job);
  kitchen_->Open();
  RunOut();
  EXPECT_EQ(Look(told->job).state, JobState::kFailed);
  for (const Query& query : {AskAsync("a"), Ask("a")}) {
    const Result<Answer> failed = Fetch(query);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().reason, "TRANSFORM_FAILED");
  }
  EXPECT_EQ(kitchen_->calls, 1);
  Query apart = Ask("a");
  apart.join = false;
  EXPECT_FALSE(Fetch(apart).ok());
  EXPECT_EQ(kitchen_->calls, 2) << "a bypass tries";
  kitchen_->failure.reset();
  clock_.Advance(seconds(15));
  EXPECT_TRUE(Fetch(Ask("a")).ok()) << "and so does everybody after a moment";
}

TEST_F(JobsTest, AFailureThatNobodyWasPromisedIsTriedAgainAtOnce) {
  kitchen_->failure = Error(Code::kInternal, "broken").WithReason("TRANSFORM_FAILED");
  EXPECT_FALSE(Fetch(Ask("a")).ok());
  EXPECT_FALSE(Fetch(Ask("a")).ok());
  EXPECT_EQ(kitchen_->calls, 2);
}

TEST_F(JobsTest, ACancelledProductionEndsForAllAndTheNextRequestStartsAfresh) {
  kitchen_->is_gated = true;
  const Slot waiter = Start(Ask("a"));
  const Result<Answer> told = Fetch(AskAsync("a"));
  ASSERT_TRUE(told.ok() && told->job);
  const std::string id = told->job->id();
  EXPECT_EQ(orchestrator_->CancelJob("nobody's"), CancelOutcome::kUnknown);
  EXPECT_EQ(orchestrator_->CancelJob(id), CancelOutcome::kCancelled);
  EXPECT_EQ(Look(told->job).state, JobState::kCancelled);
  RunUntil([&] { return waiter->has_value(); });
  ASSERT_FALSE((*waiter)->ok());
  EXPECT_EQ((*waiter)->error().code, Code::kCancelled);
  EXPECT_EQ(orchestrator_->CancelJob(id), CancelOutcome::kEnded);
  kitchen_->Open();
  const Result<Answer> next = Fetch(Ask("a"));
  ASSERT_TRUE(next.ok());
  RunOut();
  EXPECT_EQ(kitchen_->calls, 2);
  // The first one's result, which came all the same, was not kept.
  EXPECT_EQ(Stores("stored"), 1);
  EXPECT_EQ(Count("video_resizer_negative_stored_total"), 0);
}

TEST_F(JobsTest, WhatIsCompleteCannotBeCancelled) {
  kitchen_->is_gated = true;
  const Result<Answer> told = Fetch(AskAsync("a"));
  kitchen_->Open();
  RunOut();
  EXPECT_EQ(orchestrator_->CancelJob(told->job->id()), CancelOutcome::kEnded);
  EXPECT_EQ(Look(told->job).state, JobState::kComplete);
}

TEST_F(JobsTest, ADrainGivesUpWhatNobodyWants) {
  kitchen_->is_gated = true;
  Context impatient = Context::WithTimeout(milliseconds(1));
  EXPECT_FALSE(Fetch(Ask("unwanted"), impatient).ok());
  const Result<Answer> told = Fetch(AskAsync("promised"));
  ASSERT_TRUE(told.ok() && told->job);
  EXPECT_FALSE(orchestrator_->Drain(std::chrono::steady_clock::now()));
  EXPECT_EQ(Count("video_resizer_abandoned_total"), 1);
  EXPECT_EQ(orchestrator_->flights(), 1u) << "the other one is waited for";
}

}  // namespace
}  // namespace vr::cache
