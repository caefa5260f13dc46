// What the default policy is worth: encode seconds saved against lru at the same size, over traces
// that are the same on every machine. The full table is in docs/capacity.md.
#include <gtest/gtest.h>

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

/// Replays at a share of the bytes of all entries.
Outcome Run(const std::vector<TraceRequest>& trace, std::string_view policy, double share) {
  const Footprint all = MeasureFootprint(trace);
  PolicyOptions options;
  options.max_bytes = static_cast<uint64_t>(static_cast<double>(all.bytes) * share);
  options.expected_entries = 1000 + static_cast<uint64_t>(static_cast<double>(all.entries) * share);
  const auto made = std::move(*MakePolicy(policy, options));
  const Outcome outcome = Replay(trace, *made, options.max_bytes);
  EXPECT_LE(outcome.most_bytes, options.max_bytes);
  return outcome;
}

double SavedAgainstLru(const std::vector<TraceRequest>& trace, double share) {
  return Run(trace, "cost-aware", share).seconds_saved / Run(trace, "lru", share).seconds_saved;
}

class CostAwareSaves : public testing::TestWithParam<TraceKind> {};

TEST_P(CostAwareSaves, FifteenPercentMoreThanLruWhereRoomIsShort) {
  for (const uint64_t seed : {1, 2, 3}) {
    const auto trace = Generated(GetParam(), seed);
    for (const double share : {0.01, 0.02, 0.05}) {
      EXPECT_GE(SavedAgainstLru(trace, share), 1.15) << "seed " << seed << ", share " << share;
    }
  }
}

TEST_P(CostAwareSaves, NeverLessThanLruByMoreThanOnePercent) {
  const auto trace = Generated(GetParam(), 4);
  for (const double share : {0.005, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7}) {
    EXPECT_GE(SavedAgainstLru(trace, share), 0.99) << share;
  }
}

INSTANTIATE_TEST_SUITE_P(, CostAwareSaves,
                         testing::Values(TraceKind::kSteady, TraceKind::kScan, TraceKind::kChurn),
                         [](const auto& info) {
                           return info.param == TraceKind::kSteady ? "steady"
                                  : info.param == TraceKind::kScan ? "scan"
                                                                   : "churn";
                         });

/// What lru is good at.
TEST(CostAwareOnBursts, IsNotWorseThanLruFromTwoPercentOfTheBytesOn) {
  for (const uint64_t seed : {1, 2, 3}) {
    const auto trace = Generated(TraceKind::kBurst, seed);
    for (const double share : {0.02, 0.05, 0.1, 0.2, 0.4}) {
      EXPECT_GE(SavedAgainstLru(trace, share), 0.99) << "seed " << seed << ", share " << share;
    }
  }
}

TEST(SieveAgainstLru, HasAHigherHitRateThanLruAtEqualBytes) {
  for (const TraceKind kind : {TraceKind::kSteady, TraceKind::kScan, TraceKind::kBurst}) {
    const auto trace = Generated(kind, 1);
    for (const double share : {0.01, 0.02, 0.05, 0.1, 0.2}) {
      EXPECT_GT(Run(trace, "sieve", share).hit_rate(), Run(trace, "lru", share).hit_rate())
          << static_cast<int>(kind) << ", share " << share;
    }
  }
}

}  // namespace
}  // namespace vr::capacity
