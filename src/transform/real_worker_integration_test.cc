// The pool with the real worker and real videos. Skipped where the worker is not built or the
// corpus is absent.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "io/testing/run_sync.h"
#include "transform/worker_pool.h"

namespace vr::transform {
namespace {

SharedFd MemoryFile() {
  return std::make_shared<const UniqueFd>(memfd_create("test", MFD_CLOEXEC));
}

std::string HeadOf(const SharedFd& file, size_t size) {
  std::string text(size, '\0');
  const ssize_t got = pread(file->get(), text.data(), size, 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

/// A file of the corpus, whole or through a spool that has only what was asked for.
class CorpusSource final : public origin::Source {
 public:
  CorpusSource(const std::string& path, bool is_complete)
      : is_complete_(is_complete),
        original_(std::make_shared<const UniqueFd>(open(path.c_str(), O_RDONLY | O_CLOEXEC))),
        spool_(is_complete ? original_ : MemoryFile()) {
    struct stat info {};
    if (fstat(original_->get(), &info) == 0) info_.size = static_cast<uint64_t>(info.st_size);
  }
  const origin::SourceInfo& info() const override { return info_; }
  const SharedFd& file() const override { return spool_; }
  bool is_complete() const override { return is_complete_; }
  Task<Result<uint64_t>> Ensure(Context, uint64_t offset, uint64_t length) override {
    if (offset >= *info_.size) co_return uint64_t{0};
    length = std::min(length, *info_.size - offset);
    std::string bytes(length, '\0');
    if (pread(original_->get(), bytes.data(), length, static_cast<off_t>(offset)) !=
            static_cast<ssize_t>(length) ||
        pwrite(spool_->get(), bytes.data(), length, static_cast<off_t>(offset)) !=
            static_cast<ssize_t>(length)) {
      co_return Error(Code::kUnavailable, "test source failed");
    }
    fetched += length;
    co_return length;
  }
  std::atomic<uint64_t> fetched{0};

 private:
  const bool is_complete_;
  SharedFd original_, spool_;
  origin::SourceInfo info_;
};

std::set<pid_t> ChildrenOf(pid_t pid) {
  const std::string number = std::to_string(pid);
  std::ifstream file("/proc/" + number + "/task/" + number + "/children");
  std::set<pid_t> children;
  for (pid_t child = 0; file >> child;) children.insert(child);
  return children;
}

class RealWorkerTest : public ::testing::Test {
 protected:
  RealWorkerTest() : loops_(1) {}
  void SetUp() override {
    if (access(VR_REAL_WORKER_PATH, X_OK) != 0) GTEST_SKIP() << "the worker is not built";
    if (access(VR_CORPUS_PATH, R_OK) != 0) GTEST_SKIP() << "the corpus is absent";
    options_.worker_path = VR_REAL_WORKER_PATH;
    options_.workers = 2;
    auto made = WorkerPool::Create(options_, loops_, metrics_);
    ASSERT_TRUE(made.ok()) << made.error().ToLogString();
    pool_ = std::move(*made);
    loops_.Start();
  }
  ~RealWorkerTest() override {
    pool_.reset();
    loops_.Stop();
  }
  Result<protocol::Done> Do(const std::string& name, protocol::Job job, bool is_complete = true,
                            WorkerPool::ProgressFn on_progress = {}) {
    source_ = std::make_shared<CorpusSource>(std::string(VR_CORPUS_PATH) + "/" + name, is_complete);
    outputs_.stored = MemoryFile();
    outputs_.stream = job.operation == protocol::Operation::kVideo ? MemoryFile() : nullptr;
    return io::testing::RunSync(pool_->Run(Context::WithTimeout(std::chrono::seconds(100), "test"),
                                           job, source_, outputs_, std::move(on_progress)));
  }
  static protocol::Job Video(uint32_t width) {
    protocol::Job job;
    job.width = width;
    return job;
  }
  static protocol::Job Frame() {
    protocol::Job job;
    job.operation = protocol::Operation::kFrame;
    job.format = protocol::OutputFormat::kJpeg;
    job.width = 320;
    return job;
  }

  Metrics metrics_;
  io::LoopPool loops_;
  Options options_;
  std::unique_ptr<WorkerPool> pool_;
  std::shared_ptr<CorpusSource> source_;
  Outputs outputs_;
};

TEST_F(RealWorkerTest, AVideoIsStreamedWhileItIsMadeAndStoredSeekable) {
  protocol::Job job = Video(320);
  job.duration_seconds = 4;
  uint64_t watermark = 0;
  int steps = 0;
  auto done = Do("pd-640x360-30s-h264-aac.mp4", job, true, [&](const protocol::Progress& p) {
    if (p.stream_bytes > watermark) ++steps;
    watermark = std::max(watermark, p.stream_bytes);
  });
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(done->width, 320u);
  EXPECT_EQ(done->height, 180u);
  EXPECT_NEAR(done->duration_seconds, 4, 0.2);
  EXPECT_EQ(done->video_codec, "h264");
  EXPECT_GT(steps, 2);
  EXPECT_EQ(HeadOf(outputs_.stored, 8).substr(4), "ftyp");
  EXPECT_EQ(HeadOf(outputs_.stream, 8).substr(4), "ftyp");
  EXPECT_FALSE(pool_->recipe().empty());
}

TEST_F(RealWorkerTest, AFrameOfARemoteVideoFetchesAFraction) {
  auto done = Do("night-1080p20-frag-noaudio.mp4", Frame(), false);
  ASSERT_TRUE(done.ok()) << done.error().ToLogString();
  EXPECT_EQ(done->width, 320u);
  EXPECT_EQ(HeadOf(outputs_.stored, 2), "\xff\xd8");
  EXPECT_LT(source_->fetched, *source_->info().size / 2);
  RecordProperty("fetched_bytes", static_cast<int>(source_->fetched));
}

TEST_F(RealWorkerTest, TheSameJobGivesTheSameBytesWhateverElseRuns) {
  protocol::Job job = Video(320);
  job.duration_seconds = 1;
  ASSERT_TRUE(Do("birds-720p30-aac-moovend.mp4", job).ok());
  const std::string first = HeadOf(outputs_.stored, 8 << 20);
  ASSERT_TRUE(Do("birds-720p30-aac-moovend.mp4", job, false).ok());
  EXPECT_EQ(HeadOf(outputs_.stored, 8 << 20), first);
  EXPECT_GT(first.size(), 1000u);
}

TEST_F(RealWorkerTest, WhatIsNoVideoIsSaidSo) {
  auto done = Do("MANIFEST.tsv", Video(320));
  ASSERT_FALSE(done.ok());
  EXPECT_TRUE(done.error().reason == "SOURCE_UNSUPPORTED" ||
              done.error().reason == "SOURCE_CORRUPT")
      << done.error().ToLogString();
  EXPECT_TRUE(Do("birds-720p30-aac-moovend.mp4", Frame()).ok());
}

TEST_F(RealWorkerTest, AKilledWorkerCostsItsJobOnly) {
  bool killed = false;
  auto done =
      Do("longgop-1080p30-362s-moovend.mp4", Video(640), true, [&](const protocol::Progress& p) {
        if (p.stream_bytes == 0 || std::exchange(killed, true)) return;
        // Busy and idle ones alike: they are all replaced.
        for (pid_t pid : ChildrenOf(pool_->zygote_pid())) kill(pid, SIGKILL);
      });
  EXPECT_TRUE(killed);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().reason, "TRANSFORM_FAILED");
  auto next = Do("birds-720p30-aac-moovend.mp4", Frame());
  EXPECT_TRUE(next.ok()) << next.error().ToLogString();
}

}  // namespace
}  // namespace vr::transform
