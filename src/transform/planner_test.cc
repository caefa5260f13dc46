#include "transform/planner.h"

#include <gtest/gtest.h>

#include <functional>

namespace vr::transform {
namespace {

using std::chrono::milliseconds;
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

TEST(Planner, EveryFormatIsItsOwnJob) {
  using protocol::Operation;
  using protocol::OutputFormat;
  using variant::Format;
  const struct {
    Mode mode;
    Format format;
    Operation operation;
    OutputFormat output;
    const char* type;
    bool streams;
  } cases[] = {
      {Mode::kVideo, Format::kWebm, Operation::kVideo, OutputFormat::kWebm, "video/webm", true},
      {Mode::kVideo, Format::kH265, Operation::kVideo, OutputFormat::kHevc, "video/mp4", true},
      {Mode::kVideo, Format::kAv1, Operation::kVideo, OutputFormat::kAv1, "video/mp4", true},
      {Mode::kVideo, Format::kGif, Operation::kAnimation, OutputFormat::kGif, "image/gif", false},
      {Mode::kVideo, Format::kWebp, Operation::kAnimation, OutputFormat::kWebp, "image/webp",
       false},
      {Mode::kFrame, Format::kWebp, Operation::kFrame, OutputFormat::kWebp, "image/webp", false},
      {Mode::kSpritesheet, Format::kPng, Operation::kSheet, OutputFormat::kPng, "image/png", false},
      {Mode::kSpritesheet, Format::kVtt, Operation::kSheet, OutputFormat::kVtt, "text/vtt", false},
      {Mode::kAudio, Format::kM4a, Operation::kAudio, OutputFormat::kM4a, "audio/mp4", false},
      {Mode::kAudio, Format::kMp3, Operation::kAudio, OutputFormat::kMp3, "audio/mpeg", false},
      {Mode::kAudio, Format::kOpus, Operation::kAudio, OutputFormat::kOpus, "audio/ogg", false},
      {Mode::kInfo, Format::kJson, Operation::kInfo, OutputFormat::kJson, "application/json",
       false},
  };
  for (const auto& c : cases) {
    const Plan plan = MustPlan(Ask(c.mode, [&](MediaOptions& o) { o.format = c.format; }));
    EXPECT_EQ(plan.job.operation, c.operation) << c.type;
    EXPECT_EQ(plan.job.format, c.output) << c.type;
    EXPECT_EQ(plan.content_type, c.type);
    EXPECT_EQ(plan.streams, c.streams) << c.type;
    EXPECT_EQ(plan.job.stream, c.streams) << c.type;
    EXPECT_GT(plan.cost_hint, 0) << c.type;
  }
}

TEST(Planner, EveryOptionReachesTheJob) {
  const Plan plan = MustPlan(Ask(Mode::kVideo, [](MediaOptions& o) {
    o.fps = variant::Decimal{12'500'000};
    o.speed = variant::Decimal{2'000'000};
    o.rotate = variant::Decimal{90'000'000};
    o.crop = variant::Crop{1, 2, 3, 4};
    o.bitrate = 800'000;
  }));
  EXPECT_EQ(plan.job.fps, 12.5);
  EXPECT_EQ(plan.job.speed, 2);
  EXPECT_EQ(plan.job.rotate_degrees, 90);
  EXPECT_EQ(plan.job.crop, (protocol::CropBox{1, 2, 3, 4}));
  EXPECT_EQ(plan.job.bit_rate, 800'000u);
}

TEST(Planner, ASheetsGridFollowsWhatWasSaid) {
  const auto grid = [](const std::function<void(MediaOptions&)>& set) {
    return MustPlan(Ask(Mode::kSpritesheet, set)).job.sheet;
  };
  EXPECT_EQ(grid({}), (protocol::SheetGrid{.count = 20}));
  EXPECT_EQ(grid([](auto& o) { o.columns = 3; }), (protocol::SheetGrid{.count = 20, .columns = 3}));
  EXPECT_EQ(grid([](auto& o) {
              o.columns = 3;
              o.rows = 4;
            }),
            (protocol::SheetGrid{.count = 12, .columns = 3, .rows = 4}));
  EXPECT_EQ(grid([](auto& o) { o.interval = milliseconds(500); }),
            (protocol::SheetGrid{.count = 0, .interval_seconds = 0.5}));
  EXPECT_EQ(grid([](auto& o) {
              o.interval = milliseconds(500);
              o.image_count = 7;
            }),
            (protocol::SheetGrid{.count = 7, .interval_seconds = 0.5}));
  const Plan plan = MustPlan(Ask(Mode::kSpritesheet));
  EXPECT_EQ(plan.job.width, 320u);
  EXPECT_EQ(plan.job.fit, protocol::Fit::kScaleDown);
}

TEST(Planner, AWebVttPointsToItsSheet) {
  auto request = Ask(Mode::kSpritesheet, [](MediaOptions& o) {
    o.format = variant::Format::kVtt;
    o.width = 160;
    o.columns = 5;
    o.time = milliseconds(1500);
  });
  request.source_path = "videos/a b.mp4";
  EXPECT_EQ(MustPlan(request).job.link,
            "a%20b.mp4?mode=spritesheet&width=160&time=1.500000s&columns=5");
}

TEST(Planner, SettingsThatChangeTheAnswerAreInTheRecipe) {
  Options options;
  const auto video = Ask(Mode::kVideo, [](MediaOptions& o) { o.width = 320; });
  const auto fixed = Ask(Mode::kVideo, [](MediaOptions& o) {
    o.width = 320;
    o.quality = variant::Quality{.number = 50};
  });
  EXPECT_EQ(RecipeOf(video, options, "r"), "r segments");
  EXPECT_TRUE(MustPlan(video, options).job.segments);
  EXPECT_EQ(RecipeOf(Ask(Mode::kFrame), options, "r"), "r");
  EXPECT_FALSE(MustPlan(Ask(Mode::kFrame), options).job.segments);
  const auto at_rate = Ask(Mode::kVideo, [](MediaOptions& o) { o.bitrate = 500'000; });
  EXPECT_EQ(RecipeOf(at_rate, options, "r"), "r");
  EXPECT_FALSE(MustPlan(at_rate, options).job.segments);
  options.segments = false;
  EXPECT_FALSE(MustPlan(video, options).job.segments);
  EXPECT_EQ(RecipeOf(video, options, "r"), "r");
  options.target_ssim = 0.97;
  options.frame_accuracy = protocol::Accuracy::kKeyframe;
  EXPECT_EQ(RecipeOf(video, options, "r"), "r ssim=0.97");
  EXPECT_EQ(MustPlan(video, options).job.target_ssim, 0.97);
  EXPECT_EQ(RecipeOf(fixed, options, "r"), "r");
  EXPECT_EQ(MustPlan(fixed, options).job.target_ssim, 0);
  EXPECT_EQ(RecipeOf(Ask(Mode::kFrame), options, "r"), "r keyframe");
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
