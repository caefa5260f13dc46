// What `make bench-store` needs from inside: a store of any size in seconds, and commits measured
// one by one against plain files. Prints JSON; tools/bench_store runs it and writes the report.
//
//   vr_store_bench fill DIR ENTRIES BODY_BYTES          entries with sparse bodies, each a file
//   vr_store_bench commit DIR BODY_BYTES PER_ROUND ROUNDS   contestants alternate within a round
//   vr_store_bench read DIR BODY_BYTES RANGE_BYTES PER_ROUND ROUNDS   ranges at random places
//   vr_store_bench reap DIR ENTRIES BODY_BYTES          entries that have expired are removed
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/bench_entries.h"
#include "base/hash.h"
#include "io/testing/run_sync.h"
#include "kv/embedded_store.h"
#include "kv/testing/put_body.h"
#include "observe/log.h"

namespace vr::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// The hash of that many zeros.
Hash128 HashOfZeros(uint64_t bytes) {
  const std::string piece(1 << 20, '\0');
  Hasher hasher;
  for (uint64_t left = bytes; left > 0; left -= std::min<uint64_t>(left, piece.size())) {
    hasher.Update(std::string_view(piece).substr(0, left));
  }
  return hasher.Finish();
}

/// @param age_ms how long ago the entries were made; they live for a day
double FillStore(BenchStore& rig, uint64_t entries, uint64_t body_bytes, int64_t age_ms) {
  const Hash128 hash = HashOfZeros(body_bytes);
  const int64_t now_ms = ToUnixMillis(SystemClock::Get().Now()) - age_ms;
  const auto start = Clock::now();
  for (uint64_t i = 0; i < entries; ++i) {
    auto body = io::testing::RunSync(rig.store->Create(Context(), body_bytes));
    if (!body.ok()) Die(body.error().ToLogString());
    if (::ftruncate((*body)->file()->get(), static_cast<off_t>(body_bytes)) != 0) Die("ftruncate");
    kv::Record record = BenchRecord(BenchMetadata(i, body_bytes, hash, now_ms));
    Check(io::testing::RunSync(
        rig.store->Commit(Context(), BenchKey(i), std::move(record), std::move(*body))));
  }
  return MsSince(start) / 1000;
}

void Fill(const std::string& dir, uint64_t entries, uint64_t body_bytes) {
  BenchStore rig(dir, kv::Durability::kNone);
  Json j;
  j["entries"] = entries;
  j["seconds"] = FillStore(rig, entries, body_bytes, 0);
  std::printf("%s\n", j.dump().c_str());
}

/// Entries that expired a day ago go, a thousand in one call.
void Reap(const std::string& dir, uint64_t entries, uint64_t body_bytes) {
  BenchStore rig(dir, kv::Durability::kBody);
  FillStore(rig, entries, body_bytes, 2 * 86'400'000);
  const double cpu = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
  const auto start = Clock::now();
  uint64_t removed = 0;
  while (rig.store->usage().entries > 0) {
    auto some = io::testing::RunSync(
        rig.store->ReapExpired(SystemClock::Get().Now(), std::chrono::milliseconds(0), 1'000));
    if (!some.ok()) Die(some.error().ToLogString());
    if (some->empty()) Die("entries stay that have expired");
    removed += some->size();
  }
  rig.store->Settle();
  Json j;
  j["entries"] = removed;
  j["seconds"] = MsSince(start) / 1000;
  j["cpu_seconds"] = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  std::printf("%s\n", j.dump().c_str());
}

/// The least that keeps bytes over a power cut: a new file, its bytes, fsync.
void PlainFile(const std::string& path, const std::string& body, bool sync) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) Die("open " + path);
  Check(io::Files::System().WriteAt(fd.get(), body, 0));
  if (sync && ::fsync(fd.get()) != 0) Die("fsync");
}

/// Percentiles and MB/s of each contestant, as JSON.
void PrintTimes(std::map<std::string, std::vector<double>>& times, uint64_t bytes) {
  Json j;
  for (auto& [who, all] : times) {
    double sum = 0;
    for (const double ms : all) sum += ms;
    std::sort(all.begin(), all.end());
    const auto at = [&all = all](double q) {
      return all[std::min(all.size() - 1,
                          static_cast<size_t>(q * static_cast<double>(all.size())))];
    };
    j[who] = {
        {"n", all.size()},
        {"p50_ms", at(0.5)},
        {"p99_ms", at(0.99)},
        {"mb_per_s", static_cast<double>(bytes) * static_cast<double>(all.size()) / 1e3 / sum}};
  }
  std::printf("%s\n", j.dump().c_str());
}

void Commit(const std::string& dir, uint64_t bytes, int per_round, int rounds) {
  fs::create_directories(dir + "/plain");
  std::map<std::string, std::unique_ptr<BenchStore>> stores;
  const std::vector<std::pair<std::string, kv::Durability>> durabilities = {
      {"none", kv::Durability::kNone},
      {"body", kv::Durability::kBody},
      {"full", kv::Durability::kFull}};
  for (const auto& [name, durability] : durabilities) {
    stores[name] = std::make_unique<BenchStore>(dir + "/" + name, durability);
  }
  const std::string body = kv::testing::BytesFor(bytes);
  std::map<std::string, std::vector<double>> times;
  std::map<std::string, uint64_t> counters;
  constexpr uint64_t kKeys = 32;  // then entries are replaced
  for (int round = 0; round < rounds; ++round) {
    const auto measure = [&](const std::string& who, const auto& once) {
      for (int i = 0; i < per_round; ++i) {
        const uint64_t n = counters[who]++;
        const auto start = Clock::now();
        once(n);
        times[who].push_back(MsSince(start));
      }
    };
    for (const bool sync : {false, true}) {
      const std::string who = sync ? "plain file, fsync" : "plain file";
      const std::string path = dir + "/plain/" + (sync ? "s" : "n");
      measure(who, [&](uint64_t n) { PlainFile(path + std::to_string(n), body, sync); });
      // As many stay as a store keeps; as there, removing is not part of the time.
      for (uint64_t n = counters[who]; n-- > 0;) {
        if (n + kKeys < counters[who] && !fs::remove(path + std::to_string(n))) break;
      }
    }
    for (const auto& [name, durability] : durabilities) {
      measure(name, [&, &name = name](uint64_t n) {
        const std::string key = "video:clip.mp4:w=" + std::to_string(n % kKeys);
        // As a production does: bytes into the body, their hash, the commit.
        kv::Record record = kv::testing::RecordFor(body, std::string(1'500, 'm'));
        Check(kv::testing::PutBody(*stores[name]->store, key, body, std::move(record), bytes));
      });
    }
  }
  PrintTimes(times, bytes);
}

/// `bytes` at a random place of a stored body of `body_bytes`, against open, pread and close of a
/// plain file with the same bytes.
void Read(const std::string& dir, uint64_t body_bytes, uint64_t bytes, int per_round, int rounds) {
  fs::create_directories(dir);
  constexpr uint64_t kBodies = 8;
  BenchStore rig(dir + "/store", kv::Durability::kNone);
  const std::string body = kv::testing::BytesFor(body_bytes);
  const auto plain = [&dir](uint64_t i) { return dir + "/plain" + std::to_string(i); };
  for (uint64_t i = 0; i < kBodies; ++i) {
    kv::Record record = kv::testing::RecordFor(body, std::string(1'500, 'm'));
    Check(kv::testing::PutBody(*rig.store, BenchKey(i), body, std::move(record), body_bytes));
    PlainFile(plain(i), body, false);
  }
  std::map<std::string, std::vector<double>> times;
  uint64_t place = 1;
  const auto next = [&place](uint64_t below) {
    place = place * 6364136223846793005ULL + 1442695040888963407ULL;
    return (place >> 33) % below;
  };
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < per_round; ++i) {
      const uint64_t which = next(kBodies);
      const uint64_t offset = next(body_bytes - bytes + 1);
      auto start = Clock::now();
      auto found = io::testing::RunSync(rig.store->Get(Context(), BenchKey(which)));
      if (!found.ok() || !*found) Die("an entry is gone");
      const kv::Body& stored = (*found)->body;
      if (stored.memory) {
        if (stored.memory->substr(offset, bytes).size() != bytes) Die("short");
      } else if (auto got = io::ReadAt(stored.file->get(), offset, bytes); !got.ok()) {
        Die(got.error().ToLogString());
      }
      times["store"].push_back(MsSince(start));
      start = Clock::now();
      const UniqueFd fd(::open(plain(which).c_str(), O_RDONLY | O_CLOEXEC));
      if (auto got = io::ReadAt(fd.get(), offset, bytes); !got.ok()) {
        Die(got.error().ToLogString());
      }
      times["plain file"].push_back(MsSince(start));
    }
  }
  PrintTimes(times, bytes);
}

int Main(int argc, char** argv) {
  InitLog(LogOptions{.level = LogLevel::kWarn});
  const std::string what = argc > 2 ? argv[1] : "";
  if (what == "fill" && argc == 5) {
    Fill(argv[2], std::stoull(argv[3]), std::stoull(argv[4]));
  } else if (what == "commit" && argc == 6) {
    Commit(argv[2], std::stoull(argv[3]), std::stoi(argv[4]), std::stoi(argv[5]));
  } else if (what == "read" && argc == 7) {
    Read(argv[2], std::stoull(argv[3]), std::stoull(argv[4]), std::stoi(argv[5]),
         std::stoi(argv[6]));
  } else if (what == "reap" && argc == 5) {
    Reap(argv[2], std::stoull(argv[3]), std::stoull(argv[4]));
  } else {
    Die("usage: vr_store_bench fill DIR ENTRIES BODY_BYTES | commit DIR BODY_BYTES PER_ROUND "
        "ROUNDS | read DIR BODY_BYTES RANGE_BYTES PER_ROUND ROUNDS | reap DIR ENTRIES BODY_BYTES");
  }
  return 0;
}

}  // namespace
}  // namespace vr::app

int main(int argc, char** argv) {
  return vr::app::Main(argc, argv);
}
