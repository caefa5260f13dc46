#include "worker/sheet_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vr::worker {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using transform::protocol::SheetGrid;

SheetLayout Of(const SheetGrid& grid, const SheetRange& range) {
  auto layout = LayOut(grid, range, 160, 90, 16384, 35'000'000);
  EXPECT_TRUE(layout.ok());
  return layout.ok() ? *layout : SheetLayout();
}
SheetGrid Grid(uint32_t count, std::optional<uint32_t> columns = {},
               std::optional<uint32_t> rows = {}, std::optional<double> interval = {}) {
  return {count, columns, rows, interval};
}

TEST(SheetLayout, SpreadsTilesEvenlyFromTheFirstPicture) {
  const SheetLayout l = Of(Grid(4), {10, 8, 200});
  EXPECT_THAT(l.times, ElementsAre(DoubleEq(10), DoubleEq(12), DoubleEq(14), DoubleEq(16)));
  EXPECT_EQ(l.columns, 2);
  EXPECT_EQ(l.rows, 2);
  EXPECT_EQ(l.width(), 320);
  EXPECT_EQ(l.height(), 180);
}

TEST(SheetLayout, AnIntervalDecidesWhereAndHowMany) {
  EXPECT_THAT(Of(Grid(0, {}, {}, 2.5), {0, 10, 250}).times,
              ElementsAre(0, DoubleEq(2.5), DoubleEq(5), DoubleEq(7.5)));
  EXPECT_THAT(Of(Grid(3, {}, {}, 2.5), {1, 10, 250}).times, ElementsAre(1, 3.5, 6));
  EXPECT_EQ(Of(Grid(20, {}, {}, 3), {0, 10, 250}).times.size(), 4u);
  EXPECT_EQ(Of(Grid(0, {}, {}, 60), {0, 10, 250}).times.size(), 1u);
}

TEST(SheetLayout, ShowsNoPictureTwiceForLackOfOthers) {
  EXPECT_EQ(Of(Grid(20), {0, 0.2, 5}).times.size(), 5u);
  EXPECT_EQ(Of(Grid(20), {0, 0.04, 1}).times.size(), 1u);
  EXPECT_EQ(Of(Grid(20), {0, 0.2, 0}).times.size(), 20u);
}

TEST(SheetLayout, AskedColumnsAndRowsStay) {
  SheetLayout l = Of(Grid(20, 7), {0, 100, 2500});
  EXPECT_EQ(l.columns, 7);
  EXPECT_EQ(l.rows, 3);
  l = Of(Grid(20, {}, 2), {0, 100, 2500});
  EXPECT_EQ(l.columns, 10);
  EXPECT_EQ(l.rows, 2);
  l = Of(Grid(20, 3, 2), {0, 100, 2500});
  EXPECT_EQ(l.times.size(), 6u);
  l = Of(Grid(6, 3, 4), {0, 100, 2500});
  EXPECT_EQ(l.times.size(), 6u);
  EXPECT_EQ(l.rows, 4);
  l = Of(Grid(12, 3, 4), {0, 0.2, 5});  // what exists
  EXPECT_EQ(l.times.size(), 5u);
  EXPECT_EQ(l.columns, 3);
  EXPECT_EQ(l.rows, 4);
}

TEST(SheetLayout, RunsRowByRow) {
  const SheetLayout l = Of(Grid(5, 3), {0, 100, 2500});
  EXPECT_EQ(l.x(2), 320);
  EXPECT_EQ(l.y(2), 0);
  EXPECT_EQ(l.x(3), 0);
  EXPECT_EQ(l.y(3), 90);
}

TEST(SheetLayout, AFreeGridGrowsDownBeforeItIsTooWide) {
  const auto l = LayOut(Grid(25), {0, 100, 2500}, 4000, 20, 16384, 35'000'000);
  ASSERT_TRUE(l.ok());
  EXPECT_EQ(l->columns, 4);
  EXPECT_EQ(l->rows, 7);
}

TEST(SheetLayout, RefusesWhatFitsNoSheetAndSaysWhy) {
  auto l = LayOut(Grid(20, 200), {0, 100, 2500}, 160, 90, 16384, 35'000'000);
  ASSERT_FALSE(l.ok());
  EXPECT_EQ(l.error().reason, "INVALID_PARAMETER");
  EXPECT_THAT(l.error().public_message, HasSubstr("'imageCount'"));
  l = LayOut(Grid(0, {}, {}, 0.001), {0, 7200, 0}, 160, 90, 16384, 35'000'000);
  ASSERT_FALSE(l.ok());
  EXPECT_THAT(l.error().public_message, HasSubstr("'interval'"));
  l = LayOut(Grid(1, 4'000'000'000u, 4'000'000'000u), {0, 10, 0}, 160, 90, 16384, 35'000'000);
  ASSERT_FALSE(l.ok());
  EXPECT_THAT(l.error().public_message, HasSubstr("'columns'"));
  EXPECT_FALSE(LayOut(Grid(20), {0, 100, 2500}, 1920, 1080, 16384, 35'000'000).ok());
}

TEST(SheetLayout, CuesFollowEachOtherToTheEnd) {
  const SheetLayout l = Of(Grid(3, 2), {10, 3723.5, 100000});
  EXPECT_EQ(WebVtt(l, "a.mp4?mode=spritesheet"),
            "WEBVTT\n"
            "\n00:00:00.000 --> 00:20:41.167\na.mp4?mode=spritesheet#xywh=0,0,160,90\n"
            "\n00:20:41.167 --> 00:41:22.333\na.mp4?mode=spritesheet#xywh=160,0,160,90\n"
            "\n00:41:22.333 --> 01:02:03.500\na.mp4?mode=spritesheet#xywh=0,90,160,90\n");
  // The last tile stays to the end, whatever the interval.
  const SheetLayout i = Of(Grid(0, {}, {}, 4), {0, 10, 250});
  EXPECT_THAT(WebVtt(i, "s"), HasSubstr("00:00:08.000 --> 00:00:10.000\n"));
}

}  // namespace
}  // namespace vr::worker
