#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "analytics/analytics.h"
#include "base/testing/manual_clock.h"
#include "io/testing/faulty_files.h"

namespace vr::analytics {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class AnalyticsFiles : public ::testing::Test {
 protected:
  AnalyticsFiles() {
    std::string name = (fs::temp_directory_path() / "vr-analytics-XXXXXX").string();
    dir_ = ::mkdtemp(name.data());
  }
  ~AnalyticsFiles() override { fs::remove_all(dir_); }

  std::unique_ptr<Analytics> Make() {
    Options options;
    options.dir = (dir_ / "analytics").string();
    return std::make_unique<Analytics>(options, clock_, metrics_, files_);
  }
  static void Hit(Analytics& analytics, int times = 1) {
    Event event;
    event.outcome = Outcome::kEdge;
    event.status = 200;
    event.labels.key = "video:a";
    event.labels.origin = "videos";
    for (int i = 0; i < times; ++i) analytics.recorder().Record(event);
  }
  static uint64_t RequestsOf(Analytics& analytics, int64_t hours = 24) {
    return analytics.Summarise(hours).total.requests();
  }

  fs::path dir_;
  vr::testing::ManualClock clock_;
  Metrics metrics_;
  io::testing::FaultyFiles files_;
};

TEST_F(AnalyticsFiles, AreThereAgainAfterACleanStop) {
  {
    auto analytics = Make();
    Hit(*analytics, 5);
    analytics->recorder().Record(
        Failure{.time_ms = ToUnixMillis(clock_.Now()), .code = "NOT_FOUND"});
    clock_.Advance(2h);
    analytics->Tick();
    Hit(*analytics, 3);
  }
  auto again = Make();
  const Summary summary = again->Summarise(24);
  EXPECT_EQ(summary.total.requests(), 8u);
  EXPECT_EQ(summary.series.size(), 1u);  // counted when they were taken over
  EXPECT_EQ(again->Summarise(24 * 7).total.requests(), 8u);
  EXPECT_EQ(again->Summarise(3).total.requests(), 8u);
  ASSERT_EQ(summary.failures.size(), 1u);
  EXPECT_EQ(summary.failures[0].code, "NOT_FOUND");
  ASSERT_FALSE(summary.total.variants.Sorted(1).empty());
  EXPECT_EQ(summary.total.variants.Sorted(1)[0].name, "video:a");
}

// A kill takes what came since the last save and nothing else: the files are read by another one
// while the first still lives.
TEST_F(AnalyticsFiles, AKillLosesAtMostAnInterval) {
  auto killed = Make();
  Hit(*killed, 5);
  clock_.Advance(10s);
  killed->Tick();
  Hit(*killed, 2);
  clock_.Advance(3s);
  killed->Tick();
  {
    auto reader = Make();
    EXPECT_EQ(RequestsOf(*reader), 5u);
  }
  clock_.Advance(7s);
  killed->Tick();
  auto reader = Make();
  EXPECT_EQ(RequestsOf(*reader), 7u);
}

TEST_F(AnalyticsFiles, SpansThatEndedAreKeptInTheirOwnFiles) {
  auto killed = Make();
  for (int hour = 0; hour < 30; ++hour) {
    Hit(*killed);
    clock_.Advance(10s);
    killed->Tick();
    clock_.Advance(1h - 10s);
  }
  killed->Tick();
  fs::remove(dir_ / "analytics" / "open");
  auto reader = Make();
  EXPECT_EQ(RequestsOf(*reader, 48), 30u);
}

TEST_F(AnalyticsFiles, DamagedOnesAreLeftOutAndTheOthersStay) {
  { Hit(*Make(), 0); }
  {
    auto analytics = Make();
    Hit(*analytics, 5);
    analytics->Tick();
    clock_.Advance(3h);
    Hit(*analytics, 2);
  }
  std::ofstream(dir_ / "analytics" / "open", std::ios::in | std::ios::out) << "nonsense";
  auto again = Make();
  EXPECT_EQ(RequestsOf(*again), 5u);
  Hit(*again);
  again.reset();
  EXPECT_EQ(RequestsOf(*Make()), 6u);
}

TEST_F(AnalyticsFiles, ADiskThatIsFullCostsNothingButTheFiles) {
  files_.Set([](auto& s) { s.fail_write = Error(Code::kResourceExhausted, "no room"); });
  {
    auto analytics = Make();
    Hit(*analytics, 5);
    clock_.Advance(10s);
    analytics->Tick();
    EXPECT_EQ(RequestsOf(*analytics), 5u);
    files_.Set([](auto& s) { s.fail_write.reset(); });
    clock_.Advance(10s);
    analytics->Tick();
  }
  EXPECT_EQ(RequestsOf(*Make()), 5u);
  EXPECT_THAT(metrics_.Render(),
              ::testing::HasSubstr("video_resizer_analytics_write_errors_total"));
}

TEST_F(AnalyticsFiles, NothingIsWrittenWhenNothingChanges) {
  { Hit(*Make(), 5); }
  const int before = files_.Get().syncs;
  auto analytics = Make();
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(10s);
    analytics->Tick();
  }
  EXPECT_LE(files_.Get().syncs - before, 3);  // the minute may end once: three files
  const int later = files_.Get().syncs;
  analytics.reset();
  EXPECT_EQ(files_.Get().syncs, later);
}

TEST_F(AnalyticsFiles, WithoutADirectoryItCountsAllTheSame) {
  Options options;
  options.dir = (dir_ / "missing" / "deeper").string();
  Analytics analytics(options, clock_, metrics_, files_);
  Hit(analytics, 4);
  analytics.Tick();
  EXPECT_EQ(RequestsOf(analytics), 4u);
}

TEST_F(AnalyticsFiles, WhatWorkersSpentIsTakenFromThePool) {
  Counter pool =
      metrics_.GetCounter("video_resizer_encode_seconds_total", "CPU seconds of ended workers");
  pool.Add(100);  // of before
  auto analytics = Make();
  pool.Add(1.5);
  EXPECT_EQ(analytics->Summarise(24).total.making.worker_micros, 1'500'000u);
  pool.Add(0.5);
  EXPECT_EQ(analytics->Summarise(24).total.making.worker_micros, 2'000'000u);
}

TEST_F(AnalyticsFiles, StayBoundedWhateverIsAsked) {
  auto analytics = Make();
  for (int hour = 0; hour < 60; ++hour) {
    for (int i = 0; i < 3000; ++i) {
      const std::string name = std::to_string(hour) + "-" + std::to_string(i);
      Event event;
      event.outcome = Outcome::kMiss;
      event.status = 200 + i % 300;
      const std::string key = "video:" + name + std::string(300, 'x');
      event.labels.key = event.labels.source = key;
      event.labels.origin = event.labels.derivative = event.labels.code = name;
      analytics->recorder().Record(event);
    }
    analytics->Tick();
    clock_.Advance(1h);
  }
  analytics.reset();
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(dir_ / "analytics")) bytes += entry.file_size();
  // 60 hours and 3 days of the worst kind: docs/analytics.md names 60 KB for each.
  EXPECT_LT(bytes, 63u * 60'000 + 600'000);
  EXPECT_EQ(RequestsOf(*Make(), 72), 60u * 3000);
}

TEST_F(AnalyticsFiles, TheThreadTakesOverByItself) {
  auto analytics = Make();
  Counter taken = metrics_.GetCounter(
      "video_resizer_outcomes_total",
      "Requests by how they were answered, each once; the media requests are the sum of edge, kv, "
      "stale, joined, miss and bypass",
      {{"outcome", "edge"}});
  Hit(*analytics, 2);
  analytics->Start();
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (taken.value() < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_EQ(taken.value(), 2);
}

}  // namespace
}  // namespace vr::analytics
