#include "transform/worker_end.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <limits>

namespace vr::transform {
namespace {

protocol::Exited BySignal(int signal) {
  return {.id = 1, .wait_status = signal, .cpu_seconds = 0.1};
}
protocol::Exited ByExit(int code) {
  return {.id = 1, .wait_status = code << 8, .cpu_seconds = 0.1};
}

TEST(WorkerEnd, SignalsTellTheCause) {
  const Options options;
  EXPECT_EQ(CauseOf(BySignal(SIGXCPU), options), Cause::kCpu);
  EXPECT_EQ(CauseOf(BySignal(SIGXFSZ), options), Cause::kOutputSize);
  EXPECT_EQ(CauseOf(BySignal(SIGSYS), options), Cause::kSandbox);
  EXPECT_EQ(CauseOf(BySignal(SIGSEGV), options), Cause::kCrash);
  EXPECT_EQ(CauseOf(BySignal(SIGKILL), options), Cause::kCrash);
  EXPECT_EQ(CauseOf(ByExit(0), options), Cause::kCrash);
  EXPECT_EQ(CauseOf(ByExit(3), options), Cause::kCrash);
}

TEST(WorkerEnd, AKillAfterAllTheCpuTimeIsTheCpuLimit) {
  Options options;
  options.max_cpu = std::chrono::seconds(7);
  protocol::Exited exited = BySignal(SIGKILL);
  exited.cpu_seconds = 7.2;
  EXPECT_EQ(CauseOf(exited, options), Cause::kCpu);
}

TEST(WorkerEnd, ACrashWithTheMemoryFullIsALackOfMemory) {
  Options options;
  options.worker_memory = 1000;
  protocol::Exited exited = BySignal(SIGABRT);
  exited.max_rss_bytes = 801;
  EXPECT_EQ(CauseOf(exited, options), Cause::kMemory);
  exited.max_rss_bytes = 800;
  EXPECT_EQ(CauseOf(exited, options), Cause::kCrash);
}

TEST(WorkerEnd, EveryCauseHasItsApiError) {
  for (Cause cause : {Cause::kDeadline, Cause::kNoProgress, Cause::kCpu}) {
    EXPECT_EQ(ErrorOf(cause, "").reason, "TRANSFORM_TIMEOUT");
    EXPECT_EQ(ErrorOf(cause, "").code, Code::kDeadlineExceeded);
  }
  for (Cause cause : {Cause::kCrash, Cause::kSandbox, Cause::kProtocol, Cause::kZygote}) {
    EXPECT_EQ(ErrorOf(cause, "").reason, "TRANSFORM_FAILED");
    EXPECT_EQ(ErrorOf(cause, "").code, Code::kInternal);
  }
  for (Cause cause : {Cause::kOutputSize, Cause::kMemory}) {
    EXPECT_EQ(ErrorOf(cause, "").reason, "SOURCE_TOO_LARGE");
    EXPECT_EQ(ErrorOf(cause, "").facts.at(0).first, "limit");
  }
  EXPECT_EQ(ErrorOf(Cause::kCancelled, "").code, Code::kCancelled);
}

TEST(WorkerEnd, AWorkersFailureKeepsItsReason) {
  const Options options;
  const protocol::Exited exited = ByExit(0);
  const auto map = [&](const char* reason) {
    return ErrorOf(protocol::Failed{.reason = reason, .message = "m", .detail = "d"}, &exited,
                   options);
  };
  EXPECT_EQ(map("SOURCE_UNSUPPORTED").code, Code::kUnsupported);
  EXPECT_EQ(map("SOURCE_UNSUPPORTED").reason, "SOURCE_UNSUPPORTED");
  EXPECT_EQ(map("SOURCE_CORRUPT").code, Code::kCorruption);
  EXPECT_EQ(map("SOURCE_TOO_LARGE").code, Code::kResourceExhausted);
  EXPECT_EQ(map("TIME_OUT_OF_RANGE").code, Code::kInvalidArgument);
  EXPECT_EQ(map("SOURCE_FAILED").reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(map("TRANSFORM_FAILED").reason, "TRANSFORM_FAILED");
  EXPECT_EQ(map("ANYTHING").reason, "TRANSFORM_FAILED");
}

TEST(WorkerEnd, ALimitIsNamedWithWhatThereWasAndWhatMayBe) {
  using Facts = std::vector<std::pair<std::string, std::string>>;
  const auto facts = [](const char* reason, std::vector<std::string> said) {
    return ErrorOf(
               protocol::Failed{
                   .reason = reason, .message = "m", .detail = "d", .facts = std::move(said)},
               nullptr, Options())
        .facts;
  };
  const Facts whole = {{"limit", "pixels"}, {"value", "57600"}, {"allowed", "256"}};
  EXPECT_EQ(facts("SOURCE_TOO_LARGE", {"limit", "pixels", "value", "57600", "allowed", "256"}),
            whole);
  EXPECT_EQ(facts("SOURCE_TOO_LARGE", {"limit", "output bytes"}),
            Facts({{"limit", "output bytes"}}));
  // A worker that somebody's video has taken over says what it likes.
  EXPECT_EQ(facts("SOURCE_TOO_LARGE", {"path", "/etc/passwd", "limit", "a\r\nb", "limit", "c",
                                       "value", std::string(1000, 'x'), "allowed"}),
            Facts({{"limit", "a  b"}, {"value", std::string(64, 'x')}}));
  EXPECT_TRUE(facts("SOURCE_CORRUPT", {"limit", "pixels"}).empty());
}

TEST(WorkerEnd, InvalidDataWithTheMemoryFullIsALackOfMemory) {
  Options options;
  options.worker_memory = 1000;
  protocol::Exited exited = ByExit(0);
  exited.max_rss_bytes = 900;
  const protocol::Failed corrupt{.reason = "SOURCE_CORRUPT", .message = "m", .detail = "d"};
  EXPECT_EQ(ErrorOf(corrupt, &exited, options).reason, "SOURCE_TOO_LARGE");
  EXPECT_EQ(ErrorOf(corrupt, nullptr, options).reason, "SOURCE_CORRUPT");
  const protocol::Failed time{.reason = "TIME_OUT_OF_RANGE", .message = "m", .detail = "d"};
  EXPECT_EQ(ErrorOf(time, &exited, options).reason, "TIME_OUT_OF_RANGE");
}

TEST(WorkerEnd, WhatAWorkerSaysIsCleaned) {
  const protocol::Failed failed{
      .reason = "SOURCE_CORRUPT", .message = "a\r\nSet-Cookie: x", .detail = ""};
  EXPECT_EQ(ErrorOf(failed, nullptr, Options()).public_message, "a  Set-Cookie: x");
  protocol::Done done{.stored_bytes = 1, .duration_seconds = 1, .video_codec = "h264\n"};
  done.warnings.assign(100, std::string(1000, 'x'));
  ASSERT_TRUE(CheckDone(done).ok());
  EXPECT_EQ(done.video_codec, "h264 ");
  EXPECT_EQ(done.warnings.size(), 16u);
  EXPECT_EQ(done.warnings[0].size(), 300u);
}

TEST(WorkerEnd, ImpossibleResultsAreRefused) {
  protocol::Done done{.stored_bytes = 1};
  EXPECT_TRUE(CheckDone(done).ok());
  done.fps = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(CheckDone(done).ok());
  done.fps = -1;
  EXPECT_FALSE(CheckDone(done).ok());
  protocol::Done empty;
  EXPECT_FALSE(CheckDone(empty).ok());
}

}  // namespace
}  // namespace vr::transform
