#include "worker/segmented_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "worker/failure.h"
#include "worker/warm.h"

namespace vr::worker {
namespace {

constexpr int kWidth = 64, kHeight = 64;
constexpr int64_t kSecond = kOutputTimeBase.den;

struct Packet {
  int64_t pts = 0, dts = 0;
  bool is_key = false;
  std::string bytes;
  bool operator==(const Packet&) const = default;
};

AvPtr<AVFrame> Picture(int64_t pts) {
  AvPtr<AVFrame> frame = NewFrame();
  frame->format = AV_PIX_FMT_YUV420P;
  frame->width = kWidth;
  frame->height = kHeight;
  EXPECT_GE(av_frame_get_buffer(frame.get(), 0), 0);
  for (int plane = 0; plane < 3; ++plane) {
    const int side = plane == 0 ? kWidth : kWidth / 2;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        frame->data[plane][y * frame->linesize[plane] + x] =
            static_cast<uint8_t>(x * 3 + y * (plane + 1) + pts / 1500);
      }
    }
  }
  frame->pts = pts;
  return frame;
}

/// 25 pictures a second for `seconds`; with `uneven` every seventh is missing and some are late.
std::vector<int64_t> Times(int seconds, bool uneven) {
  std::vector<int64_t> times;
  for (int n = 0; n < seconds * 25; ++n) {
    if (uneven && n % 7 == 3) continue;
    times.push_back(n * kSecond / 25 + (uneven && n % 5 == 2 ? 900 : 0));
  }
  return times;
}

VideoRecipe RecipeOf(const char* encoder, double segment_seconds) {
  transform::protocol::Job job;
  if (std::string(encoder) == "libvpx-vp9") job.format = transform::protocol::OutputFormat::kWebm;
  VideoRecipe recipe = VideoRecipeFor(job, {kWidth, kHeight, 25});
  EXPECT_STREQ(recipe.encoder, encoder);
  recipe.segment_seconds = segment_seconds;
  return recipe;
}

std::vector<Packet> Encode(const VideoRecipe& recipe, const std::vector<int64_t>& times,
                           SegmentedEncoder::Options options) {
  PictureFormat format;
  format.width = kWidth;
  format.height = kHeight;
  format.frame_rate = AVRational{25, 1};
  format.colour = {AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
  auto encoder = SegmentedEncoder::Create(format, recipe, std::move(options));
  EXPECT_TRUE(encoder.ok());
  std::vector<Packet> packets;
  const PacketSink sink = [&](AVPacket& p) -> Result<void> {
    packets.push_back(
        {p.pts, p.dts, (p.flags & AV_PKT_FLAG_KEY) != 0,
         std::string(reinterpret_cast<const char*>(p.data), static_cast<size_t>(p.size))});
    return {};
  };
  for (const int64_t pts : times) EXPECT_TRUE((*encoder)->Encode(Picture(pts), sink).ok());
  EXPECT_TRUE((*encoder)->Finish(4800, sink).ok());
  return packets;
}

class SegmentedEncoderTest : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() { (void)WarmUp(); }
};
INSTANTIATE_TEST_SUITE_P(Encoders, SegmentedEncoderTest,
                         ::testing::Values("libx264", "libvpx-vp9"));

TEST_P(SegmentedEncoderTest, TheSamePacketsWithAnyNumberOfThreadsAndHoweverMuchIsHeld) {
  for (const bool uneven : {false, true}) {
    const std::vector<int64_t> times = Times(9, uneven);
    const VideoRecipe recipe = RecipeOf(GetParam(), 2);
    const std::vector<Packet> alone = Encode(recipe, times, {});
    for (const int threads : {2, 3, 8}) {
      for (const uint64_t held : {uint64_t{1}, uint64_t{30} << 10, uint64_t{1} << 30}) {
        EXPECT_TRUE(alone == Encode(recipe, times, {threads, held, nullptr}))
            << threads << " threads, " << held << " bytes, " << uneven;
      }
    }
  }
}

TEST_P(SegmentedEncoderTest, NoPictureIsLostOrDoubledOrOutOfOrderAtASeam) {
  for (const bool uneven : {false, true}) {
    const std::vector<int64_t> times = Times(9, uneven);
    const std::vector<Packet> packets =
        Encode(RecipeOf(GetParam(), 2), times, {3, uint64_t{1} << 30, nullptr});
    std::vector<int64_t> shown;
    for (size_t i = 0; i < packets.size(); ++i) {
      shown.push_back(packets[i].pts);
      EXPECT_LE(packets[i].dts, packets[i].pts) << i;
      if (i > 0) {
        EXPECT_GT(packets[i].dts, packets[i - 1].dts) << i;
      }
    }
    std::sort(shown.begin(), shown.end());
    EXPECT_EQ(shown, times);
    // What a segment decodes to is over before the next one begins.
    int64_t latest = -1;
    for (const Packet& p : packets) {
      const int64_t segment = (p.pts + 2400) / (2 * kSecond);
      if (segment > latest) {
        EXPECT_TRUE(p.is_key) << p.pts;
      }
      EXPECT_GE(segment, latest) << p.pts;
      latest = segment;
    }
    EXPECT_EQ(latest, 4);
  }
}

TEST_P(SegmentedEncoderTest, WhatIsShorterThanASegmentIsAsItWas) {
  const std::vector<int64_t> times = Times(3, false);
  EXPECT_TRUE(Encode(RecipeOf(GetParam(), 4), times, {4, uint64_t{1} << 30, nullptr}) ==
              Encode(RecipeOf(GetParam(), 0), times, {}));
}

TEST_P(SegmentedEncoderTest, ASlideShowIsNotCutToPieces) {
  std::vector<int64_t> times;
  for (int n = 0; n < 30; ++n) times.push_back(n * 2 * kSecond);
  const std::vector<Packet> at_once = Encode(RecipeOf(GetParam(), 0), times, {});
  const std::vector<Packet> packets =
      Encode(RecipeOf(GetParam(), 2), times, {3, uint64_t{1} << 30, nullptr});
  ASSERT_EQ(packets.size(), times.size());
  // Up to where x264 looks ahead.
  for (size_t n = 0; n < 12; ++n) EXPECT_TRUE(packets[n] == at_once[n]) << n;
}

TEST_P(SegmentedEncoderTest, EndsWhenItsPacketsAreNotTaken) {
  PictureFormat format;
  format.width = kWidth;
  format.height = kHeight;
  format.frame_rate = AVRational{25, 1};
  auto encoder =
      SegmentedEncoder::Create(format, RecipeOf(GetParam(), 2), {3, uint64_t{1} << 30, nullptr});
  ASSERT_TRUE(encoder.ok());
  const PacketSink full = [](AVPacket&) -> Result<void> { return TooLarge("full"); };
  Result<void> result;
  for (const int64_t pts : Times(9, false)) {
    result = (*encoder)->Encode(Picture(pts), full);
    if (!result.ok()) break;
  }
  if (result.ok()) result = (*encoder)->Finish(4800, full);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().reason, "SOURCE_TOO_LARGE");
}

TEST(SegmentedEncoder, X264SpeaksOfItselfOnce) {
  (void)WarmUp();
  size_t seen = 0;
  for (const Packet& p : Encode(RecipeOf("libx264", 2), Times(9, false), {})) {
    seen += p.bytes.find("x264 - core") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(seen, 1u);
}

}  // namespace
}  // namespace vr::worker
