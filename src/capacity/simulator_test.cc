#include "capacity/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "capacity/report.h"

namespace vr::capacity {
namespace {

using testing::HasSubstr;
using testing::Not;

std::unique_ptr<EvictionPolicy> Make(std::string_view name, uint64_t max_bytes) {
  PolicyOptions options;
  options.max_bytes = max_bytes;
  options.expected_entries = 100;
  return std::move(*MakePolicy(name, options));
}

const std::vector<TraceRequest> kTrace = {{0, 1, 60, 2}, {1, 2, 40, 1}, {2, 1, 60, 2},
                                          {3, 3, 40, 4}, {4, 1, 60, 2}, {5, 2, 40, 1},
                                          {6, 9, 500, 7}};

TEST(Replay, CountsWhatAStoreWithThatPolicyWouldHaveDone) {
  const auto policy = Make("lru", 100);
  const Outcome outcome = Replay(kTrace, *policy, {.max_bytes = 100});
  EXPECT_EQ(outcome.requests, 7u);
  EXPECT_EQ(outcome.hits, 2u);  // 1 twice; 2 had to go for 3
  EXPECT_EQ(outcome.hit_bytes, 120u);
  EXPECT_EQ(outcome.bytes, 800u);
  EXPECT_DOUBLE_EQ(outcome.seconds, 19);
  EXPECT_DOUBLE_EQ(outcome.seconds_saved, 4);
  EXPECT_EQ(outcome.evictions, 2u);  // 2 for 3, 3 for 2
  EXPECT_EQ(outcome.refusals, 1u);   // 9 is larger than the store
  EXPECT_EQ(outcome.most_bytes, 100u);
  EXPECT_EQ(outcome.most_entries, 2u);
}

TEST(Replay, AStoreThatHoldsEverythingMissesEachEntryOnce) {
  for (const std::string_view name : PolicyNames()) {
    const auto policy = Make(name, 10'000);
    const Outcome outcome = Replay(kTrace, *policy, {.max_bytes = 10'000});
    EXPECT_EQ(outcome.hits, 3u) << name;
    EXPECT_EQ(outcome.evictions, 0u) << name;
  }
}

/// `count` entries of 10 bytes, one after the other.
std::vector<TraceRequest> OneAfterTheOther(uint64_t count) {
  std::vector<TraceRequest> requests;
  for (uint64_t n = 0; n < count; ++n) {
    requests.push_back({static_cast<int64_t>(n), n + 1, 10, 1});
  }
  return requests;
}

TEST(Replay, WithWatermarksItEvictsBeyondTheHighOneDownToTheLowOne) {
  const StoreRules rules{.max_bytes = 200, .high_watermark = 95, .low_watermark = 75};
  std::vector<uint64_t> held;
  const auto policy = Make("lru", 200);
  const Outcome below = Replay(OneAfterTheOther(19), *policy, rules, &held);
  EXPECT_EQ(below.evictions, 0u) << "190 is not beyond 95 % of 200";
  EXPECT_EQ(held.size(), 19u);
  const auto next = Make("lru", 200);
  const Outcome beyond = Replay(OneAfterTheOther(20), *next, rules, &held);
  EXPECT_EQ(beyond.evictions, 5u);
  EXPECT_EQ(beyond.most_bytes, 200u);
  EXPECT_EQ(std::set<uint64_t>(held.begin(), held.end()),
            std::set<uint64_t>({6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}));
}

TEST(Replay, WhatFindsNoRoomHasItMadeDownToTheLowMark) {
  std::vector<TraceRequest> requests = OneAfterTheOther(18);
  requests.push_back({20, 100, 40, 1});
  std::vector<uint64_t> held;
  const auto policy = Make("lru", 200);
  const StoreRules rules{.max_bytes = 200, .high_watermark = 95, .low_watermark = 75};
  const Outcome outcome = Replay(requests, *policy, rules, &held);
  EXPECT_EQ(outcome.evictions, 7u) << "110 and 40 are 75 %";
  EXPECT_EQ(held.size(), 12u);
  EXPECT_EQ(outcome.most_bytes, 180u);
}

TEST(Replay, AboveTheLowMarkNewcomersHaveToBeAdmittedAndNothingLargerIsStored) {
  const StoreRules rules{.max_bytes = 200, .high_watermark = 95, .low_watermark = 75};
  std::vector<TraceRequest> requests = OneAfterTheOther(15);
  for (int64_t n = 0; n < 15; ++n)
    requests.push_back({20 + n, static_cast<uint64_t>(n) + 1, 10, 1});
  requests.push_back({40, 100, 10, 0.01});  // 150 are held: 75 %
  requests.push_back({41, 101, 160, 1000});
  const auto policy = Make("cost-aware", 200);
  EXPECT_EQ(Replay(requests, *policy, rules).refusals, 2u);
  const auto roomy = Make("cost-aware", 200);
  EXPECT_EQ(Replay(requests, *roomy, {.max_bytes = 200}).refusals, 0u);
}

TEST(Replay, MetadataTakesRoomAndIsNotServed) {
  const auto policy = Make("lru", 100);
  const Outcome outcome =
      Replay(OneAfterTheOther(8), *policy, {.max_bytes = 100, .metadata_bytes = 10});
  EXPECT_EQ(outcome.most_entries, 5u);
  EXPECT_EQ(outcome.bytes, 80u);
}

TEST(MeasureFootprint, CountsEachEntryOnce) {
  const Footprint footprint = MeasureFootprint(kTrace);
  EXPECT_EQ(footprint.entries, 4u);
  EXPECT_EQ(footprint.bytes, 640u);
}

std::vector<SimulationRow> Rows() {
  std::vector<SimulationRow> rows;
  for (const uint64_t size : {1'000'000'000, 2'000'000'000}) {
    for (const char* name : {"lru", "cost-aware"}) {
      SimulationRow row{name, size, {}};
      row.outcome.requests = 200;
      row.outcome.hits = 100;
      row.outcome.seconds = 1000;
      row.outcome.seconds_saved = row.policy == "lru" ? 400 : 500;
      rows.push_back(row);
    }
  }
  return rows;
}

TEST(Report, TheTableComparesWithLruAtTheSameSize) {
  const std::string table = FormatTable(Rows());
  EXPECT_THAT(table, HasSubstr("| lru        | 1 GB |  50.00 % |        0.00 % |"));
  EXPECT_THAT(table, HasSubstr("+25.0 %"));
  EXPECT_THAT(table, HasSubstr("2 GB"));
  EXPECT_THAT(FormatTable({Rows()[1]}), Not(HasSubstr("25.0")));
}

TEST(Report, ThePlotIsWellFormedAndHasALineForEachPolicyInBothPanels) {
  const std::string svg = PlotSvg(Rows(), "a < b & c");
  EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; c"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  size_t lines = 0;
  for (size_t at = 0; (at = svg.find("<polyline", at)) != svg.npos; ++at) ++lines;
  EXPECT_EQ(lines, 4u);
  EXPECT_THAT(PlotSvg({Rows()[0]}, "one size"), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace vr::capacity
