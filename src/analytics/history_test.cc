#include "analytics/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/hash.h"

namespace vr::analytics {
namespace {

constexpr int64_t kNoon = 1'700'049'600;  // 2023-11-15T12:00:00Z

Bucket Of(uint64_t requests, Outcome outcome = Outcome::kEdge, std::string key = "video:a") {
  Bucket bucket(100);
  bucket.layer(outcome).tally.requests = requests;
  for (uint64_t i = 0; i < requests; ++i) bucket.layer(outcome).latency.Add(1000);
  Tally tally;
  tally.requests = requests;
  bucket.Count(Dimension::kOrigin, "videos", tally);
  bucket.variants.Add(Hash64Of(key), key, tally);
  return bucket;
}

TEST(LatencyCounts, APercentileIsCloseToTheTruth) {
  for (const uint64_t truth : {1u, 15u, 16u, 17u, 100u, 999u, 12345u, 60'000'000u}) {
    LatencyCounts counts;
    for (int i = 0; i < 100; ++i) counts.Add(truth);
    const double found = counts.Percentile(0.5);
    if (truth >= 16) {
      EXPECT_NEAR(found / static_cast<double>(truth), 1, 0.13) << truth;
    } else {
      EXPECT_LT(found, 16) << truth;
    }
  }
}

TEST(LatencyCounts, TheShareDecidesWhichOneIsMeant) {
  LatencyCounts counts;
  for (int i = 0; i < 94; ++i) counts.Add(100);
  for (int i = 0; i < 6; ++i) counts.Add(1'000'000);
  EXPECT_NEAR(counts.Percentile(0.5), 100, 13);
  EXPECT_NEAR(counts.Percentile(0.95), 1e6, 1.3e5);
  EXPECT_EQ(LatencyCounts().Percentile(0.5), 0);
  counts.Add(UINT64_MAX);  // has a place too
  EXPECT_EQ(counts.total(), 101u);
}

TEST(LatencyCounts, BucketsFollowEachOtherWithoutGaps) {
  for (size_t i = 1; i < kLatencyBuckets; ++i) {
    EXPECT_EQ(LatencyBucketOf(LatencyBucketStart(i)), i);
    EXPECT_EQ(LatencyBucketOf(LatencyBucketStart(i) - 1), i - 1);
  }
}

TEST(TopList, FindsWhoIsAskedOftenAmongAMillionOthers) {
  TopList top(256);
  std::mt19937 random(7);
  Tally once;
  once.requests = 1;
  constexpr int kOften = 20'000;
  int frequent = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    std::string name = "rare" + std::to_string(i);
    if (random() % 50 == 0 && frequent < kOften) {
      name = "frequent";
      ++frequent;
    }
    top.Add(Hash64Of(name), name, once);
  }
  ASSERT_EQ(top.size(), 256u);
  const TopList::Entry first = top.Sorted(1)[0];
  EXPECT_EQ(first.name, "frequent");
  EXPECT_GE(first.tally.requests, static_cast<uint64_t>(frequent));
  EXPECT_LE(first.tally.requests - first.overcount, static_cast<uint64_t>(frequent));
}

TEST(TopList, IsExactWhileThereIsRoom) {
  TopList top(4);
  Tally tally;
  for (uint64_t i = 1; i <= 4; ++i) {
    tally.requests = i;
    top.Add(i, "n" + std::to_string(i), tally);
  }
  const auto sorted = top.Sorted(4);
  ASSERT_EQ(sorted.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(sorted[i].tally.requests, 4 - i);
    EXPECT_EQ(sorted[i].overcount, 0u);
  }
  top.Shrink(2);
  EXPECT_EQ(top.Sorted(9).size(), 2u);
  EXPECT_EQ(top.Sorted(9)[1].name, "n3");
}

TEST(History, CountsTheSameOnEveryLevel) {
  History history({});
  history.Add(Of(3), kNoon + 10);
  history.Add(Of(4), kNoon + 70);
  history.Add(Of(5), kNoon + 3700);
  EXPECT_EQ(history.buckets(Level::kMinute).size(), 3u);
  EXPECT_EQ(history.buckets(Level::kHour).size(), 2u);
  EXPECT_EQ(history.buckets(Level::kDay).size(), 1u);
  for (const int64_t hours : {2, 24, 24 * 30}) {
    EXPECT_EQ(history.Summarise(hours, kNoon + 3800).total.requests(), 12u) << hours;
  }
  EXPECT_EQ(history.Summarise(2, kNoon + 3800).level, Level::kMinute);
  EXPECT_EQ(history.Summarise(24, kNoon + 3800).level, Level::kHour);
  EXPECT_EQ(history.Summarise(24 * 30, kNoon + 3800).level, Level::kDay);
}

TEST(History, ARangeLeavesOutWhatEndedBeforeIt) {
  History history({});
  history.Add(Of(1), kNoon - 3 * 86400);
  history.Add(Of(2), kNoon - 7200);
  history.Add(Of(4), kNoon);
  EXPECT_EQ(history.Summarise(1, kNoon + 5).total.requests(), 4u);
  EXPECT_EQ(history.Summarise(3, kNoon + 5).total.requests(), 6u);
  EXPECT_EQ(history.Summarise(24, kNoon + 5).total.requests(), 6u);
  EXPECT_EQ(history.Summarise(24 * 4, kNoon + 5).total.requests(), 7u);
  EXPECT_EQ(history.Summarise(24, kNoon + 5).series.size(), 2u);
}

TEST(History, TopListsOfShortRangesAreThoseOfTheirHours) {
  History history({});
  history.Add(Of(4), kNoon);
  const Summary summary = history.Summarise(1, kNoon + 5);
  ASSERT_EQ(summary.total.variants.Sorted(5).size(), 1u);
  EXPECT_EQ(summary.total.variants.Sorted(5)[0].tally.requests, 4u);
}

TEST(History, ForgetsWhatIsTooOldAndStaysBounded) {
  Options options;
  options.keep_hours = 24;
  options.keep_days = 7;
  History history(options);
  int64_t now = kNoon;
  for (int i = 0; i < 10'000; ++i, now += 600) history.Add(Of(1), now);
  EXPECT_LE(history.buckets(Level::kMinute).size(), kKeepMinutes);
  EXPECT_EQ(history.buckets(Level::kHour).size(), 24u);
  EXPECT_EQ(history.buckets(Level::kDay).size(), 7u);
  for (int i = 0; i < 1000; ++i)
    history.AddFailure({.time_ms = now * 1000, .is_servers = i % 2 == 0});
  EXPECT_EQ(history.Summarise(1, now).failures.size(), 2 * kFailuresKept);
}

TEST(History, OfASpanThatIsOverTheTopListsAreCut) {
  History history({});
  Bucket many(1000);
  Tally once;
  once.requests = 1;
  for (int i = 0; i < 200; ++i) many.variants.Add(static_cast<uint64_t>(i) + 1, "k", once);
  many.layer(Outcome::kEdge).tally.requests = 200;
  history.Add(many, kNoon);
  EXPECT_EQ(history.buckets(Level::kHour)[0].variants.size(), 200u);
  history.Roll(kNoon + 3600);
  EXPECT_EQ(history.buckets(Level::kHour)[0].variants.size(), kTopKept);
  EXPECT_EQ(history.buckets(Level::kDay)[0].variants.size(), 200u);
}

TEST(History, AClockThatIsSetBackLosesNothingAndFillsNothing) {
  History history({});
  history.Add(Of(1), kNoon + 1000 * 86400);
  for (int i = 0; i < 500; ++i) history.Add(Of(1), kNoon + i * 3600);
  const Summary summary = history.Summarise(24, kNoon + 499 * 3600);
  EXPECT_EQ(summary.total.requests(), 25u);
  EXPECT_LE(history.buckets(Level::kHour).size(), 192u);
}

TEST(History, ClientsErrorsDoNotPushOutTheServers) {
  History history({});
  history.AddFailure({.time_ms = kNoon * 1000, .is_servers = true, .code = "TRANSFORM_FAILED"});
  for (int i = 0; i < 500; ++i)
    history.AddFailure({.time_ms = kNoon * 1000 + i, .code = "NOT_FOUND"});
  const Summary summary = history.Summarise(1, kNoon + 1);
  ASSERT_EQ(summary.failures.size(), kFailuresKept + 1);
  EXPECT_EQ(summary.failures.back().code, "TRANSFORM_FAILED");
  EXPECT_EQ(summary.failures.front().time_ms, kNoon * 1000 + 499);
}

TEST(History, OfTwoReportsOfOneSpanTheFullerStays) {
  for (const bool is_fuller_first : {true, false}) {
    History history({});
    for (const bool is_first : {true, false}) {
      Bucket bucket = Of(is_first == is_fuller_first ? 9 : 4);
      bucket.start_s = kNoon;
      history.Restore(Level::kHour, std::move(bucket));
    }
    ASSERT_EQ(history.buckets(Level::kHour).size(), 1u);
    EXPECT_EQ(history.buckets(Level::kHour)[0].requests(), 9u);
  }
}

}  // namespace
}  // namespace vr::analytics
