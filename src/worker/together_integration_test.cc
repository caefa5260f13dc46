// Several videos of one source, made by one worker: each is what it would be alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/testing/worker_fixture.h"

namespace vr::worker {
namespace {

using protocol::Job;
using protocol::Level;
using protocol::OutputFormat;

class TogetherTest : public WorkerFixture {
 protected:
  static Job Width(uint32_t width) {
    Job job;
    job.width = width;
    return job;
  }
  /// Two seconds of 1280x720 with sound.
  static std::string Hd() {
    return Clip("hd.mp4",
                "-f lavfi -i testsrc2=s=1280x720:r=30:d=2 -f lavfi -i sine=f=440:d=2 "
                "-c:v libx264 -preset ultrafast -g 15 -pix_fmt yuv420p -c:a aac -b:a 64k");
  }
  static void ExpectAsAlone(const std::vector<Job>& jobs, const std::string& path) {
    const std::vector<Outcome> together = client_->RunTogether(jobs, path);
    for (size_t i = 0; i < jobs.size(); ++i) {
      ASSERT_TRUE(together[i].done) << i << ": " << Why(together[0]);
      Job job = jobs[i];
      job.stream = false;
      const Outcome alone = client_->Run(job, path);
      ASSERT_TRUE(alone.done) << i << ": " << Why(alone);
      EXPECT_EQ(together[i].stored.size(), alone.stored.size()) << i;
      EXPECT_TRUE(together[i].stored == alone.stored) << "other bytes: job " << i;
      const protocol::Done& a = *alone.done;
      const protocol::Done& b = *together[i].done;
      EXPECT_EQ(b.stored_bytes, a.stored_bytes) << i;
      EXPECT_EQ(b.width, a.width);
      EXPECT_EQ(b.height, a.height);
      EXPECT_EQ(b.frames, a.frames);
      EXPECT_EQ(b.fps, a.fps);
      EXPECT_EQ(b.duration_seconds, a.duration_seconds);
      EXPECT_EQ(b.has_audio, a.has_audio);
      EXPECT_EQ(b.video_codec, a.video_codec);
      EXPECT_EQ(b.route, a.route);
      EXPECT_EQ(b.warnings, a.warnings);
    }
  }
};

TEST_F(TogetherTest, FourSizesWithSound) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  ExpectAsAlone({Width(640), Width(426), Width(320), Width(160)}, Hd());
}

TEST_F(TogetherTest, AllKindsOfThem) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::vector<Job> jobs(8, Width(320));
  jobs[1].audio = false;
  jobs[2].fps = 12;
  jobs[3].speed = 2;
  jobs[4].compression = Level::kLow;
  jobs[5].width = 1000;  // too near to the source to leave anything out
  jobs[6].duration_seconds = 0.7;
  jobs[7].rotate_degrees = 90;
  ExpectAsAlone(jobs, Hd());
}

TEST_F(TogetherTest, CutAtTheSamePlaceAndFromElsewhere) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::vector<Job> jobs{Width(320), Width(160), Width(240), Width(200)};
  jobs[0].duration_seconds = jobs[1].duration_seconds = 1.1;
  jobs[1].audio = false;
  jobs[2].start_seconds = jobs[3].start_seconds = 0.9;
  ExpectAsAlone(jobs, Hd());
}

TEST_F(TogetherTest, OtherFormats) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::vector<Job> jobs(3, Width(320));
  jobs[1].format = OutputFormat::kWebm;
  jobs[2].format = OutputFormat::kAv1;
  ExpectAsAlone(jobs, Hd());
}

TEST_F(TogetherTest, WhatIsCopiedIsCopiedBesideThem) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::vector<Job> jobs{Job(), Width(320), Width(240)};
  jobs[0].audio = false;  // nothing else: its packets can stay
  ExpectAsAlone(jobs, Hd());
}

TEST_F(TogetherTest, ADamagedSource) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::string bytes = Output("cat '" + Hd() + "'");
  ASSERT_GT(bytes.size(), 100'000u);
  for (size_t at = bytes.size() / 3; at < bytes.size() - 4000; at += 9973) bytes[at] ^= 0x55;
  WriteFile(Path("damaged.mp4"), bytes);
  const Outcome alone = client_->Run(Width(320), Path("damaged.mp4"));
  ASSERT_TRUE(alone.done) << Why(alone);
  EXPECT_FALSE(alone.done->warnings.empty()) << "it is not damaged enough";
  ExpectAsAlone({Width(320), Width(240), Width(160)}, Path("damaged.mp4"));
}

TEST_F(TogetherTest, OneThatCannotBeMadeSpoilsIt) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::vector<Job> jobs{Width(320), Width(240)};
  jobs[1].start_seconds = 99;
  const auto outcomes = client_->RunTogether(jobs, Hd());
  ASSERT_TRUE(outcomes[0].failed);
  EXPECT_EQ(outcomes[0].failed->reason, "TIME_OUT_OF_RANGE");
}

TEST_F(TogetherTest, OnlyVideosThatDoNotStream) {
  if (!has_ffmpeg_) GTEST_SKIP() << "no ffmpeg";
  std::vector<Job> jobs{Width(320), Width(240)};
  jobs[1].operation = protocol::Operation::kFrame;
  const auto outcomes = client_->RunTogether(jobs, Hd());
  ASSERT_TRUE(outcomes[0].failed);
  EXPECT_EQ(outcomes[0].failed->reason, "TRANSFORM_FAILED");
}

}  // namespace
}  // namespace vr::worker
