// What the programs of `make bench` share: a store that has no limits, and entries as productions
// make them. Header only, like the testing headers.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "cache/entity.h"
#include "io/testing/run_sync.h"
#include "kv/embedded_store.h"

namespace vr::app {

[[noreturn]] inline void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}
inline void Check(const Result<void>& done) {
  if (!done.ok()) Die(done.error().ToLogString());
}

/// An open store without limits.
struct BenchStore {
  BenchStore(const std::string& dir, kv::Durability durability) {
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

inline std::string BenchKey(uint64_t i) {
  return "video:bench/" + std::to_string(i / 10) + ".mp4:w=" + std::to_string(100 + i % 10);
}

/// Entry i: a variant of source bench/<i / 10>.mp4 with the tags of a real one, and `tenth-<i %
/// 10>`.
inline cache::Metadata BenchMetadata(uint64_t i, uint64_t body_bytes, const Hash128& hash,
                                     int64_t now_ms) {
  const std::string source = "bench/" + std::to_string(i / 10) + ".mp4";
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
  meta.plan_digest = HashOf(source + std::to_string(100 + i % 10));
  meta.body_hash = hash;
  meta.encode_seconds = 1.5;
  return meta;
}

inline kv::Record BenchRecord(const cache::Metadata& meta) {
  kv::Record record;
  record.metadata = meta.ToJson();
  record.tags = meta.cache_tags;
  record.source = meta.source_path;
  record.created_ms = meta.created_at_ms;
  record.expires_ms = meta.expires_at_ms;
  record.digest = meta.plan_digest;
  record.body_size = meta.content_length;
  record.body_hash = meta.body_hash;
  return record;
}

/// CPU seconds of the calling thread (CLOCK_THREAD_CPUTIME_ID) or of the process.
inline double CpuSeconds(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

}  // namespace vr::app
