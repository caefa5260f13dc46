// What `make bench-store` needs from inside: a store of any size in seconds, and commits measured
// one by one against plain files. Prints JSON; tools/bench_store runs it and writes the report.
//
//   vr_store_bench fill DIR ENTRIES BODY_BYTES          entries with sparse bodies, each a file
//   vr_store_bench commit DIR BODY_BYTES PER_ROUND ROUNDS   contestants alternate within a round
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

#include "base/hash.h"
#include "cache/entity.h"
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

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}
void Check(const Result<void>& done) {
  if (!done.ok()) Die(done.error().ToLogString());
}

struct Store {
  Store(const std::string& dir, kv::Durability durability) {
    kv::Options options;
    options.data_dir = dir;
    options.durability = durability;
    options.max_bytes = uint64_t{1} << 50;
    options.min_free_bytes = 1;
    auto made = kv::EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
    if (!made.ok()) Die(made.error().ToLogString());
    store = std::move(*made);
  }
  Metrics metrics;
  io::Blocking blocking;
  std::unique_ptr<kv::EmbeddedStore> store;
};

/// The hash of that many zeros.
Hash128 HashOfZeros(uint64_t bytes) {
  const std::string piece(1 << 20, '\0');
  Hasher hasher;
  for (uint64_t left = bytes; left > 0; left -= std::min<uint64_t>(left, piece.size())) {
    hasher.Update(std::string_view(piece).substr(0, left));
  }
  return hasher.Finish();
}

/// Entry i: a variant of source videos/<i / 10>.mp4 with the tags of a real one, and `tenth-<i %
/// 10>`.
void Fill(const std::string& dir, uint64_t entries, uint64_t body_bytes) {
  Store rig(dir, kv::Durability::kNone);
  const Hash128 hash = HashOfZeros(body_bytes);
  const int64_t now_ms = ToUnixMillis(SystemClock::Get().Now());
  const auto start = Clock::now();
  for (uint64_t i = 0; i < entries; ++i) {
    const std::string source = "bench/" + std::to_string(i / 10) + ".mp4";
    const std::string width = std::to_string(100 + i % 10);
    cache::Metadata meta;
    meta.source_path = source;
    meta.width = 100 + static_cast<uint32_t>(i % 10);
    meta.format = "mp4";
    meta.cache_tags = {"video-" + source, "video-format-mp4", "video-mode-video",
                       "tenth-" + std::to_string(i % 10)};
    meta.content_type = "video/mp4";
    meta.content_length = body_bytes;
    meta.created_at_ms = now_ms;
    meta.expires_at_ms = now_ms + 86'400'000;
    meta.etag = '"' + hash.ToHex() + '"';
    meta.origin = "bench";
    meta.source_type = "file";
    meta.source_validator = "\"5f3e-18c2a4\"";
    meta.plan_digest = HashOf(source + width);
    meta.body_hash = hash;
    meta.encode_seconds = 1.5;
    kv::Record record;
    record.metadata = meta.ToJson();
    record.tags = meta.cache_tags;
    record.source = source;
    record.created_ms = meta.created_at_ms;
    record.expires_ms = meta.expires_at_ms;
    record.digest = meta.plan_digest;
    record.body_size = body_bytes;
    record.body_hash = hash;
    auto body = io::testing::RunSync(rig.store->Create(Context(), body_bytes));
    if (!body.ok()) Die(body.error().ToLogString());
    if (::ftruncate((*body)->file()->get(), static_cast<off_t>(body_bytes)) != 0) Die("ftruncate");
    Check(io::testing::RunSync(rig.store->Commit(Context(), "video:" + source + ":w=" + width,
                                                 std::move(record), std::move(*body))));
  }
  Json j;
  j["entries"] = entries;
  j["seconds"] = MsSince(start) / 1000;
  std::printf("%s\n", j.dump().c_str());
}

/// The least that keeps bytes over a power cut: a new file, its bytes, fsync.
void PlainFile(const std::string& path, const std::string& body, bool sync) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) Die("open " + path);
  Check(io::Files::System().WriteAt(fd.get(), body, 0));
  if (sync && ::fsync(fd.get()) != 0) Die("fsync");
}

void Commit(const std::string& dir, uint64_t bytes, int per_round, int rounds) {
  fs::create_directories(dir + "/plain");
  std::map<std::string, std::unique_ptr<Store>> stores;
  const std::vector<std::pair<std::string, kv::Durability>> durabilities = {
      {"none", kv::Durability::kNone},
      {"body", kv::Durability::kBody},
      {"full", kv::Durability::kFull}};
  for (const auto& [name, durability] : durabilities) {
    stores[name] = std::make_unique<Store>(dir + "/" + name, durability);
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

int Main(int argc, char** argv) {
  InitLog(LogOptions{.level = LogLevel::kWarn});
  const std::string what = argc > 2 ? argv[1] : "";
  if (what == "fill" && argc == 5) {
    Fill(argv[2], std::stoull(argv[3]), std::stoull(argv[4]));
  } else if (what == "commit" && argc == 6) {
    Commit(argv[2], std::stoull(argv[3]), std::stoi(argv[4]), std::stoi(argv[5]));
  } else {
    Die("usage: vr_store_bench fill DIR ENTRIES BODY_BYTES | commit DIR BODY_BYTES PER_ROUND "
        "ROUNDS");
  }
  return 0;
}

}  // namespace
}  // namespace vr::app

int main(int argc, char** argv) {
  return vr::app::Main(argc, argv);
}
