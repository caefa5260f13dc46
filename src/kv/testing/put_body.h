// What tests of a store say again and again: some bytes, their record, a commit in one line, a body
// read back.
#pragma once

#include <string>
#include <utility>

#include "io/files.h"
#include "io/testing/run_sync.h"
#include "kv/kv_store.h"

namespace vr::kv::testing {

/// Deterministic bytes that differ with `seed`.
inline std::string BytesFor(uint64_t size, uint64_t seed = 1) {
  std::string out(size, '\0');
  uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (char& c : out) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x);
  }
  return out;
}

inline Record RecordFor(const std::string& body, std::string metadata = "meta") {
  Record record;
  record.metadata = std::move(metadata);
  record.source = "videos/a.mp4";
  record.tags = {"video-mode-video"};
  record.created_ms = 1'700'000'000'000;
  record.expires_ms = 1'700'000'600'000;
  record.digest = {1, 2};
  record.body_size = body.size();
  record.body_hash = HashOf(body);
  return record;
}

inline std::string ReadBody(const Body& body) {
  if (body.memory) return *body.memory;
  Result<std::string> bytes = io::ReadAt(body.file->get(), 0, body.size);
  return bytes.ok() ? *bytes : "unreadable: " + bytes.error().ToLogString();
}

/// Creates, writes and commits; the store's calls in a straight line.
inline Result<void> PutBody(KvStore& store, const std::string& key, const std::string& body,
                            Record record, uint64_t size_hint) {
  TRY(std::unique_ptr<NewBody> fresh, io::testing::RunSync(store.Create(Context(), size_hint)));
  CHECK_OK(io::Files::System().WriteAt(fresh->file()->get(), body, 0));
  return io::testing::RunSync(store.Commit(Context(), key, std::move(record), std::move(fresh)));
}

}  // namespace vr::kv::testing
