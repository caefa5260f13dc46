#include "worker/geometry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

namespace vr::worker {
namespace {

using transform::protocol::Fit;

constexpr uint64_t kPixels = 35'000'000;

Placement Placed(const SourceShape& s, const Box& b) {
  auto p = Place(s, b, kPixels);
  EXPECT_TRUE(p.ok());
  return p.ok() ? *p : Placement();
}
std::pair<int, int> Size(const SourceShape& s, const Box& b) {
  const Placement p = Placed(s, b);
  return {p.width, p.height};
}
const SourceShape kHd{1920, 1080, 1, {}};

TEST(Geometry, OneSideGivesTheOther) {
  EXPECT_EQ(Size(kHd, {128u, {}}), (std::pair{128, 72}));
  EXPECT_EQ(Size(kHd, {640u, {}}), (std::pair{640, 360}));
  EXPECT_EQ(Size(kHd, {854u, {}}), (std::pair{854, 480}));
  EXPECT_EQ(Size(kHd, {{}, 360u}), (std::pair{640, 360}));
  EXPECT_EQ(Size(kHd, {240u, {}}),
            (std::pair{240, 134}));  // 135 exactly; either neighbour would do
}

TEST(Geometry, ContainStaysInsideTheBoxAndMayEnlarge) {
  EXPECT_EQ(Size(kHd, {640u, 640u}), (std::pair{640, 360}));
  EXPECT_EQ(Size(kHd, {854u, 640u}), (std::pair{854, 480}));
  EXPECT_EQ(Size({160, 120, 1, {}}, {640u, 640u}), (std::pair{640, 480}));
  EXPECT_EQ(Size(kHd, {641u, 361u}), (std::pair{640, 360}));
}

TEST(Geometry, ScaleDownNeverEnlarges) {
  EXPECT_EQ(Size({160, 120, 1, {}}, {640u, 640u, Fit::kScaleDown}), (std::pair{160, 120}));
  EXPECT_EQ(Size({161, 121, 1, {}}, {640u, {}, Fit::kScaleDown}), (std::pair{160, 120}));
  EXPECT_EQ(Size(kHd, {640u, 640u, Fit::kScaleDown}), (std::pair{640, 360}));
}

TEST(Geometry, NoBoxGivesTheSourcesDisplaySizeMadeEven) {
  EXPECT_EQ(Size(kHd, {}), (std::pair{1920, 1080}));
  EXPECT_EQ(Size({161, 121, 1, {}}, {}), (std::pair{160, 120}));
  EXPECT_EQ(Size({1440, 1080, 4.0 / 3, {}}, {}), (std::pair{1920, 1080}));
}

TEST(Geometry, CoverFillsAndCropsTheCentreInSourcePixels) {
  const Placement p = Placed(kHd, {400u, 400u, Fit::kCover});
  EXPECT_EQ(p.width, 400);
  EXPECT_EQ(p.height, 400);
  EXPECT_EQ(p.crop_width, 1080);
  EXPECT_EQ(p.crop_height, 1080);
  EXPECT_EQ(p.crop_x, 420);
  EXPECT_EQ(p.crop_y, 0);
}

TEST(Geometry, CoverOfATurnedSourceCropsBeforeTheTurn) {
  SourceShape phone = kHd;
  phone.orientation.quarter_turns = 1;  // shown as 1080x1920
  const Placement p = Placed(phone, {400u, 400u, Fit::kCover});
  EXPECT_EQ(p.crop_width, 1080);
  EXPECT_EQ(p.crop_height, 1080);
  const Placement wide = Placed(phone, {640u, 360u, Fit::kCover});
  EXPECT_EQ(wide.crop_height, 1080);
  EXPECT_NEAR(wide.crop_width, 1080.0 * 360 / 640, 2);
  EXPECT_EQ(wide.scaled_width, 360);
  EXPECT_EQ(wide.scaled_height, 640);
}

TEST(Geometry, QuarterTurnsSwapSides) {
  SourceShape phone = kHd;
  phone.orientation.quarter_turns = 3;
  const Placement p = Placed(phone, {{}, 640u});
  EXPECT_EQ(p.width, 360);
  EXPECT_EQ(p.height, 640);
  EXPECT_EQ(p.scaled_width, 640);
  EXPECT_EQ(p.scaled_height, 360);
}

TEST(Geometry, PadFillsTheBoxAroundTheWholePicture) {
  const Placement p = Placed(kHd, {400u, 400u, Fit::kPad});
  EXPECT_EQ(p.width, 400);
  EXPECT_EQ(p.height, 400);
  EXPECT_EQ(p.picture_width, 400);
  EXPECT_EQ(p.picture_height, 224);
  EXPECT_EQ(p.pad_y % 2, 0);
  EXPECT_EQ(p.pad_x, 0);
}

TEST(Geometry, SampleAspectRatioWidensThePicture) {
  EXPECT_EQ(Size({640, 360, 2, {}}, {320u, {}}), (std::pair{320, 90}));
  EXPECT_EQ(Size({640, 360, NAN, {}}, {320u, {}}), (std::pair{320, 180}));
}

TEST(Geometry, RefusesResultsBeyondTheLimit) {
  auto p = Place({16, 8000, 1, {}}, {8000u, {}}, kPixels);
  ASSERT_FALSE(p.ok());
  EXPECT_EQ(p.error().reason, "SOURCE_TOO_LARGE");
}

TEST(Geometry, LaterShapesFitTheFirstOnesOutput) {
  const Placement p = PlaceInto({640, 480, 1, {}}, 320, 180, {320, 180, Fit::kContain});
  EXPECT_EQ(p.width, 320);
  EXPECT_EQ(p.height, 180);
  EXPECT_EQ(p.picture_width, 240);
  EXPECT_EQ(p.pad_x, 40);
  EXPECT_EQ(PlaceInto({640, 480, 1, {}}, 320, 180, {320, 180, Fit::kCover}).picture_width, 320);
}

TEST(Geometry, EveryPlacementIsEvenInsideItsSourceAndKeepsTheAspect) {
  const unsigned seed = 20240611;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution(low, high)(random);
  };
  for (int i = 0; i < 20'000; ++i) {
    SourceShape s{pick(1, 4000), pick(1, 4000), pick(1, 40) / 10.0, {pick(0, 3), pick(0, 1) == 1}};
    Box b;
    if (pick(0, 2) != 0) b.width = static_cast<uint32_t>(pick(10, 4000));
    if (pick(0, 2) != 0) b.height = static_cast<uint32_t>(pick(10, 4000));
    b.fit = static_cast<Fit>(pick(1, 4));
    const auto placed = Place(s, b, kPixels);
    if (!placed.ok()) continue;
    const Placement& p = *placed;
    for (const int v :
         {p.scaled_width, p.scaled_height, p.picture_width, p.picture_height, p.width, p.height}) {
      ASSERT_GE(v, 2);
      ASSERT_EQ(v % 2, 0);
    }
    ASSERT_LE(p.crop_x + p.crop_width, s.width);
    ASSERT_LE(p.crop_y + p.crop_height, s.height);
    ASSERT_GT(p.crop_width, 0);
    ASSERT_GT(p.crop_height, 0);
    ASSERT_LE(p.pad_x + p.picture_width, p.width);
    ASSERT_LE(p.pad_y + p.picture_height, p.height);
    ASSERT_TRUE(!b.width || p.width <= static_cast<int>(*b.width));
    ASSERT_TRUE(!b.height || p.height <= static_cast<int>(*b.height));
    // The smallest size, 2, wins over the aspect.
    if (std::min({p.picture_width, p.picture_height, p.crop_width, p.crop_height}) < 8) continue;
    // Rounding may move a side by about two pixels, in the source or in the output, not more.
    double shown_w = p.crop_width * s.sample_aspect_ratio, shown_h = p.crop_height;
    if (s.orientation.quarter_turns % 2 == 1) std::swap(shown_w, shown_h);
    const double off = std::log(1.0 * p.picture_width / p.picture_height / (shown_w / shown_h));
    ASSERT_LE(std::abs(off), 2.1 / p.picture_width + 2.1 / p.picture_height + 2.1 / p.crop_width +
                                 2.1 / p.crop_height)
        << i << ": " << s.width << "x" << s.height << " " << p.picture_width << "x"
        << p.picture_height;
  }
}

int32_t Fixed(double v) {
  return static_cast<int32_t>(v * 65536);
}

TEST(Orientation, ReadsTurnsAndMirrorsFromTheMatrix) {
  const auto of = [](double a, double b, double c, double d) {
    const int32_t m[9] = {Fixed(a), Fixed(b), 0, Fixed(c), Fixed(d), 0, 0, 0, 1 << 30};
    return OrientationOf(m);
  };
  EXPECT_EQ(OrientationOf(nullptr), Orientation());
  EXPECT_EQ(of(1, 0, 0, 1), Orientation());
  EXPECT_EQ(of(0, 1, -1, 0), (Orientation{1, false}));
  EXPECT_EQ(of(-1, 0, 0, -1), (Orientation{2, false}));
  EXPECT_EQ(of(0, -1, 1, 0), (Orientation{3, false}));
  EXPECT_EQ(of(-1, 0, 0, 1), (Orientation{0, true}));
  EXPECT_EQ(of(1, 0, 0, -1), (Orientation{2, true}));
  EXPECT_EQ(of(0, 1, 1, 0), (Orientation{3, true}));
  EXPECT_EQ(of(0, 2, -2, 0), (Orientation{1, false}));
  EXPECT_EQ(of(0, 0, 0, 0), Orientation());
  EXPECT_EQ(of(0.99, 0.05, -0.05, 0.99), Orientation());
}

struct Cut {
  Orientation orientation;
  int x, y, width, height;  // expected, decoded pixels
};

TEST(Geometry, ACropNamesPixelsOfTheUprightPicture) {
  // 100x60 at (200, 40) of what is seen; the decoded picture is 640x360, or lies on its side.
  const transform::protocol::CropBox crop{100, 60, 200, 40};
  Box box;
  box.crop = crop;
  const Cut upright[] = {{{0, false}, 200, 40, 100, 60},
                         {{0, true}, 340, 40, 100, 60},
                         {{2, false}, 340, 260, 100, 60},
                         {{1, false}, 40, 60, 60, 100},  // seen: 360x640
                         {{3, false}, 540, 200, 60, 100}};
  for (const Cut& c : upright) {
    const Placement p = Placed({640, 360, 1, c.orientation}, box);
    EXPECT_EQ(p.width, 100);
    EXPECT_EQ(p.height, 60);
    const int turns = c.orientation.quarter_turns;
    EXPECT_EQ((std::array{p.crop_x, p.crop_y, p.crop_width, p.crop_height}),
              (std::array{c.x, c.y, c.width, c.height}))
        << turns << c.orientation.mirror;
  }
}

TEST(Geometry, ACropCountsDisplayedPixels) {
  Box box;
  box.crop = transform::protocol::CropBox{100, 60, 200, 40};
  const Placement p = Placed({320, 360, 2, {}}, box);
  EXPECT_EQ(p.crop_x, 100);
  EXPECT_EQ(p.crop_width, 50);
  EXPECT_EQ(p.width, 100);
}

TEST(Geometry, ACropEndsWithTheSourceAndOneOutsideIsRefused) {
  Box box;
  box.crop = transform::protocol::CropBox{5000, 5000, 1900, 1000};
  const Placement p = Placed(kHd, box);
  EXPECT_EQ(p.width, 20);
  EXPECT_EQ(p.height, 80);
  box.crop = transform::protocol::CropBox{10, 10, 1920, 0};
  const auto refused = Place(kHd, box, kPixels);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "INVALID_PARAMETER");
}

TEST(Geometry, ACropIsPlacedLikeASourceOfItsSize) {
  Box box{320u, 320u, Fit::kContain, transform::protocol::CropBox{400, 200, 100, 100}};
  const Placement p = Placed(kHd, box);
  EXPECT_EQ(p.width, 320);
  EXPECT_EQ(p.height, 160);
  box.fit = Fit::kCover;
  const Placement cover = Placed(kHd, box);
  EXPECT_EQ(cover.width, 320);
  EXPECT_EQ(cover.crop_width, 200);
  EXPECT_EQ(cover.crop_x, 100 + 100);
  EXPECT_EQ(cover.crop_y, 100);
}

TEST(Geometry, QuarterTurnsSwapTheSidesAndTheBoxIsOfTheResult) {
  Box box;
  box.rotate_degrees = 90;
  EXPECT_EQ(Size(kHd, box), (std::pair{1080, 1920}));
  box.width = 540;
  EXPECT_EQ(Size(kHd, box), (std::pair{540, 960}));
  const Placement p = Placed(kHd, box);
  EXPECT_EQ(p.scaled_width, 960);
  EXPECT_EQ(p.scaled_height, 540);
  EXPECT_EQ(p.orientation.quarter_turns, 1);
  EXPECT_EQ(p.angle, 0);
  box.rotate_degrees = 270;
  EXPECT_EQ(Placed(kHd, box).orientation.quarter_turns, 3);
  // On top of what the source says of itself.
  EXPECT_EQ(Placed({1920, 1080, 1, {3, false}}, box).orientation.quarter_turns, 2);
}

TEST(Geometry, AnyAngleKeepsTheWholePictureInTheBox) {
  for (const double degrees : {1.0, 30.0, 44.9, 45.0, 60.0, 135.0, 359.0}) {
    for (const Fit fit : {Fit::kContain, Fit::kCover, Fit::kPad, Fit::kScaleDown}) {
      Box box{640u, 480u, fit, {}, degrees};
      const Placement p = Placed(kHd, box);
      EXPECT_NE(p.angle, 0) << degrees;
      EXPECT_LE(std::abs(p.angle), 0.7854) << degrees;
      EXPECT_LE(p.width, 640);
      EXPECT_LE(p.height, 480);
      EXPECT_GE(p.turned_width, p.picture_width);
      EXPECT_GE(p.turned_height, p.picture_height);
      if (fit == Fit::kCover || fit == Fit::kPad) {
        EXPECT_EQ(p.width, 640);
        EXPECT_EQ(p.height, 480);
      }
    }
  }
}

}  // namespace
}  // namespace vr::worker
