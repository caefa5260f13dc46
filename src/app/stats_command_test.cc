#include "app/stats_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analytics/report.h"

namespace vr::app {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Stats, ShowsWhatTheServerToldInTables) {
  analytics::Summary summary;
  summary.total = analytics::Bucket(10);
  analytics::LayerSum& edge = summary.total.layer(analytics::Outcome::kEdge);
  edge.tally = {.requests = 3, .hits = 3, .bytes = 3 << 20, .saved_micros = 7'200'000'000};
  for (int i = 0; i < 3; ++i) edge.latency.Add(1000);
  summary.total.Count(analytics::Dimension::kOrigin, "videos", edge.tally);
  summary.total.variants.Add(1, "video:a\x1b[31m", edge.tally);
  summary.failures.push_back({.time_ms = 0, .status = 404, .target = "/a", .code = "NOT_FOUND"});
  const std::string text = RenderStats(analytics::RenderReport(summary, {}, 24));
  EXPECT_THAT(text, HasSubstr("Last 24 h, by hour: 3 requests, 3 of them for media"));
  EXPECT_THAT(text, HasSubstr("hit rate 100.0 %"));
  EXPECT_THAT(text, HasSubstr("3.0 MiB"));
  EXPECT_THAT(text, HasSubstr("2.0 h saved"));
  EXPECT_THAT(text, HasSubstr("1970-01-01T00:00:00Z"));
  EXPECT_THAT(text, HasSubstr("video:a?[31m"));  // no terminal is told anything by a path
  EXPECT_THAT(text, Not(HasSubstr("stale")));    // layers that nothing came from
}

TEST(Stats, WhatIsNoReportIsNotShown) {
  for (const char* const bad : {"", "x", "[]", "{}", R"({"totals":{}})"}) {
    EXPECT_EQ(RenderStats(bad), "") << bad;
  }
}

}  // namespace
}  // namespace vr::app
