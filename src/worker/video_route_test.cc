#include "worker/video_route.h"

#include <gtest/gtest.h>

#include <functional>

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::OutputFormat;

/// What a phone uploads after it was made ready for the web: nothing to be done.
VideoFacts Easy() {
  VideoFacts f;
  f.codec = AV_CODEC_ID_H264;
  f.profile = FF_PROFILE_H264_HIGH;
  f.pixels = AV_PIX_FMT_YUV420P;
  f.shape = {1280, 720, 1, {}};
  f.colour = {AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
  f.has_exact_packets = true;
  f.fps = 30;
  f.bit_rate = 4'000'000;
  f.duration_seconds = 60;
  return f;
}

VideoRoute RouteOf(const Job& job, const VideoFacts& facts) {
  auto placement = Place(facts.shape, BoxOf(job), 35'000'000);
  EXPECT_TRUE(placement.ok());
  return VideoRouteFor(job, facts, placement.ok() ? *placement : Placement());
}

TEST(VideoRoute, PacketsAreCopiedWhenNothingNeedsDoing) {
  EXPECT_TRUE(RouteOf(Job(), Easy()).copy);
  Job job;
  job.width = 1280;
  job.height = 720;
  EXPECT_TRUE(RouteOf(job, Easy()).copy) << "its own size is no change";
  job.width = 1920;
  job.height = 1080;
  job.fit = transform::protocol::Fit::kScaleDown;
  EXPECT_TRUE(RouteOf(job, Easy()).copy) << "a larger box changes nothing either";
  job = Job();
  job.duration_seconds = 61;
  EXPECT_TRUE(RouteOf(job, Easy()).copy) << "more than there is";
}

TEST(VideoRoute, WhatIsNeverCopiedIsKnownBeforeProbing) {
  // All that only a decoder can tell is missing.
  VideoFacts facts = Easy();
  facts.profile = FF_PROFILE_UNKNOWN;
  facts.pixels = AV_PIX_FMT_NONE;
  facts.colour = {};
  facts.bit_rate = 0;
  const auto never = [&facts](const Job& job) {
    auto placement = Place(facts.shape, BoxOf(job), 35'000'000);
    return placement.ok() && IsNeverCopied(job, facts, *placement);
  };
  Job job;
  job.width = 1280;
  EXPECT_FALSE(never(job)) << "its own size";
  job.width = 640;
  EXPECT_TRUE(never(job));
  job = Job();
  job.format = OutputFormat::kWebm;
  EXPECT_TRUE(never(job));
  job = Job();
  job.start_seconds = 1;
  EXPECT_TRUE(never(job));
  EXPECT_FALSE(never(Job()));
}

TEST(VideoRoute, EveryFormatCopiesItsOwnCodecOnly) {
  const struct {
    OutputFormat format;
    AVCodecID codec;
    int profile;
  } own[] = {{OutputFormat::kMp4, AV_CODEC_ID_H264, FF_PROFILE_H264_MAIN},
             {OutputFormat::kHevc, AV_CODEC_ID_HEVC, FF_PROFILE_HEVC_MAIN},
             {OutputFormat::kAv1, AV_CODEC_ID_AV1, FF_PROFILE_AV1_MAIN},
             {OutputFormat::kWebm, AV_CODEC_ID_VP9, FF_PROFILE_VP9_0}};
  for (const auto& target : own) {
    for (const auto& source : own) {
      Job job;
      job.format = target.format;
      VideoFacts facts = Easy();
      facts.codec = source.codec;
      facts.profile = source.profile;
      EXPECT_EQ(RouteOf(job, facts).copy, target.format == source.format)
          << avcodec_get_name(source.codec) << " to " << static_cast<int>(target.format);
    }
  }
}

struct Case {
  const char* why;
  std::function<void(Job&, VideoFacts&)> change;
};

TEST(VideoRoute, WhateverChangesPicturesMeansEncoding) {
  const std::vector<Case> cases = {
      {"size", [](Job& j, VideoFacts&) { j.width = 640; }},
      {"size",
       [](Job& j, VideoFacts&) {
         j.crop = {640, 480, 0, 0};
       }},
      {"rotation", [](Job& j, VideoFacts&) { j.rotate_degrees = 90; }},
      {"rotation", [](Job& j, VideoFacts&) { j.rotate_degrees = 10; }},
      {"rotation", [](Job&, VideoFacts& f) { f.shape.orientation.mirror = true; }},
      {"sample aspect ratio", [](Job&, VideoFacts& f) { f.shape.sample_aspect_ratio = 4.0 / 3; }},
      {"a part is wanted", [](Job& j, VideoFacts&) { j.start_seconds = 1; }},
      {"a part is wanted", [](Job& j, VideoFacts&) { j.duration_seconds = 59.9; }},
      {"a part is wanted", [](Job& j, VideoFacts&) { j.speed = 2; }},
      {"frame rate", [](Job& j, VideoFacts&) { j.fps = 30; }},
      {"quality", [](Job& j, VideoFacts&) { j.quality = Level::kHigh; }},
      {"quality", [](Job& j, VideoFacts&) { j.quality_number = 50; }},
      {"quality", [](Job& j, VideoFacts&) { j.compression = Level::kLow; }},
      {"quality", [](Job& j, VideoFacts&) { j.bit_rate = 1'000'000; }},
      {"quality", [](Job& j, VideoFacts&) { j.target_ssim = 0.97; }},
      {"profile", [](Job&, VideoFacts& f) { f.profile = FF_PROFILE_H264_HIGH_10; }},
      {"pixel format", [](Job&, VideoFacts& f) { f.pixels = AV_PIX_FMT_YUV422P; }},
      {"container", [](Job&, VideoFacts& f) { f.has_exact_packets = false; }},
      {"interlaced", [](Job&, VideoFacts& f) { f.is_progressive = false; }},
      {"colour", [](Job&, VideoFacts& f) { f.colour.transfer = AVCOL_TRC_SMPTE2084; }},
      {"colour", [](Job&, VideoFacts& f) { f.colour.range = AVCOL_RANGE_JPEG; }},
      {"bit rate", [](Job&, VideoFacts& f) { f.bit_rate = 60'000'000; }},
      {"bit rate", [](Job&, VideoFacts& f) { f.bit_rate = 0; }},
  };
  for (const Case& c : cases) {
    Job job;
    VideoFacts facts = Easy();
    c.change(job, facts);
    const VideoRoute route = RouteOf(job, facts);
    EXPECT_FALSE(route.copy) << c.why;
    EXPECT_EQ(route.why, c.why);
  }
}

TEST(VideoRoute, DeblockingIsSparedFromHalfSizeOn) {
  Job job;
  job.width = 640;
  EXPECT_TRUE(RouteOf(job, Easy()).skip_loop_filter);
  job.width = 700;
  EXPECT_FALSE(RouteOf(job, Easy()).skip_loop_filter);
}

}  // namespace
}  // namespace vr::worker
