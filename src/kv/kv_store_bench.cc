// What a hit and a miss cost. The directory is made under the working directory (not /tmp, which
// may be memory). Commits, starts and purges: `make bench-store`. Numbers of record:
// docs/formats/store.md §6.
#include <benchmark/benchmark.h>
#include <fcntl.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "io/testing/run_sync.h"
#include "kv/embedded_store.h"
#include "kv/testing/put_body.h"
#include "observe/log.h"

namespace vr::kv {
namespace {

struct Rig {
  explicit Rig(Durability durability) {
    InitLog(LogOptions{.level = LogLevel::kOff});
    std::string name = "kv-bench-XXXXXX";
    Options options;
    dir = ::mkdtemp(name.data());
    options.data_dir = dir;
    options.durability = durability;
    auto made = EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
    if (!made.ok()) std::abort();
    store = std::move(*made);
  }
  ~Rig() {
    store.reset();
    std::filesystem::remove_all(dir);
  }
  std::string dir;
  Metrics metrics;
  io::Blocking blocking;
  std::unique_ptr<EmbeddedStore> store;
};

/// Metadata and an open descriptor (or the small body), the thread hop included.
void BM_GetHit(benchmark::State& state) {
  Rig rig(Durability::kNone);
  const std::string body = testing::BytesFor(static_cast<uint64_t>(state.range(0)));
  if (!testing::PutBody(*rig.store, "k", body, testing::RecordFor(body, std::string(1'500, 'm')), 0)
           .ok()) {
    std::abort();
  }
  const auto hits = [&]() -> io::Task<int64_t> {
    int64_t n = 0;
    while (state.KeepRunning()) {
      auto found = co_await rig.store->Get(Context(), "k");
      n += found.ok() && *found ? 1 : 0;
    }
    co_return n;
  };
  auto task = hits();
  if (io::testing::RunSync(std::move(task)) != state.iterations()) std::abort();
}
BENCHMARK(BM_GetHit)->ArgName("bytes")->Arg(10'000)->Arg(20 << 20)->UseRealTime()->Unit(
    benchmark::kMicrosecond);

void BM_GetMiss(benchmark::State& state) {
  Rig rig(Durability::kNone);
  const auto misses = [&]() -> io::Task<bool> {
    bool found_any = false;
    while (state.KeepRunning()) {
      auto found = co_await rig.store->Get(Context(), "k");
      found_any = found_any || !found.ok() || found->has_value();
    }
    co_return found_any;
  };
  auto task = misses();
  if (io::testing::RunSync(std::move(task))) std::abort();
}
BENCHMARK(BM_GetMiss)->UseRealTime()->Unit(benchmark::kNanosecond);

}  // namespace
}  // namespace vr::kv

BENCHMARK_MAIN();
