#include "variant/options.h"

#include <gtest/gtest.h>

namespace vr::variant {
namespace {

using namespace std::chrono_literals;

TEST(Options, ShippedPresetsAreThoseOfTheContract) {
  const DerivativeTable table = ShippedDerivatives();
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table.at("desktop").options.width, 1920u);
  EXPECT_EQ(table.at("desktop").options.height, 1080u);
  EXPECT_EQ(table.at("tablet").options.width, 1280u);
  EXPECT_EQ(table.at("tablet").options.height, 720u);
  EXPECT_EQ(table.at("mobile").options.width, 854u);
  EXPECT_EQ(table.at("mobile").options.height, 640u);
  EXPECT_EQ(table.at("mobile").options.fit, Fit::kContain);
  EXPECT_EQ(table.at("mobile").mode, std::nullopt);
  EXPECT_EQ(table.at("thumbnail").mode, Mode::kFrame);
  EXPECT_EQ(table.at("thumbnail").options.fit, Fit::kCover);
  EXPECT_EQ(table.at("thumbnail").options.format, Format::kPng);
  EXPECT_EQ(table.at("thumbnail").options.time, Time(2s));
  EXPECT_TRUE(Problems(Options()).empty());
}

TEST(Options, APresetIsWrittenWithTheNamesAndValuesOfTheUrl) {
  Derivative derivative;
  for (const auto& [name, value] : {std::pair{"mode", "frame"},
                                    {"width", "640"},
                                    {"h", "360"},
                                    {"fit", "crop"},
                                    {"format", "png"},
                                    {"time", "2s"},
                                    {"mute", "true"},
                                    {"loop", "TRUE"},
                                    {"autoplay", "false"},
                                    {"preload", "Metadata"}}) {
    EXPECT_EQ(SetDerivativeOption(derivative, name, value), std::nullopt) << name;
  }
  EXPECT_EQ(derivative.mode, Mode::kFrame);
  EXPECT_EQ(derivative.options.width, 640u);
  EXPECT_EQ(derivative.options.height, 360u);
  EXPECT_EQ(derivative.options.fit, Fit::kCover);
  EXPECT_EQ(derivative.options.audio, false);
  EXPECT_EQ(derivative.playback, (PlaybackHints{true, false, std::nullopt, "metadata"}));
  EXPECT_EQ(SetDerivativeOption(derivative, "loop", "1"), "must be true or false");
  EXPECT_EQ(SetDerivativeOption(derivative, "preload", "all"), "must be none, metadata or auto");
  EXPECT_EQ(derivative.playback, (PlaybackHints{true, false, std::nullopt, "metadata"}));
  EXPECT_EQ(SetDerivativeOption(derivative, "width", "9"), "must be a whole number 10-8192");
  EXPECT_EQ(derivative.options.width, 640u);
  EXPECT_EQ(SetDerivativeOption(derivative, "colour", "red"), "unknown option");
  EXPECT_EQ(SetDerivativeOption(derivative, "derivative", "mobile"), "unknown option");
  EXPECT_EQ(SetDerivativeOption(derivative, "debug", "true"), "unknown option");
  EXPECT_TRUE(SetDerivativeOption(derivative, "mode", "x").has_value());
}

TEST(Options, ProblemsNameEveryImpossibleSetting) {
  Options options;
  options.derivatives["bad name"] = {};
  options.derivatives["huge"].options.width = 9000;
  options.derivatives["odd"].mode = Mode::kAudio;
  options.derivatives["odd"].options.format = Format::kPng;
  options.responsive.breakpoints = {{854, "mobile"}, {854, "nope"}};
  options.responsive.default_derivative = "none";
  options.video_formats = {".mp4", "MP4"};
  EXPECT_EQ(Problems(options).size(), 8u);
}

}  // namespace
}  // namespace vr::variant
