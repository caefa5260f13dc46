#include "cache/prewarmer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/testing/manual_clock.h"

namespace vr::cache {
namespace {

using namespace std::chrono_literals;

/// A prewarmer over a maker that answers when it is told to.
class PrewarmerTest : public ::testing::Test {
 protected:
  void SetUp() override { loops_.Start(); }
  void TearDown() override {
    if (prewarmer_) {
      Open();
      EXPECT_TRUE(prewarmer_->Drain(std::chrono::steady_clock::now() + 20s));
    }
    loops_.Stop();
  }

  void Make(PrewarmOptions options = {}) {
    Prewarmer::Deps deps{
        .executor = loops_[0].executor(),
        .clock = clock_,
        .metrics = metrics_,
        .make = [this](std::vector<WarmTarget> targets) { return Warm(std::move(targets)); },
        .is_idle = [this] { return is_idle_.load(); },
        .resolve = [](std::string target) -> Result<WarmTarget> {
          if (target.starts_with("/bad")) {
            return Error(Code::kNotFound, "no origin").WithReason("NO_MATCHING_ORIGIN");
          }
          WarmTarget resolved;
          resolved.source = target.substr(0, target.find('?'));
          resolved.target = std::move(target);
          return resolved;
        },
        .keep = nullptr};
    if (is_kept_) {
      deps.keep = [this](std::vector<KeptOrder> orders) { return Keep(std::move(orders)); };
    }
    options.keep_every = 0ms;
    prewarmer_ = std::make_unique<Prewarmer>(std::move(deps), std::move(options));
  }

  Task<std::vector<Result<Warmed>>> Warm(std::vector<WarmTarget> targets) {
    std::vector<Result<Warmed>> results;
    {
      std::unique_lock lock(mutex_);
      std::string group;
      for (const WarmTarget& target : targets) {
        group += (group.empty() ? "" : " ") + target.target;
        const auto next = next_.find(target.target);
        if (next != next_.end() && !next->second.empty()) {
          results.push_back(next->second.front());
          next->second.pop_front();
        } else {
          results.push_back(Warmed::kMade);
        }
      }
      made_.push_back(group);
      changed_.notify_all();
      // Blocks the loop: these tests have it to themselves.
      changed_.wait(lock, [this] { return is_open_; });
    }
    co_return results;
  }
  Task<Result<void>> Keep(std::vector<KeptOrder> orders) {
    const std::lock_guard lock(mutex_);
    kept_ = std::move(orders);
    changed_.notify_all();
    co_return Result<void>();
  }
  /// Those targets are what is kept, of whatever order.
  void WaitKept(const std::vector<std::string>& targets) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, 20s, [&] {
      std::vector<std::string> all;
      for (const KeptOrder& order : kept_) {
        all.insert(all.end(), order.targets.begin(), order.targets.end());
      }
      return all == targets;
    }));
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void WaitMade(size_t count) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, 20s, [&] { return made_.size() >= count; }));
  }
  Prewarmer::View WaitEnd(const std::string& id) {
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    for (;;) {
      const auto view = prewarmer_->Find(id);
      if (view && view->ended_ms != 0) return *view;
      if (std::chrono::steady_clock::now() > give_up) {
        ADD_FAILURE() << "the order did not end";
        return {};
      }
      std::this_thread::yield();
    }
  }
  Result<Prewarmer::View> Order(const std::vector<std::string>& targets) {
    return prewarmer_->Submit(Prewarmer::Cause::kOrder, targets);
  }

  io::LoopPool loops_{1};
  vr::testing::ManualClock clock_{FromUnixMillis(1'770'091'506'000)};
  Metrics metrics_;
  std::atomic<bool> is_idle_{true};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = true;
  std::vector<std::string> made_;
  bool is_kept_ = false;  ///< whether there is something that keeps orders
  std::vector<KeptOrder> kept_;
  std::map<std::string, std::deque<Result<Warmed>>> next_;
  std::unique_ptr<Prewarmer> prewarmer_;
};

TEST_F(PrewarmerTest, WhatIsOfOneSourceIsHandedOverTogether) {
  is_idle_ = false;
  PrewarmOptions options;
  options.together = 3;
  Make(options);
  const auto first = Order({"/a?1", "/b?1", "/a?2", "/a?2"});
  const auto second = Order({"/a?3", "/a?4", "/a?1"});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->total, 3u) << "the same twice counts once";
  EXPECT_EQ(first->queued, 3u);
  is_idle_ = true;
  WaitEnd(second->id);
  EXPECT_EQ(WaitEnd(first->id).made, 3u);
  EXPECT_EQ(made_, (std::vector<std::string>{"/a?1 /a?2 /a?3", "/b?1", "/a?4 /a?1"}));
}

TEST_F(PrewarmerTest, NothingBeginsWhileThereIsSomethingBetterToDo) {
  is_idle_ = false;
  Make();
  const auto order = Order({"/a?1"});
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(prewarmer_->Find(order->id)->queued, 1u);
  EXPECT_TRUE(made_.empty());
  is_idle_ = true;
  EXPECT_EQ(WaitEnd(order->id).made, 1u);
}

TEST_F(PrewarmerTest, ResultsAreCountedApart) {
  next_["/a?held"] = {Warmed::kHeld};
  next_["/a?joined"] = {Warmed::kJoined};
  next_["/a?gone"] = {Error(Code::kNotFound, "it is gone").WithReason("NOT_FOUND")};
  Make();
  const auto order = Order({"/a?held", "/a?joined", "/a?gone", "/a?made"});
  ASSERT_TRUE(order.ok());
  const Prewarmer::View view = WaitEnd(order->id);
  EXPECT_EQ(view.held, 1u);
  EXPECT_EQ(view.joined, 1u);
  EXPECT_EQ(view.made, 1u);
  EXPECT_EQ(view.failed, 1u);
  ASSERT_EQ(view.failures.size(), 1u);
  EXPECT_EQ(view.failures[0].target, "/a?gone");
  EXPECT_EQ(view.failures[0].code, "NOT_FOUND");
}

TEST_F(PrewarmerTest, WhatFoundNoRoomIsTriedAgainALimitedNumberOfTimes) {
  const Error full = Error(Code::kResourceExhausted, "full").WithReason("OVERLOADED");
  next_["/a?once"] = {full};
  Make();
  const auto order = Order({"/a?once"});
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(WaitEnd(order->id).made, 1u);
  EXPECT_EQ(made_, (std::vector<std::string>{"/a?once", "/a?once"}));
}

TEST_F(PrewarmerTest, AnOrderIsTakenWholeOrNotAtAll) {
  is_idle_ = false;
  PrewarmOptions options;
  options.queue = 3;
  Make(options);
  ASSERT_TRUE(Order({"/a?1", "/a?2"}).ok());
  const auto full = Order({"/a?3", "/a?4"});
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().reason, "OVERLOADED");
  EXPECT_TRUE(Order({"/a?3"}).ok());
  const auto bad = Order({"/a?5", "/bad?1"});
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().reason, "NO_MATCHING_ORIGIN");
  EXPECT_EQ(prewarmer_->List().size(), 2u);
}

TEST_F(PrewarmerTest, WhatWaitsCanBeCalledOffAndWhatRunsGoesOn) {
  PrewarmOptions options;
  options.together = 1;
  is_open_ = false;
  Make(options);
  const auto order = Order({"/a?1", "/a?2", "/a?3"});
  ASSERT_TRUE(order.ok());
  WaitMade(1);
  EXPECT_TRUE(prewarmer_->Cancel(order->id));
  EXPECT_EQ(prewarmer_->Find(order->id)->ended_ms, 0) << "one is being made";
  Open();
  const Prewarmer::View view = WaitEnd(order->id);
  EXPECT_EQ(view.made, 1u);
  EXPECT_EQ(view.cancelled, 2u);
  EXPECT_FALSE(prewarmer_->Cancel("nobody"));
}

TEST_F(PrewarmerTest, ASourceIsHotOnceItIsAskedForOftenEnough) {
  is_idle_ = false;
  PrewarmOptions options;
  options.derivatives = {"low", "high"};
  Make(options);
  EXPECT_FALSE(prewarmer_->counts_requests());
  options.hot_requests = 3;
  options.hot_window = std::chrono::hours(1);
  prewarmer_->SetOptions(options);
  ASSERT_TRUE(prewarmer_->counts_requests());
  for (int i = 0; i < 2; ++i) prewarmer_->CountRequest("v/a b.mp4");
  for (int i = 0; i < 9; ++i) prewarmer_->CountRequest("https://elsewhere/c.mp4");
  for (int i = 0; i < 9; ++i) prewarmer_->CountRequest("v/d.mp4");
  const auto give_up = std::chrono::steady_clock::now() + 20s;
  while (prewarmer_->List().empty() && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
  }
  is_idle_ = true;
  const auto orders = prewarmer_->List();
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].cause, Prewarmer::Cause::kHot);
  EXPECT_EQ(WaitEnd(orders[0].id).made, 2u);
  EXPECT_EQ(made_, (std::vector<std::string>{"/v/d.mp4?derivative=low /v/d.mp4?derivative=high"}));
}

TEST_F(PrewarmerTest, AnUploadIsFoundByItsPath) {
  PrewarmOptions options;
  options.on_upload = {"low"};
  options.upload_path = "/x/${bucket}/${key}";
  Make(options);
  const auto taken = prewarmer_->Uploaded("b", "c d/${key}.mp4");
  ASSERT_TRUE(taken.ok() && *taken);
  WaitEnd((*taken)->id);
  EXPECT_EQ(made_, (std::vector<std::string>{"/x/b/c%20d/$%7Bkey%7D.mp4?derivative=low"}));
  options.upload_path = "/bad/${key}";
  prewarmer_->SetOptions(options);
  const auto none = prewarmer_->Uploaded("b", "c.mp4");
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(*none);
}

TEST_F(PrewarmerTest, WhatIsNotDoneGoesOnInTheNextProcess) {
  is_kept_ = true;
  is_idle_ = false;
  Make();
  const auto order = Order({"/a?1", "/b?1"});
  const auto upload = prewarmer_->Submit(Prewarmer::Cause::kUpload, {"/c?1"});
  ASSERT_TRUE(order.ok() && upload.ok());
  WaitKept({"/a?1", "/b?1", "/c?1"});
  ASSERT_TRUE(prewarmer_->Drain(std::chrono::steady_clock::now() + 20s));
  const std::vector<KeptOrder> left = prewarmer_->Unended();
  Make();
  prewarmer_->Restore(left);
  is_idle_ = true;
  const Prewarmer::View view = WaitEnd(order->id);
  EXPECT_EQ(view.created_ms, order->created_ms);
  EXPECT_EQ(view.total, 2u);
  EXPECT_EQ(view.made, 2u);
  EXPECT_EQ(WaitEnd(upload->id).cause, Prewarmer::Cause::kUpload);
  WaitKept({});
  EXPECT_FALSE(prewarmer_->is_changed());
}

TEST_F(PrewarmerTest, OfWhatIsDoneTheCountsAreKept) {
  const Error full = Error(Code::kResourceExhausted, "full").WithReason("OVERLOADED");
  next_["/a?gone"] = {Error(Code::kNotFound, "it is gone").WithReason("NOT_FOUND")};
  next_["/a?later"] = {full, full, full, full};
  is_kept_ = true;
  Make();
  const auto order = Order({"/a?made", "/a?gone", "/a?later"});
  ASSERT_TRUE(order.ok());
  WaitKept({"/a?later"});
  ASSERT_TRUE(prewarmer_->Drain(std::chrono::steady_clock::now() + 20s));
  const std::vector<KeptOrder> left = prewarmer_->Unended();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].targets, (std::vector<std::string>{"/a?later"}));
  next_.clear();
  Make();
  prewarmer_->Restore(left);
  const Prewarmer::View view = WaitEnd(order->id);
  EXPECT_EQ(view.total, 3u);
  EXPECT_EQ(view.made, 2u);
  EXPECT_EQ(view.failed, 1u);
}

TEST_F(PrewarmerTest, WhatAStopHasGivenUpIsNotDone) {
  next_["/a?1"] = {Error(Code::kUnavailable, "the server is shutting down")};
  is_kept_ = true;
  is_open_ = false;
  Make();
  ASSERT_TRUE(Order({"/a?1"}).ok());
  WaitMade(1);
  EXPECT_EQ(prewarmer_->Unended().at(0).targets, (std::vector<std::string>{"/a?1"}));
  EXPECT_FALSE(prewarmer_->Drain(std::chrono::steady_clock::now()));
  Open();
  ASSERT_TRUE(prewarmer_->Drain(std::chrono::steady_clock::now() + 20s));
  EXPECT_TRUE(prewarmer_->is_changed());
  EXPECT_EQ(prewarmer_->Unended().at(0).targets, (std::vector<std::string>{"/a?1"}));
}

TEST_F(PrewarmerTest, WhatHasEndedIsNotKept) {
  is_kept_ = true;
  is_idle_ = false;
  Make();
  const auto order = Order({"/a?1"});
  ASSERT_TRUE(order.ok());
  WaitKept({"/a?1"});
  EXPECT_TRUE(prewarmer_->Cancel(order->id));
  EXPECT_TRUE(prewarmer_->Unended().empty());
  WaitKept({});
}

TEST_F(PrewarmerTest, WhatIsNoVariantAnyMoreHasFailed) {
  KeptOrder order;
  order.id = "0123";
  order.held = 1;
  order.targets = {"/bad?1", "/a?1"};
  Make();
  prewarmer_->Restore({order});
  const auto give_up = std::chrono::steady_clock::now() + 20s;
  while (!prewarmer_->Find("0123") && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
  }
  const Prewarmer::View view = WaitEnd("0123");
  EXPECT_EQ(view.total, 3u);
  EXPECT_EQ(view.failed, 1u);
  EXPECT_EQ(view.made, 1u);
  ASSERT_EQ(view.failures.size(), 1u);
  EXPECT_EQ(view.failures[0].code, "NO_MATCHING_ORIGIN");
}

TEST_F(PrewarmerTest, AfterADrainNothingIsTaken) {
  is_idle_ = false;
  Make();
  const auto order = Order({"/a?1"});
  ASSERT_TRUE(order.ok());
  EXPECT_TRUE(prewarmer_->Drain(std::chrono::steady_clock::now() + 20s));
  EXPECT_EQ(prewarmer_->Find(order->id)->cancelled, 1u);
  EXPECT_EQ(Order({"/a?2"}).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace vr::cache
