// EmbeddedCore: the embedded store as plain blocking functions; EmbeddedStore puts them on pool
// threads.
//
// Invariants: a body belongs to the store exactly when a row of `entry` names its id; rows of one
// key change in one batch, under that key's stripe; the memory index is changed after the batch,
// before the stripe is let go; a file is removed after the batch that forgot it. Thread-safe. Lock
// order: stripe, then everything else.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "kv/body_files.h"
#include "kv/entry_codec.h"
#include "kv/entry_rows.h"
#include "kv/index_db.h"
#include "kv/kv_store.h"
#include "kv/memory_index.h"
#include "kv/options.h"
#include "observe/metrics.h"

namespace vr::kv {

/// A body being written: a file under its final id, or memory for those expected to be small.
class EmbeddedBody final : public NewBody {
 public:
  EmbeddedBody(std::shared_ptr<BodyFiles> files, BodyFiles::Created created)
      : files_(std::move(files)), id_(created.id), file_(std::move(created.file)) {}
  /// In memory.
  EmbeddedBody(std::shared_ptr<BodyFiles> files, SharedFd memory)
      : files_(std::move(files)), file_(std::move(memory)) {}
  ~EmbeddedBody() override {
    if (id_ != 0) files_->Discard(id_);
  }

  const SharedFd& file() const override { return file_; }
  /// 0: not (or no longer) a file of ours.
  uint64_t id() const { return id_; }
  /// The file belongs to the store from here on.
  void Release() { id_ = 0; }

 private:
  const std::shared_ptr<BodyFiles> files_;
  uint64_t id_ = 0;
  const SharedFd file_;
};

/// What the memory index keeps of an entry.
IndexEntry ToIndex(const StoredEntry& entry);

class EmbeddedCore {
 public:
  static Result<std::unique_ptr<EmbeddedCore>> Open(const Options& options, io::Blocking& blocking,
                                                    Metrics& metrics, io::Files& files,
                                                    rocksdb::Env* index_env);
  /// Writes the mark of a clean stop and closes. Nobody may be inside any more.
  ~EmbeddedCore();

  Result<std::unique_ptr<NewBody>> Create(uint64_t size_hint);
  Result<void> Commit(const std::string& key, const Record& record, EmbeddedBody& body);
  Result<std::optional<Found>> Get(const std::string& key);
  Result<bool> Touch(const std::string& key, const Hash128& body_hash, const std::string& metadata,
                     int64_t expires_ms);
  Result<bool> Erase(const std::string& key);
  Result<size_t> EraseMany(const std::vector<std::string>& keys);
  Result<size_t> ExpireMany(const std::vector<std::string>& keys, int64_t at_ms);
  Result<Page> ListByPrefix(const std::string& prefix, const std::string& cursor, size_t limit);
  /// @param table kTag or kSource
  Result<Page> ListByName(Table table, const std::string& name, const std::string& cursor,
                          size_t limit);
  Result<std::vector<std::string>> ReapExpired(int64_t before_ms, size_t limit);
  Result<uint64_t> BeginIntent(const std::string& bytes);
  Result<void> EndIntent(uint64_t id);
  Result<std::vector<Journal::Row>> PendingIntents() const;

  const std::shared_ptr<MemoryIndex>& index() const { return index_; }
  BodyFiles& bodies() { return *bodies_; }
  int64_t newest_ms() const { return newest_ms_.load(std::memory_order_relaxed); }

 private:
  struct Lost {
    Counter orphan, missing, wrong_size, checksum, version, damaged, expired;
  };
  enum class Why { kMissing, kWrongSize, kChecksum, kDamaged };

  EmbeddedCore(const Options& options, Metrics& metrics, io::Files& files);
  Result<void> OpenAll(io::Blocking& blocking, rocksdb::Env* index_env);
  /// Starts a new run: sets the epochs, takes the mark of a clean stop away. @return whether it was
  /// there
  Result<bool> BeginRun();
  Result<void> LoadIndex();
  /// Rows without a file go, files without a row go.
  Result<void> Reconcile(bool was_clean);

  Result<std::optional<Found>> ReadInline(const std::string& key, StoredEntry entry, bool& retry);
  Result<std::optional<Found>> ReadFile(const std::string& key, StoredEntry entry, bool& retry);
  /// Yes to `verify_on_read` of each hundred calls, evenly spread.
  bool IsSampled();
  void MarkVerified(const std::string& key, uint64_t body_id);
  /// @return false when `key` has another body by now.
  bool DropIfCurrent(const std::string& key, uint64_t body_id, Why why);
  Result<void> EraseRow(const std::string& key, const std::string& row);
  /// Keys that one stripe guards, none twice.
  struct Group {
    size_t stripe = 0;
    std::vector<std::string> keys;
  };
  /// @param files  gets the bodies that are garbage now
  Result<size_t> EraseGroup(const Group& group, std::vector<uint64_t>& files);
  std::vector<Group> ByStripe(const std::vector<std::string>& keys) const;
  void NoteCreated(int64_t created_ms);
  void DiscardBodyOf(const std::string& row);
  Counter& CounterOf(Why why);
  static const char* NameOf(Why why);
  size_t StripeNumber(std::string_view key) const { return Hash64Of(key) % stripes_.size(); }
  Mutex& StripeOf(std::string_view key) { return stripes_[StripeNumber(key)]; }
  bool syncs_log() const { return options_.durability == Durability::kFull; }

  const Options options_;
  io::Files& files_;
  Lost lost_;
  Counter verified_;
  UniqueFd lock_;
  std::unique_ptr<IndexDb> db_;
  std::shared_ptr<BodyFiles> bodies_;
  const std::shared_ptr<MemoryIndex> index_ = std::make_shared<MemoryIndex>();
  uint32_t epoch_ = 0;          ///< of this run
  uint32_t suspect_epoch_ = 0;  ///< bodies of epochs up to this one are verified when first read
  bool is_open_ = false;
  std::atomic<int64_t> newest_ms_{0};
  std::atomic<uint64_t> next_intent_{1};
  std::atomic<uint64_t> file_reads_{0};
  std::array<Mutex, 256> stripes_;
};

}  // namespace vr::kv
