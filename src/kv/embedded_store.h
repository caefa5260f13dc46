// EmbeddedStore: the default KvStore. An index in RocksDB, large bodies as files beside it, every
// key in memory. Layout and promises: docs/formats/store.md.
//
// A miss is answered on the calling loop; everything else runs on the blocking pool's lanes. The
// caller of a destroyed coroutine leaves the work to run to its end; the destructor waits for it.
// Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "io/blocking.h"
#include "io/files.h"
#include "kv/kv_store.h"
#include "kv/memory_index.h"
#include "kv/options.h"
#include "observe/metrics.h"

namespace rocksdb {
class Env;
}

namespace vr::kv {

class EmbeddedCore;
class InFlight;

class EmbeddedStore final : public KvStore, private Journal {
 public:
  /// Opens or makes the store. Blocks (one scan of the index, one listing of the bodies): call it
  /// before the loops start. `blocking`, `metrics`, `files` and `index_env` outlive the store.
  /// @param index_env  the disk under the index, for tests; null: the system's
  /// @errors kUnavailable (directory in use or unusable), kUnsupported (layout of a newer program),
  ///   kPermissionDenied, kResourceExhausted, kCorruption
  static Result<std::unique_ptr<EmbeddedStore>> Create(Options options, io::Blocking& blocking,
                                                       const Clock& clock, Metrics& metrics,
                                                       io::Files& files = io::Files::System(),
                                                       rocksdb::Env* index_env = nullptr);
  /// Waits for work under way, marks the stop as clean, closes. Never on a loop or pool thread.
  ~EmbeddedStore() override;

  /// @errors also kResourceExhausted when max_bytes is reached or the disk has less than its
  /// reserve
  io::Task<Result<std::unique_ptr<NewBody>>> Create(Context ctx, uint64_t size_hint) override;
  /// @errors also kInvalidArgument (entry_codec.h: limits of keys, metadata, tags)
  io::Task<Result<void>> Commit(Context ctx, std::string key, Record record,
                                std::unique_ptr<NewBody> body) override;
  io::Task<Result<std::optional<Found>>> Get(Context ctx, std::string key) override;
  io::Task<Result<bool>> Touch(Context ctx, std::string key, Hash128 body_hash,
                               std::string metadata, int64_t expires_ms) override;
  io::Task<Result<bool>> Erase(Context ctx, std::string key) override;
  io::Task<Result<size_t>> EraseMany(Context ctx, std::vector<std::string> keys) override;
  io::Task<Result<size_t>> ExpireMany(Context ctx, std::vector<std::string> keys,
                                      int64_t at_ms) override;
  io::Task<Result<Page>> ListByPrefix(Context ctx, std::string prefix, std::string cursor,
                                      size_t limit) override;
  io::Task<Result<Page>> ListByTag(Context ctx, std::string tag, std::string cursor,
                                   size_t limit) override;
  io::Task<Result<Page>> ListBySource(Context ctx, std::string source, std::string cursor,
                                      size_t limit) override;
  Usage usage() const override;
  std::optional<uint64_t> Version(std::string_view key) const override;
  bool tells_versions() const override { return true; }
  void OnChange(std::function<void(std::string_view key)> listen) override;
  Journal& journal() override { return *this; }

  /// Removes up to `limit` entries that expired more than `grace` before `now`. Nothing else
  /// removes expired entries: until then they are found (freshness is the cache's decision).
  /// @return their keys
  io::Task<Result<std::vector<std::string>>> ReapExpired(WallTime now,
                                                         std::chrono::milliseconds grace,
                                                         size_t limit);
  /// What the index knows of a key; memory only, never waits.
  std::optional<IndexEntry> Peek(std::string_view key) const;
  /// Blocks until files discarded so far are removed; for tests and orderly shutdown.
  void Settle();

 private:
  EmbeddedStore(std::unique_ptr<EmbeddedCore> core, io::Blocking& blocking, const Clock& clock);
  io::Task<Result<uint64_t>> Begin(Context ctx, std::string bytes) override;
  io::Task<Result<void>> End(Context ctx, uint64_t id) override;
  io::Task<Result<std::vector<Row>>> Pending(Context ctx) override;
  /// Runs f(core) on a lane; keeps the store open until it ends.
  template <class F>
  auto Run(io::Lane lane, F f);

  io::Blocking& blocking_;
  const Clock& clock_;
  std::unique_ptr<EmbeddedCore> core_;
  std::shared_ptr<InFlight> in_flight_;
};

}  // namespace vr::kv
