// What a policy's bookkeeping costs per call with 10^3 to 10^6 entries, and per entry in memory.
// `cmake --build build/release --target bench_policy`, then build/release/bin/bench_policy.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <memory>
#include <random>
#include <vector>

#include "capacity/eviction_policy.h"

namespace vr::capacity {
namespace {

constexpr uint64_t kBytes = 500'000;

uint64_t IdOf(uint64_t n) {
  return (n + 1) * 0x9e3779b97f4a7c15;
}

Item ItemOf(uint64_t n) {
  return {IdOf(n), kBytes + n % 1000, 0.1 + static_cast<double>(n % 97)};
}

PolicyOptions OptionsFor(uint64_t entries) {
  PolicyOptions options;
  options.max_bytes = entries * kBytes;
  options.expected_entries = entries;
  return options;
}

std::unique_ptr<EvictionPolicy> Filled(std::string_view name, uint64_t entries) {
  auto policy = std::move(*MakePolicy(name, OptionsFor(entries)));
  for (uint64_t n = 0; n < entries; ++n) policy->Insert(ItemOf(n), static_cast<int64_t>(n));
  return policy;
}

/// Ids to ask for, all over the store: what is asked for next is in no CPU cache.
std::vector<uint64_t> RandomIds(uint64_t entries) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> ids(1 << 20);
  for (uint64_t& id : ids) id = IdOf(random() % entries);
  return ids;
}

void Hit(benchmark::State& state, const char* name) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  const auto policy = Filled(name, entries);
  const std::vector<uint64_t> ids = RandomIds(entries);
  int64_t now = static_cast<int64_t>(entries);
  size_t n = 0;
  for (auto _ : state) policy->Hit(ids[n++ & (ids.size() - 1)], ++now);
}

/// A miss in a full store: asked, admitted, one evicted, one stored. Hits go on meanwhile, so that
/// the heap has something to sort in anew.
void MissAndStore(benchmark::State& state, const char* name) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  const auto policy = Filled(name, entries);
  const std::vector<uint64_t> ids = RandomIds(entries);
  int64_t now = static_cast<int64_t>(entries);
  uint64_t next = entries;
  size_t n = 0;
  for (auto _ : state) {
    for (int hits = 0; hits < 10; ++hits) policy->Hit(ids[n++ & (ids.size() - 1)], ++now);
    const Item item = ItemOf(next++);
    policy->Miss(item.id, ++now);
    benchmark::DoNotOptimize(policy->Admit(item, now));
    benchmark::DoNotOptimize(policy->Evict(now));
    policy->Insert(item, now);
  }
}

/// One eviction after everything was hit since the last: the longest call there is.
void EvictAfterHits(benchmark::State& state, const char* name) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  const auto policy = Filled(name, entries);
  for (uint64_t n = 0; n < entries; ++n) policy->Hit(IdOf(n), static_cast<int64_t>(entries));
  for (auto _ : state) benchmark::DoNotOptimize(policy->Evict(static_cast<int64_t>(entries)));
}

void SaveAndLoad(benchmark::State& state, const char* name) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  const auto policy = Filled(name, entries);
  size_t bytes = 0;
  for (auto _ : state) {
    const std::string saved = policy->Save();
    bytes = saved.size();
    if (!policy->Load(saved).ok()) state.SkipWithError("the state was not taken");
  }
  state.counters["bytes/entry"] = static_cast<double>(bytes) / static_cast<double>(entries);
}

/// With as many ghosts as a full store has after it has turned over.
void Memory(benchmark::State& state, const char* name) {
  const auto entries = static_cast<uint64_t>(state.range(0));
  double per_entry = 0;
  for (auto _ : state) {
    const auto used = [] {
      const auto info = mallinfo2();
      return info.uordblks + info.hblkhd;
    };
    const size_t before = used();
    const auto policy = Filled(name, entries);
    for (uint64_t n = entries; n < 4 * entries; ++n) {
      policy->Evict(static_cast<int64_t>(n));
      policy->Insert(ItemOf(n), static_cast<int64_t>(n));
    }
    per_entry = static_cast<double>(used() - before) / static_cast<double>(entries);
  }
  state.counters["bytes/entry"] = per_entry;
}

BENCHMARK_CAPTURE(Hit, lru, "lru")->Arg(1000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(Hit, s3_fifo, "s3-fifo")->Arg(1000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(Hit, cost_aware, "cost-aware")->Arg(1000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(MissAndStore, lru, "lru")->Arg(1000)->Arg(1'000'000);
BENCHMARK_CAPTURE(MissAndStore, s3_fifo, "s3-fifo")->Arg(1000)->Arg(1'000'000);
BENCHMARK_CAPTURE(MissAndStore, cost_aware, "cost-aware")->Arg(1000)->Arg(1'000'000);
BENCHMARK_CAPTURE(EvictAfterHits, s3_fifo, "s3-fifo")->Arg(1'000'000)->Iterations(1);
BENCHMARK_CAPTURE(EvictAfterHits, cost_aware, "cost-aware")->Arg(1'000'000)->Iterations(1);
BENCHMARK_CAPTURE(SaveAndLoad, lru, "lru")->Arg(1'000'000)->Iterations(3);
BENCHMARK_CAPTURE(SaveAndLoad, s3_fifo, "s3-fifo")->Arg(1'000'000)->Iterations(3);
BENCHMARK_CAPTURE(SaveAndLoad, cost_aware, "cost-aware")->Arg(1'000'000)->Iterations(3);
BENCHMARK_CAPTURE(Memory, lru, "lru")->Arg(1'000'000)->Iterations(1);
BENCHMARK_CAPTURE(Memory, s3_fifo, "s3-fifo")->Arg(1'000'000)->Iterations(1);
BENCHMARK_CAPTURE(Memory, cost_aware, "cost-aware")->Arg(1'000'000)->Iterations(1);

}  // namespace
}  // namespace vr::capacity
