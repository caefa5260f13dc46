#include "cache/job.h"

#include <gtest/gtest.h>

#include <set>

#include "base/testing/manual_clock.h"
#include "cache/job_registry.h"
#include "cache/production.h"

namespace vr::cache {
namespace {

using std::chrono::seconds;

std::shared_ptr<const Error> Why(Code code) {
  return std::make_shared<const Error>(code, "because");
}

class JobTest : public ::testing::Test {
 protected:
  Job::Names Names(const std::string& key) {
    Job::Names names;
    names.key = key;
    names.flight = key + "#flight";
    names.target = "/" + key + "?width=1";
    return names;
  }
  JobRef Open(const std::string& key) {
    productions_.push_back(std::make_shared<Production>());
    JobRef job = jobs_.Open(Names(key), productions_.back());
    productions_.back()->BeginMaking(job);
    return job;
  }
  void End(const JobRef& job) {
    job->Complete();
    jobs_.Close(job);
  }

  vr::testing::ManualClock clock_;
  JobOptions options_{.keep_ended = seconds(600), .max_ended = 3, .failure_memory = seconds(15)};
  JobRegistry jobs_{options_, clock_};
  std::vector<ProductionRef> productions_;
};

TEST_F(JobTest, GoesForwardOnly) {
  Job job(Names("a"), clock_);
  EXPECT_EQ(job.Look().state, JobState::kQueued);
  job.SetPercent(30);
  job.Start();
  job.SetPercent(20);
  EXPECT_EQ(job.Look().percent, 30u);
  EXPECT_EQ(job.Look().state, JobState::kTranscoding);
  job.SetPercent(100);
  EXPECT_EQ(job.Look().percent, 99u) << "it is not complete";
  job.Store();
  job.Start();
  EXPECT_EQ(job.Look().state, JobState::kStoring);
  clock_.Advance(seconds(5));
  job.Complete();
  const Job::View end = job.Look();
  EXPECT_EQ(end.state, JobState::kComplete);
  EXPECT_EQ(end.percent, 100u);
  EXPECT_EQ(end.ended_ms - end.created_ms, 5000);
}

TEST_F(JobTest, AnEndIsFinal) {
  Job failed(Names("a"), clock_);
  failed.SetPercent(40);
  failed.Fail(Why(Code::kCorruption));
  const uint64_t ticket = failed.ticket();
  failed.Complete();
  failed.Store();
  failed.SetPercent(80);
  failed.Fail(Why(Code::kCancelled));
  EXPECT_EQ(failed.Look().state, JobState::kFailed);
  EXPECT_EQ(failed.Look().percent, 40u);
  EXPECT_EQ(failed.Look().error->code, Code::kCorruption);
  EXPECT_EQ(failed.ticket(), ticket) << "nobody is woken for nothing";
  Job cancelled(Names("a"), clock_);
  cancelled.Fail(Why(Code::kCancelled));
  EXPECT_EQ(cancelled.Look().state, JobState::kCancelled);
}

TEST_F(JobTest, NobodyIsWokenWithoutNews) {
  Job job(Names("a"), clock_);
  job.Start();
  job.SetPercent(10);
  const uint64_t ticket = job.ticket();
  job.Start();
  job.SetPercent(10);
  job.SetPercent(9);
  EXPECT_EQ(job.ticket(), ticket);
  job.SetPercent(11);
  EXPECT_NE(job.ticket(), ticket);
}

TEST_F(JobTest, IdsAreLongAndNoneComesTwice) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string id = Open("a")->id();
    EXPECT_EQ(id.size(), 32u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_EQ(jobs_.List().size(), 100u) << "those that go on are never dropped";
}

TEST_F(JobTest, IsFoundByItsWholeIdOnly) {
  const JobRef job = Open("a");
  EXPECT_EQ(jobs_.Find(job->id()), job);
  EXPECT_EQ(jobs_.Find(job->id().substr(0, 31)), nullptr);
  EXPECT_EQ(jobs_.Find(job->id() + "0"), nullptr);
  EXPECT_EQ(jobs_.Find(""), nullptr);
  EXPECT_EQ(jobs_.Find("%"), nullptr);
}

TEST_F(JobTest, EndedOnesStayForAWhileAndOnlySoMany) {
  const JobRef live = Open("live");
  std::vector<JobRef> ended;
  for (int i = 0; i < 5; ++i) {
    ended.push_back(Open("ended"));
    End(ended.back());
  }
  EXPECT_EQ(jobs_.Find(ended[1]->id()), nullptr);
  EXPECT_EQ(jobs_.Find(ended[2]->id()), ended[2]);
  EXPECT_EQ(jobs_.List().size(), 4u);
  clock_.Advance(seconds(599));
  EXPECT_EQ(jobs_.Find(ended[4]->id()), ended[4]);
  clock_.Advance(seconds(1));
  EXPECT_EQ(jobs_.Find(ended[4]->id()), nullptr);
  EXPECT_EQ(jobs_.Find(live->id()), live);
  EXPECT_EQ(jobs_.List().size(), 1u);
}

TEST_F(JobTest, AListingTellsWhoWantsIt) {
  const JobRef job = Open("a");
  EXPECT_EQ(jobs_.List().at(0).interest, Interest::kPrewarm);
  productions_[0]->AddWaiter();
  EXPECT_EQ(jobs_.List().at(0).interest, Interest::kWaiting);
  EXPECT_EQ(jobs_.List().at(0).waiters, 1u);
  productions_[0]->DropWaiter();
  EXPECT_EQ(jobs_.List().at(0).interest, Interest::kUnattended);
  EXPECT_FALSE(productions_[0]->is_wanted());
  productions_[0]->Hold();
  EXPECT_TRUE(productions_[0]->is_wanted());
  clock_.Advance(seconds(3));
  EXPECT_EQ(jobs_.List().at(0).seconds, 3);
}

TEST_F(JobTest, AFailureThatSomebodyWasPromisedIsRememberedForAMoment) {
  const JobRef job = Open("a");
  jobs_.RememberFailure(job);
  EXPECT_EQ(jobs_.FailureOf("a#flight"), nullptr) << "it has not failed";
  productions_[0]->Fail(Error(Code::kInternal, "broken"));
  jobs_.RememberFailure(job);
  jobs_.Close(job);
  ASSERT_NE(jobs_.FailureOf("a#flight"), nullptr);
  EXPECT_EQ(jobs_.FailureOf("a#flight")->public_message, "broken");
  EXPECT_EQ(jobs_.FailureOf("b#flight"), nullptr);
  clock_.Advance(seconds(15));
  EXPECT_EQ(jobs_.FailureOf("a#flight"), nullptr);
  EXPECT_EQ(jobs_.Find(job->id()), job) << "pollers of the job itself still see it";
}

TEST_F(JobTest, AFailureIsRememberedTheMomentItIsTold) {
  // Whoever hears of it on another loop asks again at once.
  const JobRef job = Open("a");
  jobs_.RememberFailure(job);
  clock_.Advance(seconds(60));
  EXPECT_EQ(jobs_.FailureOf("a#flight"), nullptr);
  productions_[0]->Fail(Error(Code::kInternal, "broken"));
  EXPECT_NE(jobs_.FailureOf("a#flight"), nullptr);
}

TEST_F(JobTest, ACancelledJobIsNotRememberedAsAFailure) {
  const JobRef job = Open("a");
  EXPECT_TRUE(productions_[0]->Cancel(Error(Code::kCancelled, "by hand")));
  EXPECT_FALSE(productions_[0]->Cancel(Error(Code::kCancelled, "again")));
  jobs_.RememberFailure(job);
  EXPECT_EQ(jobs_.FailureOf("a#flight"), nullptr);
  EXPECT_EQ(job->Look().state, JobState::kCancelled);
}

TEST_F(JobTest, CancellingAndKeepingExcludeEachOther) {
  Open("a");
  EXPECT_TRUE(productions_[0]->BeginKeeping());
  EXPECT_FALSE(productions_[0]->Cancel(Error(Code::kCancelled, "too late")));
  Open("b");
  int acted = 0;
  productions_[1]->OnAbandon([&] { ++acted; });
  EXPECT_TRUE(productions_[1]->Cancel(Error(Code::kCancelled, "in time")));
  EXPECT_EQ(acted, 1);
  EXPECT_TRUE(productions_[1]->is_abandoned());
  EXPECT_FALSE(productions_[1]->BeginKeeping());
}

TEST_F(JobTest, TheFirstEstimateCounts) {
  Open("a");
  for (const double nonsense : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                                std::numeric_limits<double>::quiet_NaN()}) {
    productions_[0]->SetEstimate(nonsense);
    EXPECT_EQ(productions_[0]->estimated_seconds(), 0);
  }
  productions_[0]->SetEstimate(90);
  productions_[0]->SetEstimate(10);
  EXPECT_EQ(productions_[0]->estimated_seconds(), 90);
  EXPECT_EQ(jobs_.List().at(0).view.estimated_seconds, 90);
}

}  // namespace
}  // namespace vr::cache
