// The pool against real processes: the fake worker, which misbehaves on demand.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "io/cores.h"
#include "io/notifier.h"
#include "transform/testing/fake_worker.h"
#include "transform/worker_pool.h"

namespace vr::transform {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::Behave;
using ::testing::HasSubstr;

SharedFd MemoryFile(std::string_view text = {}) {
  auto fd = std::make_shared<const UniqueFd>(memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(write(fd->get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  // The worker shares the file offset.
  EXPECT_EQ(lseek(fd->get(), 0, SEEK_SET), 0);
  return fd;
}

std::string TextOf(const SharedFd& file) {
  std::string text(4096, '\0');
  const ssize_t size = pread(file->get(), text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return text;
}

/// A source in memory. Remote ones give what Ensure() was asked for, or fail.
class FakeSource final : public origin::Source {
 public:
  explicit FakeSource(std::string text, bool is_complete = true)
      : is_complete_(is_complete), file_(MemoryFile(text)) {
    info_.size = text.size();
  }
  const origin::SourceInfo& info() const override { return info_; }
  const SharedFd& file() const override { return file_; }
  bool is_complete() const override { return is_complete_; }
  Task<Result<uint64_t>> Ensure(Context, uint64_t offset, uint64_t length) override {
    ++ensured;
    if (fail_from && offset >= *fail_from) {
      co_return Error(Code::kUnavailable, "the origin failed", "test")
          .WithReason("ALL_SOURCES_FAILED");
    }
    if (stall) {
      const bool changed = co_await stall->WaitChange(stall->ticket());
      static_cast<void>(changed);
    }
    const uint64_t size = info_.size.value_or(known_size);
    co_return offset >= size ? 0 : std::min(length, size - offset);
  }

  std::optional<uint64_t> fail_from;
  std::shared_ptr<io::Notifier> stall;
  std::atomic<int> ensured{0};
  origin::SourceInfo info_;
  uint64_t known_size = 0;

 private:
  const bool is_complete_;
  SharedFd file_;
};

class WorkerPoolTest : public ::testing::Test {
 protected:
  WorkerPoolTest() : loops_(2) {
    options_.worker_path = VR_FAKE_WORKER_PATH;
    options_.workers = 2;
    options_.restart_backoff = milliseconds(10);
    options_.drain_timeout = milliseconds(5000);
    loops_.Start();
  }
  ~WorkerPoolTest() override {
    pool_.reset();
    loops_.Stop();
  }
  void MakePool() {
    auto made = WorkerPool::Create(options_, loops_, metrics_);
    ASSERT_TRUE(made.ok()) << made.error().ToLogString();
    pool_ = std::move(*made);
  }

  struct Job {
    Behave behave = Behave::kSucceed;
    std::shared_ptr<FakeSource> source = std::make_shared<FakeSource>("source");
    milliseconds timeout{20'000};
    bool streams = true;
    WorkerPool::ProgressFn on_progress;
    std::shared_ptr<CancelToken> cancel;
    Claim claim = {};
    Outputs outputs = {};
  };
  using End = std::future<Result<protocol::Done>>;

  static Task<void> RunInto(WorkerPool* pool, Job job,
                            std::shared_ptr<std::promise<Result<protocol::Done>>> out) {
    protocol::Job order;
    order.width = static_cast<uint32_t>(job.behave);
    Context ctx = Context::WithTimeout(job.timeout, "test-request");
    Outputs outputs = job.outputs;
    Result<protocol::Done> done =
        co_await pool->Run(ctx, order, job.source, outputs, job.on_progress, job.cancel, job.claim);
    out->set_value(std::move(done));
  }
  /// Starts a job from a loop of the server.
  End Begin(Job job) {
    job.outputs.stored = MemoryFile();
    if (job.streams) job.outputs.stream = MemoryFile();
    last_ = job.outputs;
    auto promise = std::make_shared<std::promise<Result<protocol::Done>>>();
    End end = promise->get_future();
    boost::asio::co_spawn(loops_[0].executor(), RunInto(pool_.get(), std::move(job), promise),
                          [](std::exception_ptr) {});
    return end;
  }
  Result<protocol::Done> Finish(End end) {
    if (end.wait_for(seconds(30)) != std::future_status::ready) {
      ADD_FAILURE() << "the job never ended";
      return Error(Code::kInternal, "never ended");
    }
    return end.get();
  }
  Result<protocol::Done> Do(Behave behave) {
    Job job;
    job.behave = behave;
    return Finish(Begin(std::move(job)));
  }
  void ExpectWorks() {
    auto done = Do(Behave::kSucceed);
    ASSERT_TRUE(done.ok()) << done.error().ToLogString();
    EXPECT_EQ(TextOf(last_.stored), "result");
  }
  template <class F>
  void WaitUntil(F condition) {
    const auto deadline = steady_clock::now() + seconds(20);
    while (!condition() && steady_clock::now() < deadline) std::this_thread::yield();
    ASSERT_TRUE(condition());
  }
  /// The workers there are, as the kernel says.
  std::vector<pid_t> Workers() {
    const std::string zygote = std::to_string(pool_->zygote_pid());
    std::ifstream list("/proc/" + zygote + "/task/" + zygote + "/children");
    std::vector<pid_t> pids;
    for (pid_t pid = 0; list >> pid;) pids.push_back(pid);
    return pids;
  }
  double SecondTries() {
    return metrics_
        .GetCounter("video_resizer_job_second_tries_total",
                    "Jobs whose worker died before it read them, and that went to another one")
        .value();
  }
  double Deaths(const char* cause) {
    return metrics_
        .GetCounter("video_resizer_worker_deaths_total",
                    "Workers that ended without a result, by cause", {{"cause", cause}})
        .value();
  }

  Metrics metrics_;
  io::LoopPool loops_;
  Options options_;
  std::unique_ptr<WorkerPool> pool_;
  Outputs last_;
};

TEST_F(WorkerPoolTest, AJobWritesBothFormsAndTellsItsProgress) {
  MakePool();
  EXPECT_TRUE(pool_->ready());
  EXPECT_EQ(pool_->recipe(), "fake recipe 1");
  std::vector<protocol::Progress> seen;
  const std::thread::id test_thread = std::this_thread::get_id();
  bool on_own_loop = false;
  Job job;
  job.on_progress = [&](const protocol::Progress& p) {
    seen.push_back(p);
    on_own_loop = io::Loop::Current() == &loops_[0] && std::this_thread::get_id() != test_thread;
  };
  auto done = Finish(Begin(std::move(job)));
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(done->stored_bytes, 6u);
  EXPECT_EQ(done->stream_bytes, 6u);
  EXPECT_EQ(done->width, 16u);
  EXPECT_EQ(done->video_codec, "h264");
  EXPECT_EQ(TextOf(last_.stored), "result");
  EXPECT_EQ(TextOf(last_.stream), "result");
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].stream_bytes, 6u);
  EXPECT_TRUE(on_own_loop);
}

TEST_F(WorkerPoolTest, WithoutAStreamOnlyTheStoredFormIsMade) {
  MakePool();
  Job job;
  job.streams = false;
  auto done = Finish(Begin(std::move(job)));
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(done->stream_bytes, 0u);
}

TEST_F(WorkerPoolTest, ManyJobsShareFewWorkersAndEachGetsItsOwnResult) {
  MakePool();
  std::vector<End> ends;
  std::vector<Outputs> outputs;
  for (int i = 0; i < 40; ++i) {
    Job job;
    job.behave = Behave::kCopySource;
    job.source = std::make_shared<FakeSource>("source number " + std::to_string(i), false);
    ends.push_back(Begin(std::move(job)));
    outputs.push_back(last_);
  }
  for (size_t i = 0; i < ends.size(); ++i) {
    auto done = Finish(std::move(ends[i]));
    ASSERT_TRUE(done.ok()) << done.error().ToLogString();
    EXPECT_EQ(TextOf(outputs[i].stored), "source number " + std::to_string(i));
  }
  EXPECT_EQ(pool_->queue_depth(), 0u);
  WaitUntil([&] {
    return metrics_.GetCounter("video_resizer_encode_seconds_total", "CPU seconds of ended workers")
               .value() == 10;
  });
}

TEST_F(WorkerPoolTest, ARemoteSourceIsAskedForWhatIsNeeded) {
  MakePool();
  Job job;
  job.behave = Behave::kCopySource;
  job.source = std::make_shared<FakeSource>("0123456789", false);
  auto source = job.source;
  auto done = Finish(Begin(std::move(job)));
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(TextOf(last_.stored), "0123456789");
  EXPECT_EQ(source->ensured, 3);
}

TEST_F(WorkerPoolTest, ASourceOfUnknownLengthIsFetchedWholeFirst) {
  MakePool();
  Job job;
  job.behave = Behave::kCopySource;
  job.source = std::make_shared<FakeSource>("0123456789", false);
  job.source->info_.size.reset();
  job.source->known_size = 10;
  auto done = Finish(Begin(std::move(job)));
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(TextOf(last_.stored), "0123456789");
}

TEST_F(WorkerPoolTest, ASourcesOwnErrorReachesTheCaller) {
  MakePool();
  Job job;
  job.behave = Behave::kCopySource;
  job.source = std::make_shared<FakeSource>("0123456789", false);
  job.source->fail_from = 4;
  auto done = Finish(Begin(std::move(job)));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::kUnavailable);
  EXPECT_EQ(done.error().reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(done.error().public_message, "the origin failed");
  ExpectWorks();
}

TEST_F(WorkerPoolTest, WaitingForTheSourceIsNotALackOfProgress) {
  // Long enough for a worker on a busy machine to come to its first question.
  options_.no_progress_timeout = milliseconds(500);
  MakePool();
  Job job;
  job.behave = Behave::kCopySource;
  job.source = std::make_shared<FakeSource>("0123", false);
  auto stall = std::make_shared<io::Notifier>();
  job.source->stall = stall;
  auto source = job.source;
  End end = Begin(std::move(job));
  WaitUntil([&] { return source->ensured > 0; });
  EXPECT_EQ(end.wait_for(milliseconds(1500)), std::future_status::timeout);
  while (end.wait_for(milliseconds(10)) != std::future_status::ready) stall->NotifyAll();
  auto done = end.get();
  EXPECT_TRUE(done.ok()) << done.error().ToLogString();
}

struct Misbehaviour {
  Behave behave;
  const char* reason;
  Code code;
  const char* cause;  ///< null: not a death
};

TEST_F(WorkerPoolTest, WhateverAWorkerDoesCostsOneJob) {
  options_.no_progress_timeout = milliseconds(300);
  MakePool();
  const std::vector<Misbehaviour> table = {
      {Behave::kCrash, "TRANSFORM_FAILED", Code::kInternal, "crash"},
      {Behave::kExitEarly, "TRANSFORM_FAILED", Code::kInternal, "crash"},
      {Behave::kHang, "TRANSFORM_TIMEOUT", Code::kDeadlineExceeded, "no_progress"},
      {Behave::kGarbage, "TRANSFORM_FAILED", Code::kInternal, "protocol"},
      {Behave::kLyingWatermark, "TRANSFORM_FAILED", Code::kInternal, "protocol"},
      {Behave::kLyingResult, "TRANSFORM_FAILED", Code::kInternal, "protocol"},
      {Behave::kTooMuchOutput, "SOURCE_TOO_LARGE", Code::kResourceExhausted, "output_size"},
      {Behave::kSandbox, "TRANSFORM_FAILED", Code::kInternal, "sandbox"},
      {Behave::kCpu, "TRANSFORM_TIMEOUT", Code::kDeadlineExceeded, "cpu"},
      {Behave::kFileSize, "SOURCE_TOO_LARGE", Code::kResourceExhausted, "output_size"},
      {Behave::kFail, "SOURCE_CORRUPT", Code::kCorruption, nullptr},
  };
  for (const Misbehaviour& row : table) {
    SCOPED_TRACE(static_cast<int>(row.behave));
    const double before = row.cause != nullptr ? Deaths(row.cause) : 0;
    auto done = Do(row.behave);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().reason, row.reason);
    EXPECT_EQ(done.error().code, row.code);
    if (row.cause != nullptr) {
      EXPECT_EQ(Deaths(row.cause), before + 1);
    }
    ExpectWorks();
  }
}

TEST_F(WorkerPoolTest, AWorkerCannotPileUpQuestions) {
  MakePool();
  Job job;
  job.behave = Behave::kFloodNeeds;
  job.source = std::make_shared<FakeSource>("0123", false);
  auto stall = std::make_shared<io::Notifier>();
  job.source->stall = stall;
  auto source = job.source;
  auto done = Finish(Begin(std::move(job)));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_FAILED");
  EXPECT_EQ(Deaths("protocol"), 1);
  EXPECT_EQ(source->ensured, 8);
  stall->NotifyAll();
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AWorkerThatStaysAfterItsLastWordIsKilledAndItsWordKept) {
  MakePool();
  auto done = Do(Behave::kSucceedAndStay);
  EXPECT_TRUE(done.ok());
  auto failed = Do(Behave::kFailAndStay);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().reason, "SOURCE_CORRUPT");
  ExpectWorks();
}

TEST_F(WorkerPoolTest, TheDeadlineEndsAJobThatStillProgresses) {
  MakePool();
  Job job;
  job.behave = Behave::kProgressForEver;
  job.timeout = milliseconds(300);
  const auto start = steady_clock::now();
  auto done = Finish(Begin(std::move(job)));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_TIMEOUT");
  EXPECT_EQ(Deaths("deadline"), 1);
  EXPECT_GE(steady_clock::now() - start, milliseconds(300));
  ExpectWorks();
}

TEST_F(WorkerPoolTest, TheOptionsTimeoutEndsAJobWithoutADeadline) {
  options_.timeout = milliseconds(200);
  MakePool();
  auto done = Do(Behave::kProgressForEver);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_TIMEOUT");
}

TEST_F(WorkerPoolTest, ACancelledJobEndsWhetherItRunsOrWaits) {
  options_.workers = 1;
  MakePool();
  Job running;
  running.behave = Behave::kProgressForEver;
  running.cancel = std::make_shared<CancelToken>();
  std::promise<void> started;
  bool told = false;
  running.on_progress = [&](const protocol::Progress&) {
    if (!std::exchange(told, true)) started.set_value();
  };
  auto cancel_running = running.cancel;
  End first = Begin(std::move(running));
  started.get_future().wait();
  Job waiting;
  waiting.cancel = std::make_shared<CancelToken>();
  auto cancel_waiting = waiting.cancel;
  End second = Begin(std::move(waiting));
  WaitUntil([&] { return pool_->queue_depth() == 1; });
  EXPECT_EQ(pool_->running(), 1u);
  cancel_waiting->Cancel();
  auto end = Finish(std::move(second));
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().code, Code::kCancelled);
  cancel_running->Cancel();
  end = Finish(std::move(first));
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().code, Code::kCancelled);
  EXPECT_EQ(Deaths("cancelled"), 1);
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AFullQueueAnswersAtOnceAndAWaitingJobHasItsDeadline) {
  options_.workers = 1;
  options_.queue = 1;
  MakePool();
  auto token = std::make_shared<CancelToken>();
  Job running;
  running.behave = Behave::kHang;
  running.cancel = token;
  End first = Begin(std::move(running));
  WaitUntil([&] { return pool_->running() == 1; });
  Job waiting;
  waiting.timeout = milliseconds(1000);
  End second = Begin(std::move(waiting));
  WaitUntil([&] { return pool_->queue_depth() == 1; });
  auto refused = Do(Behave::kSucceed);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(refused.error().reason, "OVERLOADED");
  const Result<void> room = pool_->HasRoom("", "");
  ASSERT_FALSE(room.ok()) << "and says so before a job comes";
  EXPECT_EQ(room.error().reason, "OVERLOADED");
  auto late = Finish(std::move(second));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(late.error().reason, "TRANSFORM_TIMEOUT");
  WaitUntil([&] { return pool_->HasRoom("", "").ok(); });
  token->Cancel();
  EXPECT_FALSE(Finish(std::move(first)).ok());
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AnEstimateIsToldBeforeAnyByteAndNotLostInMerging) {
  MakePool();
  std::vector<protocol::Progress> seen;
  Job job;
  job.behave = Behave::kEstimate;
  job.on_progress = [&](const protocol::Progress& progress) { seen.push_back(progress); };
  ASSERT_TRUE(Finish(Begin(std::move(job))).ok());
  ASSERT_FALSE(seen.empty());
  for (const protocol::Progress& progress : seen) EXPECT_EQ(progress.estimated_seconds, 90);
}

TEST_F(WorkerPoolTest, AJobWhoseWorkerNeverReadItGoesToAnotherOne) {
  options_.workers = 1;
  MakePool();
  WaitUntil([&] { return Workers().size() == 1; });
  const pid_t worker = Workers()[0];
  ASSERT_EQ(kill(worker, SIGSTOP), 0);
  std::atomic<int> starts{0};
  Job job;
  job.claim.on_start = [&] { ++starts; };
  End end = Begin(std::move(job));
  const Outputs outputs = last_;
  WaitUntil([&] { return starts == 1; });
  ASSERT_EQ(kill(worker, SIGKILL), 0);
  auto done = Finish(std::move(end));
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(TextOf(outputs.stored), "result");
  EXPECT_EQ(starts, 2);
  EXPECT_EQ(SecondTries(), 1);
  EXPECT_EQ(Deaths("crash"), 1);
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AJobGetsOneSecondTryOnly) {
  options_.workers = 1;
  MakePool();
  // Whoever gets it is stopped before it can read, and then killed.
  WaitUntil([&] { return Workers().size() == 1; });
  std::atomic<int> starts{0};
  Job job;
  job.claim.on_start = [&] { ++starts; };
  pid_t worker = Workers()[0];
  ASSERT_EQ(kill(worker, SIGSTOP), 0);
  End end = Begin(std::move(job));
  WaitUntil([&] { return starts == 1; });
  // The one that stands ready beside the busy one.
  const Gauge idle =
      metrics_.GetGauge("video_resizer_workers", "Worker processes by state", {{"state", "idle"}});
  WaitUntil([&] { return Workers().size() == 2 && pool_->running() == 1 && idle.value() == 1; });
  const std::vector<pid_t> both = Workers();
  ASSERT_EQ(both.size(), 2u);
  const pid_t next = both[0] == worker ? both[1] : both[0];
  ASSERT_EQ(kill(next, SIGSTOP), 0);
  ASSERT_EQ(kill(worker, SIGKILL), 0);
  WaitUntil([&] { return starts == 2; });
  ASSERT_EQ(kill(next, SIGKILL), 0);
  auto done = Finish(std::move(end));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_FAILED");
  EXPECT_EQ(starts, 2);
  EXPECT_EQ(SecondTries(), 1);
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AJobThatItsWorkerHasReadIsNeverTriedAgain) {
  options_.workers = 1;
  MakePool();
  for (const Behave behave : {Behave::kCrash, Behave::kExitEarly}) {
    EXPECT_FALSE(Do(behave).ok());
  }
  // Killed from outside too: what it had already read may be why.
  WaitUntil([&] { return Workers().size() == 1; });
  const pid_t worker = Workers()[0];
  std::promise<void> spoken;
  bool told = false;
  Job job;
  job.behave = Behave::kProgressForEver;
  job.on_progress = [&](const protocol::Progress&) {
    if (!std::exchange(told, true)) spoken.set_value();
  };
  End end = Begin(std::move(job));
  spoken.get_future().wait();
  ASSERT_EQ(kill(worker, SIGKILL), 0);
  auto done = Finish(std::move(end));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_FAILED");
  EXPECT_EQ(SecondTries(), 0);
  ExpectWorks();
}

TEST_F(WorkerPoolTest, WaitingUsersComeFirstAndOriginsTakeTurns) {
  options_.workers = 1;
  MakePool();
  auto token = std::make_shared<CancelToken>();
  Job running;
  running.behave = Behave::kHang;
  running.cancel = token;
  End first = Begin(std::move(running));
  WaitUntil([&] { return pool_->running() == 1; });
  std::mutex mutex;
  std::string order;
  std::vector<End> ends;
  const auto add = [&](const std::string& name, const std::string& origin, Priority priority) {
    Job job;
    job.claim.origin = origin;
    job.claim.priority = [priority] { return priority; };
    job.claim.on_start = [&, name] {
      const std::lock_guard lock(mutex);
      order += name + " ";
    };
    ends.push_back(Begin(std::move(job)));
    WaitUntil([&] { return pool_->queue_depth() == ends.size(); });
  };
  add("prewarm", "c", Priority::kPrewarm);
  add("left", "c", Priority::kUnattended);
  add("a1", "a", Priority::kWaiting);
  add("a2", "a", Priority::kWaiting);
  add("a3", "a", Priority::kWaiting);
  add("b1", "b", Priority::kWaiting);
  token->Cancel();
  EXPECT_FALSE(Finish(std::move(first)).ok());
  for (End& end : ends) EXPECT_TRUE(Finish(std::move(end)).ok());
  EXPECT_EQ(order, "a1 b1 a2 a3 left prewarm ");
}

TEST_F(WorkerPoolTest, WhatNobodyAskedForTakesNoPlaceAway) {
  options_.workers = 1;
  MakePool();
  EXPECT_TRUE(pool_->is_idle());
  auto token = std::make_shared<CancelToken>();
  const auto urgency = std::make_shared<std::atomic<Priority>>(Priority::kPrewarm);
  Job prewarm;
  prewarm.behave = Behave::kHang;
  prewarm.cancel = token;
  prewarm.claim.priority = [urgency] { return urgency->load(); };
  End first = Begin(std::move(prewarm));
  WaitUntil([&] { return pool_->running() == 1; });
  EXPECT_FALSE(pool_->is_idle());
  EXPECT_TRUE(Do(Behave::kSucceed).ok()) << "a user's job did not wait for it";
  Job another;
  another.claim.priority = [] { return Priority::kPrewarm; };
  End second = Begin(std::move(another));
  WaitUntil([&] { return pool_->queue_depth() == 1; });
  EXPECT_TRUE(Do(Behave::kSucceed).ok()) << "and overtook the next one of those";
  EXPECT_EQ(pool_->queue_depth(), 1u) << "which waits for a place that is free";
  // Somebody joins the first: now it is a user's, and has the only place.
  urgency->store(Priority::kWaiting);
  End third = Begin(Job{});
  WaitUntil([&] { return pool_->queue_depth() == 2; });
  token->Cancel();
  EXPECT_FALSE(Finish(std::move(first)).ok());
  EXPECT_TRUE(Finish(std::move(third)).ok());
  EXPECT_TRUE(Finish(std::move(second)).ok());
}

TEST_F(WorkerPoolTest, ALoneJobGetsMoreDecoderThreadsThanOneOfMany) {
  MakePool();
  auto alone = Do(Behave::kSucceed);
  ASSERT_TRUE(alone.ok());
  const size_t cores = io::UsableCores();
  EXPECT_EQ(alone->warnings.at(0), "decoder_threads=" + std::to_string(std::min<size_t>(cores, 3)));
  auto token = std::make_shared<CancelToken>();
  Job other;
  other.behave = Behave::kHang;
  other.cancel = token;
  End end = Begin(std::move(other));
  WaitUntil([&] { return pool_->running() == 1; });
  auto beside = Do(Behave::kSucceed);
  ASSERT_TRUE(beside.ok());
  EXPECT_EQ(beside->warnings.at(0), "decoder_threads=1");
  token->Cancel();
  EXPECT_FALSE(Finish(std::move(end)).ok());
}

TEST_F(WorkerPoolTest, ASourceOverTheLimitIsRefusedWithoutAWorker) {
  options_.max_source_bytes = 5;
  MakePool();
  auto done = Do(Behave::kSucceed);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "SOURCE_TOO_LARGE");
}

TEST_F(WorkerPoolTest, AKilledZygoteCostsItsJobsAndTheNextRequestWorks) {
  MakePool();
  for (int round = 0; round < 3; ++round) {
    Job job;
    // It must have read its job: an unread one is rightly given to another worker.
    job.behave = Behave::kProgressForEver;
    std::promise<void> started;
    bool told = false;
    job.on_progress = [&](const protocol::Progress&) {
      if (!std::exchange(told, true)) started.set_value();
    };
    End end = Begin(std::move(job));
    started.get_future().wait();
    const pid_t before = pool_->zygote_pid();
    ASSERT_GT(before, 0);
    ASSERT_EQ(kill(before, SIGKILL), 0);
    auto done = Finish(std::move(end));
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().reason, "TRANSFORM_FAILED");
    ExpectWorks();
    EXPECT_NE(pool_->zygote_pid(), before);
  }
  EXPECT_EQ(Deaths("zygote"), 3);
}

TEST_F(WorkerPoolTest, AnIdleZygoteThatDiesIsReplacedWithoutAJob) {
  MakePool();
  const pid_t before = pool_->zygote_pid() > 0 ? pool_->zygote_pid() : 0;
  WaitUntil([&] { return pool_->zygote_pid() > 0; });
  const pid_t first = before > 0 ? before : pool_->zygote_pid();
  ASSERT_EQ(kill(first, SIGKILL), 0);
  WaitUntil(
      [&] { return pool_->zygote_pid() > 0 && pool_->zygote_pid() != first && pool_->ready(); });
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AZygoteThatStopsAnsweringIsReplaced) {
  options_.no_progress_timeout = milliseconds(200);
  MakePool();
  auto done = Do(Behave::kStopParent);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_TIMEOUT");
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AWorkerMayEvenKillItsParent) {
  MakePool();
  auto done = Do(Behave::kKillParent);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_FAILED");
  ExpectWorks();
}

TEST_F(WorkerPoolTest, AWorkerHoldsNothingOfTheServer) {
  options_.worker_memory = 123456789;
  setenv("SECRET_OF_THE_SERVER", "x", 1);
  // A descriptor somebody forgot to mark close-on-exec.
  const UniqueFd leak(open("/dev/null", O_RDONLY));
  const UniqueFd high(fcntl(leak.get(), F_DUPFD, 200));
  MakePool();
  auto done = Do(Behave::kDescribe);
  unsetenv("SECRET_OF_THE_SERVER");
  ASSERT_TRUE(done.ok());
  const std::string text = TextOf(last_.stored);
  EXPECT_THAT(text, HasSubstr("memory=123456789 "));
  EXPECT_THAT(text, HasSubstr("SVT_LOG=0"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("SECRET")));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("PATH=")));
  EXPECT_THAT(text, ::testing::Not(HasSubstr(" 200 ")));
}

TEST_F(WorkerPoolTest, StopLetsRunningJobsEndAndRefusesTheRest) {
  options_.workers = 1;
  MakePool();
  Job running;
  running.behave = Behave::kCopySource;
  running.source = std::make_shared<FakeSource>("0123", false);
  auto stall = std::make_shared<io::Notifier>();
  running.source->stall = stall;
  auto source = running.source;
  End first = Begin(std::move(running));
  const Outputs outputs = last_;
  WaitUntil([&] { return source->ensured > 0; });
  End second = Begin(Job{});
  WaitUntil([&] { return pool_->queue_depth() == 1; });
  std::thread stopper([&] { pool_->Stop(); });
  auto refused = Finish(std::move(second));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  while (first.wait_for(milliseconds(10)) != std::future_status::ready) stall->NotifyAll();
  auto done = first.get();
  EXPECT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(TextOf(outputs.stored), "0123");
  stopper.join();
  EXPECT_FALSE(pool_->ready());
  auto after = Do(Behave::kSucceed);
  ASSERT_FALSE(after.ok());
  EXPECT_EQ(after.error().code, Code::kUnavailable);
}

TEST_F(WorkerPoolTest, StopKillsWhatDoesNotEndInTime) {
  options_.drain_timeout = milliseconds(100);
  MakePool();
  Job job;
  job.behave = Behave::kHang;
  End end = Begin(std::move(job));
  WaitUntil([&] { return pool_->running() == 1; });
  const pid_t zygote = pool_->zygote_pid();
  const auto start = steady_clock::now();
  pool_->Stop();
  EXPECT_LT(steady_clock::now() - start, seconds(3));
  auto done = Finish(std::move(end));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::kCancelled);
  EXPECT_EQ(kill(zygote, 0), -1) << "the zygote is gone and collected";
}

TEST_F(WorkerPoolTest, AProgramThatIsNoWorkerIsAnErrorAtOnce) {
  options_.worker_path = "/nonexistent/worker";
  auto missing = WorkerPool::Create(options_, loops_, metrics_);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  options_.worker_path = "/bin/true";
  auto wrong = WorkerPool::Create(options_, loops_, metrics_);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace vr::transform
