// What the default policy is worth: encode seconds saved against lru at the same size, over traces
// that are the same on every machine. The full table is in docs/capacity.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "capacity/eviction_policy.h"
#include "capacity/simulator.h"
#include "capacity/trace.h"
#include "capacity/trace_generator.h"

namespace vr::capacity {
namespace {

std::vector<TraceRequest> Generated(TraceKind kind, uint64_t seed) {
  return GenerateTrace({.kind = kind, .seed = seed, .requests = 60'000});
}

/// A real run of the server (bench/capacity/record_trace.py).
std::vector<TraceRequest> Recorded() {
  std::ifstream file(VR_SOURCE_DIR "/tests/data/capacity/recorded.csv");
  Result<Trace> trace = ReadTrace(file, TraceFormat::kCsv);
  EXPECT_TRUE(trace.ok()) << trace.error().public_message;
  return trace.ok() ? std::move(trace->requests) : std::vector<TraceRequest>();
}

/// Replays at a share of the bytes of all entries.
Outcome ReplayAt(const std::vector<TraceRequest>& trace, std::string_view policy, double share) {
  const Footprint all = MeasureFootprint(trace);
  PolicyOptions options;
  options.max_bytes = static_cast<uint64_t>(static_cast<double>(all.bytes) * share);
  options.expected_entries = 1000 + static_cast<uint64_t>(static_cast<double>(all.entries) * share);
  const auto made = std::move(*MakePolicy(policy, options));
  const Outcome outcome = Replay(trace, *made, {.max_bytes = options.max_bytes});
  EXPECT_LE(outcome.most_bytes, options.max_bytes);
  return outcome;
}

double SavedAgainstLru(const std::vector<TraceRequest>& trace, double share) {
  return ReplayAt(trace, "cost-aware", share).seconds_saved /
         ReplayAt(trace, "lru", share).seconds_saved;
}

class CostAwareSaves : public testing::TestWithParam<TraceKind> {};

/// A single trace may be ruled by one long film that every policy keeps: the median of five.
TEST_P(CostAwareSaves, FifteenPercentMoreThanLruWhereRoomIsShort) {
  for (const double share : {0.01, 0.02}) {
    std::vector<double> ratios;
    for (const uint64_t seed : {1, 2, 3, 4, 5}) {
      ratios.push_back(SavedAgainstLru(Generated(GetParam(), seed), share));
    }
    std::sort(ratios.begin(), ratios.end());
    EXPECT_GE(ratios[2], 1.15) << share;
  }
}

TEST_P(CostAwareSaves, NeverLessThanLruByMoreThanOnePercent) {
  for (const uint64_t seed : {1, 2, 3}) {
    const auto trace = Generated(GetParam(), seed);
    for (const double share : {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7}) {
      EXPECT_GE(SavedAgainstLru(trace, share), 0.99) << "seed " << seed << ", share " << share;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, CostAwareSaves,
                         testing::Values(TraceKind::kSteady, TraceKind::kScan, TraceKind::kChurn,
                                         TraceKind::kBurst));

TEST(CostAwareOnARecordedRun, SavesFifteenPercentMoreThanLru) {
  const auto trace = Recorded();
  ASSERT_GT(trace.size(), 700u);
  for (const double share : {0.05, 0.1, 0.2}) {
    EXPECT_GE(SavedAgainstLru(trace, share), 1.15) << share;
  }
  for (const double share : {0.02, 0.4, 0.7}) {
    EXPECT_GE(SavedAgainstLru(trace, share), 0.99) << share;
  }
}

TEST(SieveAgainstLru, HasAHigherHitRateThanLruAtEqualBytes) {
  for (const TraceKind kind : {TraceKind::kSteady, TraceKind::kScan, TraceKind::kBurst}) {
    const auto trace = Generated(kind, 1);
    for (const double share : {0.01, 0.02, 0.05, 0.1, 0.2}) {
      EXPECT_GT(ReplayAt(trace, "sieve", share).hit_rate(),
                ReplayAt(trace, "lru", share).hit_rate())
          << static_cast<int>(kind) << ", share " << share;
    }
  }
}

}  // namespace
}  // namespace vr::capacity
