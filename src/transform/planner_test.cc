#include "transform/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace vr::transform {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using variant::MediaOptions;
using variant::Mode;

variant::VariantRequest Ask(Mode mode, const std::function<void(MediaOptions&)>& set = {}) {
  variant::VariantRequest request;
  request.mode = mode;
  request.source_path = "videos/Sample.MOV";
  if (set) set(request.resolved);
  return request;
}

Plan MustPlan(const variant::VariantRequest& request, const Options& options = {}) {
  auto plan = MakePlan(request, options);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().ToLogString());
  return plan.ok() ? *plan : Plan();
}

TEST(Planner, NothingAskedIsTheOriginal) {
  const Plan plan = MustPlan(Ask(Mode::kVideo));
  EXPECT_TRUE(plan.original);
  EXPECT_FALSE(plan.streams);
  EXPECT_EQ(plan.content_type, "video/quicktime");
  EXPECT_EQ(plan.file_extension, "mov");
  EXPECT_EQ(plan.cost_hint, 0);
}

TEST(Planner, AVideoWithASizeIsOneStreamedJob) {
  const Plan plan = MustPlan(Ask(Mode::kVideo, [](MediaOptions& o) {
    o.width = 640;
    o.fit = variant::Fit::kCover;
    o.quality = variant::Quality{.level = variant::Level::kHigh};
    o.compression = variant::Level::kLow;
    o.time = std::chrono::milliseconds(1500);
    o.duration = std::chrono::seconds(2);
    o.audio = false;
  }));
  EXPECT_FALSE(plan.original);
  EXPECT_TRUE(plan.streams);
  EXPECT_EQ(plan.content_type, "video/mp4");
  EXPECT_EQ(plan.file_extension, "mp4");
  EXPECT_EQ(plan.job.operation, protocol::Operation::kVideo);
  EXPECT_EQ(plan.job.format, protocol::OutputFormat::kMp4);
  EXPECT_EQ(plan.job.width, 640u);
  EXPECT_FALSE(plan.job.height.has_value());
  EXPECT_EQ(plan.job.fit, protocol::Fit::kCover);
  EXPECT_EQ(plan.job.quality, protocol::Level::kHigh);
  EXPECT_EQ(plan.job.quality_number, 0u);
  EXPECT_EQ(plan.job.compression, protocol::Level::kLow);
  EXPECT_EQ(plan.job.start_seconds, 1.5);
  EXPECT_EQ(plan.job.duration_seconds, 2.0);
  EXPECT_FALSE(plan.job.audio);
  EXPECT_TRUE(plan.job.stream);
  EXPECT_GT(plan.cost_hint, 0);
}

TEST(Planner, DefaultsAreTheDocumentedOnes) {
  const Plan plan = MustPlan(Ask(Mode::kVideo, [](MediaOptions& o) { o.height = 360; }));
  EXPECT_EQ(plan.job.fit, protocol::Fit::kContain);
  EXPECT_EQ(plan.job.quality, protocol::Level::kAuto);
  EXPECT_EQ(plan.job.compression, protocol::Level::kAuto);
  EXPECT_EQ(plan.job.start_seconds, 0);
  EXPECT_FALSE(plan.job.duration_seconds.has_value());
  EXPECT_TRUE(plan.job.audio);
  EXPECT_EQ(plan.job.decoder_threads, 1u);
}

TEST(Planner, FramesAreWholeJpegOrPng) {
  const Plan jpeg = MustPlan(Ask(Mode::kFrame));
  EXPECT_FALSE(jpeg.original);
  EXPECT_FALSE(jpeg.streams);
  EXPECT_FALSE(jpeg.job.stream);
  EXPECT_FALSE(jpeg.job.audio);
  EXPECT_EQ(jpeg.job.operation, protocol::Operation::kFrame);
  EXPECT_EQ(jpeg.job.format, protocol::OutputFormat::kJpeg);
  EXPECT_EQ(jpeg.content_type, "image/jpeg");
  EXPECT_EQ(jpeg.file_extension, "jpg");
  const Plan png = MustPlan(Ask(Mode::kFrame, [](MediaOptions& o) {
    o.format = variant::Format::kPng;
    o.quality = variant::Quality{.number = 80};
  }));
  EXPECT_EQ(png.job.format, protocol::OutputFormat::kPng);
  EXPECT_EQ(png.job.quality_number, 80u);
  EXPECT_EQ(png.content_type, "image/png");
}

TEST(Planner, LimitsComeFromTheOptions) {
  Options options;
  options.max_pixels = 1;
  options.max_duration = milliseconds(2500);
  options.max_output_bytes = 3;
  options.max_streams = 4;
  const Plan plan = MustPlan(Ask(Mode::kFrame), options);
  EXPECT_EQ(plan.job.limits.max_pixels, 1u);
  EXPECT_EQ(plan.job.limits.max_source_seconds, 2.5);
  EXPECT_EQ(plan.job.limits.max_output_seconds, 2.5);
  EXPECT_EQ(plan.job.limits.max_output_bytes, 3u);
  EXPECT_EQ(plan.job.limits.max_streams, 4u);
}

struct Refusal {
  const char* parameter;
  const char* value;
  Mode mode;
  std::function<void(MediaOptions&)> set;
};

TEST(Planner, WhatIsNotMadeYetIsRefusedByName) {
  const std::vector<Refusal> refusals = {
      {"mode", "spritesheet", Mode::kSpritesheet, {}},
      {"mode", "audio", Mode::kAudio, {}},
      {"format", "webm", Mode::kVideo, [](auto& o) { o.format = variant::Format::kWebm; }},
      {"format", "gif", Mode::kVideo, [](auto& o) { o.format = variant::Format::kGif; }},
      {"format", "av1", Mode::kVideo, [](auto& o) { o.format = variant::Format::kAv1; }},
      {"format", "webp", Mode::kFrame, [](auto& o) { o.format = variant::Format::kWebp; }},
      {"fps", "12.5", Mode::kVideo, [](auto& o) { o.fps = variant::Decimal{12'500'000}; }},
      {"speed", "2", Mode::kVideo, [](auto& o) { o.speed = variant::Decimal{2'000'000}; }},
      {"rotate", "90", Mode::kFrame, [](auto& o) { o.rotate = variant::Decimal{90'000'000}; }},
      {"crop", "1:2:3:4", Mode::kFrame,
       [](auto& o) {
         o.crop = variant::Crop{1, 2, 3, 4};
       }},
      {"bitrate", "800000", Mode::kVideo, [](auto& o) { o.bitrate = 800'000; }},
      {"imageCount", "5", Mode::kVideo, [](auto& o) { o.image_count = 5; }},
      {"interval", "0.5s", Mode::kVideo, [](auto& o) { o.interval = milliseconds(500); }},
  };
  for (const Refusal& refusal : refusals) {
    auto plan = MakePlan(Ask(refusal.mode, refusal.set), Options());
    ASSERT_FALSE(plan.ok()) << refusal.parameter;
    EXPECT_EQ(plan.error().code, Code::kUnsupported);
    EXPECT_EQ(plan.error().reason, "INVALID_PARAMETER");
    EXPECT_THAT(plan.error().public_message, HasSubstr("'" + std::string(refusal.parameter) + "'"));
    EXPECT_THAT(plan.error().public_message, HasSubstr("'" + std::string(refusal.value) + "'"));
    EXPECT_THAT(plan.error().public_message, HasSubstr("allowed: "));
  }
}

TEST(Planner, SizesOverTheLimitAreRefused) {
  Options options;
  options.max_dimension = 1000;
  auto plan = MakePlan(Ask(Mode::kFrame, [](MediaOptions& o) { o.height = 1001; }), options);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().reason, "INVALID_PARAMETER");
  EXPECT_TRUE(MakePlan(Ask(Mode::kFrame, [](MediaOptions& o) { o.height = 1000; }), options).ok());
}

TEST(Planner, OriginalsAreTypedByTheirExtension) {
  EXPECT_EQ(ContentTypeOfOriginal("a/b.mp4"), "video/mp4");
  EXPECT_EQ(ContentTypeOfOriginal("a/b.WebM"), "video/webm");
  EXPECT_EQ(ContentTypeOfOriginal("b.mkv"), "video/x-matroska");
  EXPECT_EQ(ContentTypeOfOriginal("b.ts"), "video/mp2t");
  EXPECT_EQ(ContentTypeOfOriginal("dir.mp4/noextension"), "application/octet-stream");
  EXPECT_EQ(ContentTypeOfOriginal("b.exe"), "application/octet-stream");
  EXPECT_EQ(ContentTypeOfOriginal(""), "application/octet-stream");
}

}  // namespace
}  // namespace vr::transform
