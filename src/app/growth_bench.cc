// What one lookup costs, and how many bytes an entry, as a layer grows: the edge, the index of keys
// in memory, the store. For the section `growth` of `make bench`; prints one line of JSON.
//
//   vr_growth_bench edge ROUNDS COUNT...        hits and misses of cache::Edge, 1 KiB bodies
//   vr_growth_bench evict ROUNDS COUNT...       inserts into an edge that is full
//   vr_growth_bench index ROUNDS COUNT...       hits and misses of kv::MemoryIndex
//   vr_growth_bench store DIR ROUNDS COUNT...   EmbeddedStore::Get, 1 KiB bodies, hop included
//
// One instance for each count, all there at once, measured in turns: what disturbs the machine
// disturbs all. Keys are drawn at random and made before the clock starts. Nanoseconds are CPU
// time; of the store that of all threads.
#include <malloc.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/bench_entries.h"
#include "cache/edge.h"
#include "kv/memory_index.h"
#include "kv/testing/put_body.h"
#include "observe/log.h"

namespace vr::app {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kBodyBytes = 1'024;
constexpr size_t kHeadBytes = 700;
constexpr double kTurnSeconds = 0.1;

/// Proportional set size of this process, bytes.
double PssBytes() {
  ::malloc_trim(0);
  std::ifstream in("/proc/self/smaps_rollup");
  for (std::string word; in >> word;) {
    if (word == "Pss:") {
      double kib = 0;
      in >> kib;
      return kib * 1024;
    }
  }
  Die("/proc/self/smaps_rollup has no Pss");
}

class Random {
 public:
  uint64_t Below(uint64_t end) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state_ >> 20) % end;
  }

 private:
  uint64_t state_ = 42;
};

struct Point {
  uint64_t entries = 0;
  double bytes_per_entry = 0, charge_per_entry = 0;
  std::map<std::string, std::vector<double>> ns;

  Json ToJson() const {
    Json j = {{"entries", entries},
              {"bytes_per_entry", bytes_per_entry},
              {"charge_per_entry", charge_per_entry}};
    for (const auto& [what, values] : ns) j["ns"][what] = values;
    return j;
  }
};

using Keys = std::vector<std::string>;

/// @param prepare() makes what `run` takes, outside the clock @return CPU ns of one of `each`
template <class Prepare, class Run>
double Turn(clockid_t clock, size_t each, const Prepare& prepare, const Run& run) {
  double seconds = 0;
  uint64_t n = 0;
  while (seconds < kTurnSeconds) {
    const auto batch = prepare();
    const double begin = CpuSeconds(clock);
    run(batch);
    seconds += CpuSeconds(clock) - begin;
    n += each;
  }
  return seconds / static_cast<double>(n) * 1e9;
}

Keys RandomKeys(Random& random, size_t each, uint64_t from, uint64_t count) {
  Keys keys;
  for (size_t i = 0; i < each; ++i) keys.push_back(BenchKey(from + random.Below(count)));
  return keys;
}

std::shared_ptr<cache::Entity> MakeEntity(uint64_t i, const Hash128& hash) {
  auto entity = std::make_shared<cache::Entity>();
  entity->key = BenchKey(i);
  entity->meta = BenchMetadata(i, kBodyBytes, hash, 1'700'000'000'000);
  entity->memory = std::make_shared<const std::string>(kBodyBytes, 'b');
  entity->head = std::make_shared<const std::string>(kHeadBytes, 'h');
  return entity;
}

/// Measures every point in each round, every other round backwards.
template <class Measure>
Json InTurns(std::vector<Point>& points, int rounds, const Measure& measure) {
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < points.size(); ++i) {
      const size_t at = round % 2 == 0 ? i : points.size() - 1 - i;
      measure(points[at], at);
    }
  }
  Json out = Json::array();
  for (const Point& p : points) out.push_back(p.ToJson());
  return out;
}

constexpr size_t kBatch = 1'024;

Json GrowEdge(const std::vector<uint64_t>& counts, int rounds) {
  const Hash128 hash = HashOf("body");
  std::vector<std::unique_ptr<cache::Edge>> edges;
  std::vector<Point> points;
  for (const uint64_t count : counts) {
    const double before = PssBytes();
    edges.push_back(std::make_unique<cache::Edge>(cache::EdgeOptions{.max_bytes = 1ull << 40}));
    for (uint64_t i = 0; i < count; ++i) edges.back()->Insert(MakeEntity(i, hash));
    const auto n = static_cast<double>(count);
    points.push_back({.entries = count,
                      .bytes_per_entry = (PssBytes() - before) / n,
                      .charge_per_entry = static_cast<double>(edges.back()->bytes()) / n,
                      .ns = {}});
  }
  Random random;
  uint64_t touched = 0;
  Json found = InTurns(points, rounds, [&](Point& p, size_t at) {
    cache::Edge& edge = *edges[at];
    for (const bool hit : {true, false}) {
      const auto run = [&](const Keys& keys) {
        for (const std::string& key : keys) {
          const auto entity = edge.Find(key);
          if ((entity != nullptr) != hit) Die("the edge does not hold what it should");
          // As an answer does: its lines and its body are looked at.
          if (entity)
            touched += static_cast<uint64_t>(entity->head->front() + entity->memory->front());
        }
      };
      p.ns[hit ? "hit" : "miss"].push_back(Turn(
          CLOCK_THREAD_CPUTIME_ID, kBatch,
          [&] { return RandomKeys(random, kBatch, hit ? 0 : p.entries, p.entries); }, run));
    }
  });
  if (touched == 0) Die("nothing was found");
  return found;
}

/// Inserts into an edge that is full: each evicts one, and one of eight has been asked for since.
Json GrowEvict(const std::vector<uint64_t>& counts, int rounds) {
  const Hash128 hash = HashOf("body");
  std::vector<std::unique_ptr<cache::Edge>> edges;
  std::vector<Point> points;
  std::vector<uint64_t> next;
  for (const uint64_t count : counts) {
    const uint64_t charge = cache::ChargeOf(*MakeEntity(count, hash));
    edges.push_back(std::make_unique<cache::Edge>(cache::EdgeOptions{.max_bytes = count * charge}));
    for (uint64_t i = 0; i < count; ++i) edges.back()->Insert(MakeEntity(i, hash));
    points.push_back({.entries = count, .ns = {}});
    next.push_back(count);
  }
  Random random;
  return InTurns(points, rounds, [&](Point& p, size_t at) {
    cache::Edge& edge = *edges[at];
    constexpr size_t kEach = 256;
    const auto prepare = [&] {
      std::vector<std::shared_ptr<cache::Entity>> fresh;
      for (size_t i = 0; i < kEach; ++i) fresh.push_back(MakeEntity(next[at]++, hash));
      for (size_t i = 0; i < kEach / 8; ++i) {
        edge.Find(BenchKey(next[at] - kEach - 1 - random.Below(p.entries)));
      }
      return fresh;
    };
    const uint64_t before = edge.evictions();
    const auto run = [&](const std::vector<std::shared_ptr<cache::Entity>>& fresh) {
      for (const auto& entity : fresh) {
        if (!edge.Insert(entity)) Die("not kept");
      }
    };
    p.ns["insert and evict"].push_back(Turn(CLOCK_THREAD_CPUTIME_ID, kEach, prepare, run));
    if (edge.evictions() == before) Die("nothing was evicted");
  });
}

Json GrowIndex(const std::vector<uint64_t>& counts, int rounds) {
  std::vector<std::unique_ptr<kv::MemoryIndex>> indexes;
  std::vector<Point> points;
  for (const uint64_t count : counts) {
    const double before = PssBytes();
    indexes.push_back(std::make_unique<kv::MemoryIndex>());
    for (uint64_t i = 0; i < count; ++i) {
      kv::IndexEntry entry;
      entry.body_id = i;
      entry.body_size = kBodyBytes;
      indexes.back()->Put(BenchKey(i), entry);
    }
    points.push_back({.entries = count,
                      .bytes_per_entry = (PssBytes() - before) / static_cast<double>(count),
                      .ns = {}});
  }
  Random random;
  return InTurns(points, rounds, [&](Point& p, size_t at) {
    const kv::MemoryIndex& index = *indexes[at];
    for (const bool hit : {true, false}) {
      const auto run = [&](const Keys& keys) {
        for (const std::string& key : keys) {
          if (index.Find(key).has_value() != hit) Die("the index does not hold what it should");
        }
      };
      p.ns[hit ? "hit" : "miss"].push_back(Turn(
          CLOCK_THREAD_CPUTIME_ID, kBatch,
          [&] { return RandomKeys(random, kBatch, hit ? 0 : p.entries, p.entries); }, run));
    }
  });
}

io::Task<uint64_t> GetAll(kv::EmbeddedStore& store, const Keys& keys) {
  uint64_t found = 0;
  for (const std::string& key : keys) {
    auto got = co_await store.Get(Context(), key);
    if (!got.ok()) Die(got.error().ToLogString());
    found += *got ? 1 : 0;
  }
  co_return found;
}

Json GrowStore(const std::string& dir, const std::vector<uint64_t>& counts, int rounds) {
  const std::string body = kv::testing::BytesFor(kBodyBytes);
  const Hash128 hash = HashOf(body);
  const int64_t now_ms = ToUnixMillis(SystemClock::Get().Now());
  const auto path = [&dir](uint64_t count) { return dir + "/" + std::to_string(count); };
  for (const uint64_t count : counts) {
    BenchStore rig(path(count), kv::Durability::kNone);
    for (uint64_t i = 0; i < count; ++i) {
      kv::Record record = BenchRecord(BenchMetadata(i, kBodyBytes, hash, now_ms));
      Check(kv::testing::PutBody(*rig.store, BenchKey(i), body, std::move(record), kBodyBytes));
    }
  }
  std::vector<std::unique_ptr<BenchStore>> stores;
  std::vector<Point> points;
  for (const uint64_t count : counts) {  // as after a start: memory is what opening takes
    const double before = PssBytes();
    stores.push_back(std::make_unique<BenchStore>(path(count), kv::Durability::kNone));
    if (stores.back()->store->usage().entries != count) Die("entries are missing");
    points.push_back({.entries = count,
                      .bytes_per_entry = (PssBytes() - before) / static_cast<double>(count),
                      .ns = {}});
  }
  Random random;
  return InTurns(points, rounds, [&](Point& p, size_t at) {
    constexpr size_t kEach = 128;
    for (const bool hit : {true, false}) {
      const auto run = [&](const Keys& keys) {
        auto all = GetAll(*stores[at]->store, keys);
        if (io::testing::RunSync(std::move(all)) != (hit ? keys.size() : 0)) Die("not as stored");
      };
      p.ns[hit ? "hit" : "miss"].push_back(Turn(
          CLOCK_PROCESS_CPUTIME_ID, kEach,
          [&] { return RandomKeys(random, kEach, hit ? 0 : p.entries, p.entries); }, run));
    }
  });
}

int Main(int argc, char** argv) {
  InitLog(LogOptions{.level = LogLevel::kWarn});
  const std::string what = argc > 1 ? argv[1] : "";
  const int first = what == "store" ? 3 : 2;
  if (argc < first + 2) Die("usage: vr_growth_bench edge|evict|index|store [DIR] ROUNDS COUNT...");
  const int rounds = std::stoi(argv[first]);
  std::vector<uint64_t> counts;
  for (int i = first + 1; i < argc; ++i) counts.push_back(std::stoull(argv[i]));
  Json found;
  if (what == "edge") {
    found = GrowEdge(counts, rounds);
  } else if (what == "evict") {
    found = GrowEvict(counts, rounds);
  } else if (what == "index") {
    found = GrowIndex(counts, rounds);
  } else if (what == "store") {
    found = GrowStore(argv[2], counts, rounds);
  } else {
    Die("no such layer: " + what);
  }
  std::printf("%s\n", found.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace vr::app

int main(int argc, char** argv) {
  return vr::app::Main(argc, argv);
}
