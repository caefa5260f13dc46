// IndexDb: the part of RocksDB that the embedded store uses: tables, point reads, ordered scans,
// and batches that become visible as one. RocksDB's own headers stay in index_db.cc and
// index_watch.h. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Env;
class Status;
class WriteBatch;
}  // namespace rocksdb

namespace vr::kv {

class IndexWatch;

/// One column family each; the names are part of the format (docs/formats/store.md §3).
enum class Table { kEntry, kInline, kTag, kSource, kExpiry, kPurge, kStats };
inline constexpr size_t kTables = 7;

class IndexDb {
 public:
  /// Changes that become visible together. Later changes of a row win. Thread-compatible.
  class Batch {
   public:
    explicit Batch(IndexDb& db);
    ~Batch();
    void Put(Table table, std::string_view row, std::string_view value);
    void Delete(Table table, std::string_view row);
    bool empty() const;

   private:
    friend class IndexDb;
    IndexDb& db_;
    std::unique_ptr<rocksdb::WriteBatch> impl_;
  };

  /// @param env  the disk RocksDB works on, for tests; null: the system's. Outlives the index.
  /// @errors kUnavailable (device, locked by another process), kCorruption, kUnsupported (unknown
  /// tables)
  static Result<std::unique_ptr<IndexDb>> Open(const std::string& path, uint64_t cache_bytes,
                                               rocksdb::Env* env = nullptr);
  /// Of what is there, without changing anything; Write() fails. The same errors.
  static Result<std::unique_ptr<IndexDb>> OpenReadOnly(const std::string& path,
                                                       uint64_t cache_bytes);
  ~IndexDb();

  Result<std::optional<std::string>> Get(Table table, std::string_view row) const;
  /// @param sync wait until the log is on disk
  /// @errors kResourceExhausted (disk full), kUnavailable, kCorruption. After a full disk all are
  /// refused, without waiting, until there is room and RocksDB, which looks ten times a second, has
  /// recovered; reads go on.
  Result<void> Write(Batch& batch, bool sync);
  /// Waits until everything written so far is on disk. Errors as Write.
  Result<void> SyncLog();
  /// Visits rows in order of their bytes, beginning with the first not less than `from`, on one
  /// consistent view, until `visit` returns false. The views passed live during the call only.
  Result<void> Scan(
      Table table, std::string_view from,
      const std::function<bool(std::string_view row, std::string_view value)>& visit) const;

 private:
  enum class Access { kReadWrite, kReadOnly };
  explicit IndexDb(std::string path);
  static Result<std::unique_ptr<IndexDb>> OpenAs(Access access, const std::string& path,
                                                 uint64_t cache_bytes, rocksdb::Env* env);

  /// Makes writing possible again after a failure, when RocksDB has done its part. Does not wait
  /// for that.
  Result<void> Recover() EXCLUDES(gate_);
  Result<void> RecoverAlone() REQUIRES(gate_);
  /// How much of the free bytes RocksDB may know of: it recovers when that is enough.
  uint64_t RoomFor(uint64_t free) EXCLUDES(gate_);
  /// Whether RocksDB takes writes.
  rocksdb::Status Probe() REQUIRES(gate_);
  /// Whether the next write would go to a log that failed.
  bool IsLogFailed() const;
  /// Makes RocksDB begin a new log when it has nothing in memory. Nobody may be writing.
  rocksdb::Status LeaveLog() REQUIRES(gate_);
  rocksdb::Status ResumeLeaving() REQUIRES(gate_);
  /// Moves full memory tables out of memory that there was no new log for.
  rocksdb::Status FlushAll() REQUIRES(gate_);

  const std::string path_;
  const std::shared_ptr<IndexWatch> watch_;
  SharedMutex gate_;  ///< shared: writes; alone: recovering
  bool is_leaving_log_ GUARDED_BY(gate_) = false;
  struct Look {
    std::chrono::steady_clock::time_point next;
    std::optional<Error> saw;  ///< the last, if it was not good
  };
  Guarded<Look> look_;
  std::atomic<bool> is_closing_{false};
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> tables_;
};

}  // namespace vr::kv
