// The pure parts of the worker besides geometry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "worker/clock_guard.h"
#include "worker/colour.h"
#include "worker/extents.h"
#include "worker/picture_graph.h"
#include "worker/quality_probe.h"
#include "worker/recipe.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::OutputFormat;

TEST(Extents, MergesNeighboursAndOverlaps) {
  ExtentSet set;
  EXPECT_EQ(set.ReadyFrom(0), 0u);
  set.Add(100, 50);
  set.Add(200, 50);
  EXPECT_EQ(set.ReadyFrom(99), 0u);
  EXPECT_EQ(set.ReadyFrom(100), 50u);
  EXPECT_EQ(set.ReadyFrom(149), 1u);
  EXPECT_EQ(set.ReadyFrom(150), 0u);
  set.Add(150, 50);
  EXPECT_EQ(set.ReadyFrom(100), 150u);
  set.Add(0, 1000);
  EXPECT_EQ(set.ReadyFrom(0), 1000u);
  set.Add(500, 0);
  EXPECT_EQ(set.ReadyFrom(999), 1u);
  set.Add(UINT64_MAX - 5, 100);
  EXPECT_EQ(set.ReadyFrom(UINT64_MAX - 5), 5u);
}

TEST(Recipe, QualityMapsLinearlyAndByName) {
  Job job;
  const auto crf = [&] { return VideoRecipeFor(job, {640, 360, 30}).rate_factor; };
  EXPECT_EQ(crf(), 23);
  job.quality = Level::kLow;
  EXPECT_EQ(crf(), 28);
  job.quality = Level::kHigh;
  EXPECT_EQ(crf(), 20);
  job.quality_number = 1;
  EXPECT_EQ(crf(), 40);
  job.quality_number = 100;
  EXPECT_EQ(crf(), 16);
  double last = 40;
  for (uint32_t q = 1; q <= 100; ++q) {
    job.quality_number = q;
    EXPECT_LE(crf(), last);
    last = crf();
  }
  EXPECT_EQ(JpegRecipeFor(job).quality, 100);
}

TEST(Recipe, EachJpegQualityHasTablesOfItsOwn) {
  EXPECT_EQ(JpegTable(50, false)[0], 16);
  EXPECT_EQ(JpegTable(50, true)[63], 99);
  EXPECT_EQ(JpegTable(100, false)[63], 1);
  EXPECT_EQ(JpegTable(1, false)[63], 255);
  for (int q = 2; q <= 100; ++q) EXPECT_NE(JpegTable(q, false), JpegTable(q - 1, false)) << q;
}

TEST(Recipe, AnimationsAreNoFasterThanTheirSourceOrTheirViewers) {
  Job job;
  job.format = transform::protocol::OutputFormat::kGif;
  EXPECT_EQ(AnimationFpsFor(job, 25), 15);
  EXPECT_EQ(AnimationFpsFor(job, 12), 12);
  job.fps = 60;
  EXPECT_EQ(AnimationFpsFor(job, 25), 50);
  job.format = transform::protocol::OutputFormat::kWebp;
  EXPECT_EQ(AnimationFpsFor(job, 25), 60);
}

TEST(Recipe, APoorSourceIsNotInflated) {
  const Job job;
  const int64_t rich = VideoRecipeFor(job, {640, 360, 30}).max_rate;
  EXPECT_LT(VideoRecipeFor(job, {640, 360, 30, 500'000, 0.25}).max_rate, rich);
  EXPECT_EQ(VideoRecipeFor(job, {640, 360, 30, 18'000, 0.25}).max_rate, 200'000);
}

TEST(Recipe, SoundKeepsTheFamilyOfItsRate) {
  const auto AacSampleRate = [](int rate) { return AudioRecipeFor(Job(), rate).sample_rate; };
  EXPECT_EQ(AacSampleRate(44100), 44100);
  EXPECT_EQ(AacSampleRate(11025), 44100);
  EXPECT_EQ(AacSampleRate(48000), 48000);
  EXPECT_EQ(AacSampleRate(8000), 48000);
  EXPECT_EQ(AacSampleRate(0), 48000);
  EXPECT_EQ(AacSampleRate(96000), 48000);
}

TEST(Timing, StartsBehindTheEndAreRefused) {
  EXPECT_TRUE(CheckStart(0, 0).ok());
  EXPECT_TRUE(CheckStart(9.9, 10).ok());
  EXPECT_TRUE(CheckStart(1e6, 0).ok());
  const auto refused = CheckStart(10, 10);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "TIME_OUT_OF_RANGE");
  EXPECT_THAT(refused.error().public_message, HasSubstr("10.000 seconds"));
  EXPECT_FALSE(CheckStart(-1, 10).ok());
}

TEST(Timing, SeekPointsGoBackToTheStart) {
  EXPECT_EQ(SeekPoints(0), std::vector<double>{0});
  EXPECT_EQ(SeekPoints(3), (std::vector<double>{3, 0.5, 0}));
  EXPECT_EQ(SeekPoints(100).back(), 0);
}

TEST(Timing, TheLastPictureStaysWhileTheSoundGoesOn) {
  EXPECT_TRUE(LastPictureStillShown(4.9, 5.0, 5, 10));
  EXPECT_TRUE(LastPictureStillShown(8, 5.0, 5, 10));
  EXPECT_FALSE(LastPictureStillShown(100, 0.54, 0, 1331));  // cut off
  EXPECT_FALSE(LastPictureStillShown(8, 5.0, 5, 0));
}

Colour Tags(AVColorSpace m, AVColorTransferCharacteristic t, int height,
            int format = AV_PIX_FMT_YUV420P) {
  AvPtr<AVFrame> f = NewFrame();
  f->width = height * 16 / 9;
  f->height = height;
  f->format = format;
  f->colorspace = m;
  f->color_trc = t;
  return ColourOf(*f);
}

TEST(Colour, UntaggedSourcesAreTaggedByTheirSize) {
  EXPECT_EQ(Tags(AVCOL_SPC_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED, 1080).matrix, AVCOL_SPC_BT709);
  EXPECT_EQ(Tags(AVCOL_SPC_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED, 480).matrix, AVCOL_SPC_SMPTE170M);
  EXPECT_EQ(Tags(AVCOL_SPC_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED, 480).primaries, AVCOL_PRI_SMPTE170M);
  EXPECT_EQ(Tags(AVCOL_SPC_BT709, AVCOL_TRC_UNSPECIFIED, 480).matrix, AVCOL_SPC_BT709);
  EXPECT_EQ(Tags(AVCOL_SPC_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED, 480, AV_PIX_FMT_YUVJ420P).range,
            AVCOL_RANGE_JPEG);
}

TEST(Colour, OnlyPqAndHlgAreToneMapped) {
  EXPECT_EQ(PathOf(Tags(AVCOL_SPC_UNSPECIFIED, AVCOL_TRC_SMPTE2084, 1080)), ColourPath::kToneMap);
  EXPECT_EQ(PathOf(Tags(AVCOL_SPC_BT2020_NCL, AVCOL_TRC_ARIB_STD_B67, 1080)), ColourPath::kToneMap);
  EXPECT_EQ(PathOf(Tags(AVCOL_SPC_BT2020_NCL, AVCOL_TRC_BT2020_10, 1080)), ColourPath::kConvert);
  EXPECT_EQ(PathOf(Tags(AVCOL_SPC_BT709, AVCOL_TRC_BT709, 1080)), ColourPath::kMatrix);
  EXPECT_EQ(VideoColour(Tags(AVCOL_SPC_BT2020_NCL, AVCOL_TRC_SMPTE2084, 1080)).matrix,
            AVCOL_SPC_BT709);
}

TEST(PictureGraph, DoesOnlyWhatIsNeeded) {
  PictureShape shape{640, 360, AV_PIX_FMT_YUV420P, Tags(AVCOL_SPC_BT709, AVCOL_TRC_BT709, 360),
                     false};
  const PictureTarget target{AV_PIX_FMT_YUV420P, VideoColour(shape.colour)};
  const auto placed = Place({640, 360, 1, {}}, {320u, {}}, 1'000'000);
  ASSERT_TRUE(placed.ok());
  const std::string plain = DescribeGraph(shape, *placed, target);
  for (const char* filter : {"bwdif", "crop", "transpose", "flip", "pad", "zscale"}) {
    EXPECT_THAT(plain, Not(HasSubstr(filter)));
  }
  shape.interlaced = true;
  Placement turned = *placed;
  turned.orientation = {1, true};
  const std::string full = DescribeGraph(shape, turned, target);
  EXPECT_THAT(full, HasSubstr("bwdif"));
  EXPECT_THAT(full, HasSubstr("hflip,transpose=clock"));
}

TEST(ClockGuard, OneWildStampIsLeftOutAndARealGapIsTaken) {
  ClockGuard guard;
  EXPECT_TRUE(guard.Accept(0));
  EXPECT_TRUE(guard.Accept(40'000));
  EXPECT_FALSE(guard.Accept(5'940'000'000)) << "99 minutes on";
  EXPECT_TRUE(guard.Accept(80'000)) << "and back";
  EXPECT_FALSE(guard.Accept(-5'000'000'000));
  EXPECT_TRUE(guard.Accept(9'000'000)) << "nine seconds of nothing";
  EXPECT_FALSE(guard.Accept(60'000'000));
  EXPECT_FALSE(guard.Accept(60'040'000));
  EXPECT_TRUE(guard.Accept(60'080'000)) << "three agree";
  EXPECT_TRUE(guard.Accept(60'120'000));
  EXPECT_FALSE(guard.Accept(600'000'000));
  EXPECT_FALSE(guard.Accept(900'000'000)) << "two that do not agree";
  EXPECT_FALSE(guard.Accept(1'200'000'000));
  EXPECT_TRUE(guard.Accept(60'160'000));
}

TEST(Timing, DecimalRatesMeanTheBroadcastOnes) {
  const auto rate = [](double fps) {
    const AVRational r = FrameRateOf(fps);
    return std::pair(r.num, r.den);
  };
  EXPECT_EQ(rate(29.97), (std::pair{30000, 1001}));
  EXPECT_EQ(rate(23.976), (std::pair{24000, 1001}));
  EXPECT_EQ(rate(59.94), (std::pair{60000, 1001}));
  EXPECT_EQ(rate(12.5), (std::pair{25, 2}));
  EXPECT_EQ(rate(30), (std::pair{30, 1}));
  EXPECT_EQ(rate(0.1), (std::pair{1, 10}));
}

TEST(Recipe, ABitRateReplacesTheQualityTarget) {
  for (const auto format :
       {OutputFormat::kMp4, OutputFormat::kHevc, OutputFormat::kWebm, OutputFormat::kAv1}) {
    Job job;
    job.format = format;
    job.bit_rate = 800'000;
    const VideoRecipe r = VideoRecipeFor(job, {640, 360, 30});
    EXPECT_EQ(r.bit_rate, 800'000);
    for (const auto& [name, value] : r.options) EXPECT_NE(name, "crf");
    job.bit_rate = 0;
    const VideoRecipe by_quality = VideoRecipeFor(job, {640, 360, 30});
    EXPECT_EQ(by_quality.bit_rate, 0);
    EXPECT_EQ(by_quality.options.back().first, "crf");
  }
}

TEST(Recipe, EveryQualityAndEffortDiffersInEveryCodec) {
  for (const auto format :
       {OutputFormat::kMp4, OutputFormat::kHevc, OutputFormat::kWebm, OutputFormat::kAv1}) {
    std::set<double> factors;
    std::set<std::string> efforts;
    for (const Level level : {Level::kLow, Level::kMedium, Level::kHigh}) {
      Job job;
      job.format = format;
      job.quality = level;
      factors.insert(VideoRecipeFor(job, {640, 360, 30}).rate_factor);
      job.compression = level;
      for (const auto& [name, value] : VideoRecipeFor(job, {640, 360, 30}).options) {
        if (name == "preset" || name == "cpu-used") efforts.insert(value);
      }
    }
    EXPECT_EQ(factors.size(), 3u) << static_cast<int>(format);
    EXPECT_EQ(efforts.size(), 3u) << static_cast<int>(format);
  }
}

TEST(QualityProbe, TheFactorLiesOnTheLineThroughTheTrials) {
  // 20 dB at 23, 17 dB at 29: half a decibel per step.
  EXPECT_NEAR(FactorFor(0.99, 23, 0.99, 29, 1 - std::pow(10, -1.7)), 23, 1e-6);
  EXPECT_NEAR(FactorFor(1 - std::pow(10, -1.5), 23, 0.99, 29, 1 - std::pow(10, -1.7)), 33, 1e-6);
  EXPECT_NEAR(FactorFor(1 - std::pow(10, -2.2), 23, 0.99, 29, 1 - std::pow(10, -1.7)), 19, 1e-6);
  // Nothing to see either way: the smaller one.
  EXPECT_EQ(FactorFor(0.97, 23, 1, 29, 1), 29);
  EXPECT_EQ(FactorFor(0.97, 23, 0.5, 29, 0.5), 23);
}

}  // namespace
}  // namespace vr::worker
