// Long videos encoded in segments: the same pictures at the same times as all at once, and the same
// bytes however many are encoded at the same time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "worker/testing/worker_fixture.h"

namespace vr::worker {
namespace {

using protocol::Job;
using protocol::OutputFormat;

class SegmentsTest : public WorkerFixture {
 protected:
  /// 11 seconds, B-frames, sound; a cut in the picture at 5 s.
  static std::string Long() {
    return Clip("segments.mp4",
                "-f lavfi -i testsrc2=s=160x90:r=25:d=5 -f lavfi -i mandelbrot=s=160x90:r=25 "
                "-f lavfi -i sine=440:r=48000:d=11 -filter_complex "
                "'[1:v]trim=duration=6[m];[0:v][m]concat=n=2:v=1:a=0[v]' -map '[v]' -map 2:a "
                "-c:v libx264 -preset fast -bf 3 -g 100 -pix_fmt yuv420p -c:a aac -ac 2");
  }
  /// Pictures leave at all times: none in one place, many in another.
  static std::string Uneven() {
    return Clip(
        "segments-uneven.mkv",
        "-f lavfi -i testsrc2=s=160x90:r=30:d=10 -vf "
        "'select=not(between(mod(n\\,50)\\,20\\,40)*mod(n\\,3)),setpts=PTS+0.004*mod(N\\,2)/TB' "
        "-fps_mode vfr -c:v libx264 -preset fast -bf 2 -pix_fmt yuv420p");
  }
  /// An edit list that leaves out what comes before the first second.
  static std::string Edited() {
    return Clip("segments-edited.mp4", "-ss 1.02 -i '" + Long() + "' -c copy");
  }
  /// Times begin below zero.
  static std::string Negative() {
    return Clip("segments-negative.mkv",
                "-itsoffset -0.5 -i '" + Long() + "' -c copy -avoid_negative_ts disabled -copyts");
  }

  Outcome Run(Job job, const std::string& source, bool segments, uint32_t threads) {
    job.segments = segments;
    job.encoder_threads = threads;
    job.quality = protocol::Level::kMedium;
    Outcome out = client_->Run(job, source, kLimit);
    EXPECT_TRUE(out.done) << Why(out);
    return out;
  }
  /// Sorted times of the pictures of a result, as text.
  static std::vector<std::string> PictureTimes(const std::string& bytes) {
    WriteFile(Path("result"), bytes);
    std::istringstream lines(
        Output("ffprobe -v error -select_streams v -show_entries packet=pts "
               "-of csv=p=0 '" +
               Path("result") + "'"));
    std::vector<std::string> times;
    for (std::string line; std::getline(lines, line);) times.push_back(line);
    std::sort(times.begin(), times.end(), [](const std::string& a, const std::string& b) {
      return std::atoll(a.c_str()) < std::atoll(b.c_str());
    });
    return times;
  }
  static std::string Sound(const std::string& bytes) {
    WriteFile(Path("result"), bytes);
    return Output("ffmpeg -v error -i '" + Path("result") +
                  "' -vn -map '0:a?' -c copy -f framemd5 -");
  }
  static double Psnr(const std::string& bytes, const std::string& source) {
    WriteFile(Path("result"), bytes);
    const std::string text =
        Output("ffmpeg -hide_banner -i '" + Path("result") + "' -i '" + source +
               "' -lavfi '[0:v]setpts=N/25/TB[a];[1:v]scale=128:72,setpts=N/25/TB[b];[a][b]psnr' "
               "-f null - 2>&1");
    const size_t at = text.find("average:");
    return at == std::string::npos ? 0 : std::atof(text.c_str() + at + 8);
  }
};

TEST_F(SegmentsTest, TheSameBytesWithAnyNumberOfThreads) {
  for (const OutputFormat format : {OutputFormat::kMp4, OutputFormat::kWebm, OutputFormat::kHevc}) {
    Job job;
    job.width = 128;
    job.format = format;
    const Outcome alone = Run(job, Long(), true, 1);
    for (const uint32_t threads : {2u, 3u, 8u}) {
      job.decoder_threads = threads;
      const Outcome together = Run(job, Long(), true, threads);
      EXPECT_TRUE(alone.stored == together.stored) << static_cast<int>(format) << " " << threads;
      EXPECT_TRUE(alone.stream == together.stream) << static_cast<int>(format) << " " << threads;
    }
  }
}

TEST_F(SegmentsTest, TheSamePicturesAtTheSameTimesAsAllAtOnce) {
  for (const std::string& source : {Long(), Uneven(), Edited(), Negative()}) {
    for (const OutputFormat format :
         {OutputFormat::kMp4, OutputFormat::kWebm, OutputFormat::kHevc}) {
      Job job;
      job.width = 128;
      job.format = format;
      const Outcome whole = Run(job, source, false, 1), parts = Run(job, source, true, 2);
      const std::string where = source + " " + std::to_string(static_cast<int>(format));
      ASSERT_TRUE(whole.done && parts.done);
      EXPECT_EQ(parts.done->frames, whole.done->frames) << where;
      EXPECT_EQ(parts.done->duration_seconds, whole.done->duration_seconds) << where;
      const std::vector<std::string> times = PictureTimes(whole.stored);
      EXPECT_EQ(times.size(), whole.done->frames) << where;
      EXPECT_EQ(PictureTimes(parts.stored), times) << where;
      EXPECT_EQ(PictureTimes(parts.stream).size(), times.size()) << where;
      EXPECT_EQ(Sound(parts.stored), Sound(whole.stored)) << where;
      EXPECT_TRUE(parts.stored != whole.stored) << where << ": nothing was tested";
    }
  }
}

TEST_F(SegmentsTest, Av1IsNotCut) {
  Job job;
  job.width = 128;
  job.format = OutputFormat::kAv1;
  const Outcome whole = Run(job, Long(), false, 1), asked = Run(job, Long(), true, 2);
  EXPECT_FALSE(whole.stored.empty());
  EXPECT_TRUE(asked.stored == whole.stored);
}

TEST_F(SegmentsTest, TheyLookAsGood) {
  for (const OutputFormat format : {OutputFormat::kMp4, OutputFormat::kWebm, OutputFormat::kHevc}) {
    Job job;
    job.width = 128;
    job.format = format;
    const Outcome whole = Run(job, Long(), false, 1), parts = Run(job, Long(), true, 2);
    const double at_once = Psnr(whole.stored, Long()), in_parts = Psnr(parts.stored, Long());
    EXPECT_GT(at_once, 25);
    EXPECT_NEAR(in_parts, at_once, 0.5) << static_cast<int>(format);
  }
}

TEST_F(SegmentsTest, WorkWithSpeedFrameRateAndAPart) {
  Job slow;
  slow.speed = 0.5;
  Job steady;
  steady.fps = 15;
  Job part;
  part.start_seconds = 1.3;
  part.duration_seconds = 8.1;
  for (Job job : {slow, steady, part}) {
    job.width = 128;
    const Outcome whole = Run(job, Long(), false, 1), parts = Run(job, Long(), true, 2);
    ASSERT_TRUE(whole.done && parts.done);
    EXPECT_EQ(PictureTimes(parts.stored), PictureTimes(whole.stored));
    EXPECT_NE(Sound(whole.stored), "");
    EXPECT_EQ(Sound(parts.stored), Sound(whole.stored));
  }
}

TEST_F(SegmentsTest, NotAtABitRate) {
  Job job;
  job.width = 128;
  job.bit_rate = 200'000;
  EXPECT_TRUE(Run(job, Long(), true, 2).stored == Run(job, Long(), false, 1).stored);
}

TEST_F(SegmentsTest, AResultThatIsTooLargeIsRefusedAsEver) {
  Job job;
  job.width = 160;
  job.segments = true;
  job.encoder_threads = 3;
  job.quality_number = 100;
  job.limits.max_output_bytes = 100'000;
  const Outcome o = client_->Run(job, Long(), kLimit);
  ASSERT_TRUE(o.failed) << Why(o);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
}

TEST_F(SegmentsTest, TellHowFarTheyAreByWhatCameOut) {
  Job job;
  job.width = 160;
  job.format = OutputFormat::kWebm;
  const Outcome o = Run(job, Long(), true, 2);
  uint32_t percent = 0;
  for (const protocol::Progress& p : o.progress) {
    EXPECT_GE(p.percent, percent);
    percent = p.percent;
    // Not by what was only decoded.
    if (p.stream_bytes == 0) {
      EXPECT_LT(p.percent, 20u);
    }
  }
  EXPECT_GE(percent, 90u);
}

}  // namespace
}  // namespace vr::worker
