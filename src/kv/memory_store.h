// MemoryStore: a KvStore that forgets everything with its process. For running without a disk, and
// as the fake that other rooms test with (kv/testing/fake_kv_store.h): it works, and it can be told
// to fail. Bodies live in memory files, so whoever writes or sends them sees no difference. Never
// suspends unless told to. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "kv/kv_store.h"

namespace vr::kv {

class MemoryStore final : public KvStore, private Journal {
 public:
  struct Options {
    uint64_t max_bytes = UINT64_MAX;
    uint64_t inline_threshold = 64 << 10;  ///< bodies up to this size are handed out as memory
  };
  MemoryStore() : MemoryStore(Options()) {}
  explicit MemoryStore(Options options) : options_(options) {}

  /// While one of these is set, the operation says it. `fail_get` covers the listings too,
  /// `fail_commit` whatever else changes something, the journal included.
  struct Failures {
    std::optional<Error> fail_get;
    std::optional<Error> fail_commit;
    std::optional<Error> fail_create;
    /// Awaited before a commit begins: a test's sync point. May be empty.
    std::function<io::Task<void>()> before_commit;
    /// Awaited before a get begins; after it has read.
    std::function<io::Task<void>()> before_get, after_get;
  };
  void Set(const std::function<void(Failures&)>& change) { failures_.With(change); }

  /// Calls so far, failed ones included.
  struct Calls {
    uint64_t gets = 0;
    uint64_t creates = 0;
    uint64_t commits = 0;
    uint64_t touches = 0;
    uint64_t erases = 0;
  };
  Calls calls() const;
  /// Bodies handed out by Create that are neither committed nor dropped.
  int open_bodies() const { return open_bodies_->load(); }

  io::Task<Result<std::unique_ptr<NewBody>>> Create(Context ctx, uint64_t size_hint) override;
  /// @errors also kInvalidArgument, kCorruption (checksum differs)
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

 private:
  io::Task<Result<uint64_t>> Begin(Context ctx, std::string bytes) override;
  io::Task<Result<void>> End(Context ctx, uint64_t id) override;
  io::Task<Result<std::vector<Row>>> Pending(Context ctx) override;
  using Map = std::map<std::string, Found>;
  Result<Page> List(const std::string& from, const std::string& cursor, size_t limit,
                    const std::function<bool(const Map::value_type&)>& wanted) const;

  const Options options_;
  Guarded<Failures> failures_;
  Guarded<Calls> calls_;
  const std::shared_ptr<std::atomic<int>> open_bodies_ = std::make_shared<std::atomic<int>>(0);
  Guarded<Map> entries_;
  /// Gives a key another version and tells of it. @param is_new  nothing was there before
  void Changed(std::string_view key, bool is_new);
  std::atomic<uint64_t> last_version_{0};
  Guarded<std::map<std::string, uint64_t, std::less<>>> versions_;
  std::function<void(std::string_view)> listen_;
  std::atomic<int64_t> newest_ms_{0};
  std::atomic<uint64_t> next_intent_{1};
  Guarded<std::map<uint64_t, std::string>> intents_;
};

}  // namespace vr::kv
