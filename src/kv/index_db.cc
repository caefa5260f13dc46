#include "kv/index_db.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>

#include "kv/index_watch.h"

#if defined(__SANITIZE_THREAD__)
// Debian's RocksDB is not instrumented: TSan sees its memcpy and memcmp but not the atomics that
// order them. Calls made from inside that library are not judged; ours are.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:librocksdb.so\ncalled_from_lib:librocksdb.so.7.8\n";
}
#endif

namespace vr::kv {
namespace {

/// Bytes of the largest memory table.
constexpr uint64_t kLargeTable = 16 << 20;

/// How often we look whether RocksDB has recovered. While we look it cannot begin to.
constexpr std::chrono::milliseconds kLookEvery(20);

constexpr std::array<const char*, kTables> kNames = {"entry",  "inline", "tag",  "source",
                                                     "expiry", "purge",  "stats"};

Error FromStatus(const rocksdb::Status& s, std::string_view what) {
  Code code = Code::kUnavailable;
  // Incomplete: writes wait for a flush or a compaction, which found no room.
  if (s.IsNoSpace() || s.IsIncomplete()) code = Code::kResourceExhausted;
  // It is recovering.
  if (s.IsBusy() || s.IsTryAgain()) code = Code::kResourceExhausted;
  if (s.IsCorruption()) code = Code::kCorruption;
  if (s.IsInvalidArgument() || s.IsNotSupported()) code = Code::kInternal;
  return Error(code, "the store's index failed", std::string(what) + ": " + s.ToString());
}

rocksdb::Slice SliceOf(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
std::string_view ViewOf(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

rocksdb::DBOptions DatabaseOptions() {
  rocksdb::DBOptions o;
  o.create_if_missing = true;
  o.create_missing_column_families = true;
  o.max_background_jobs = 2;
  o.db_write_buffer_size = 48 << 20;  // bounds memory over all tables
  o.max_total_wal_size = 64 << 20;    // bounds replay time at open
  o.max_open_files = 512;
  o.info_log = std::make_shared<IndexLog>();
  // Of what does not go through the log, nothing is of use to the next process (see LeaveLog).
  o.avoid_flush_during_shutdown = true;
  // Or it would recover from other failures than a full disk at once, beside writes.
  o.max_bgerror_resume_count = 0;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  o.bytes_per_sync = 1 << 20;
  return o;
}

rocksdb::ColumnFamilyOptions TableOptions(Table table,
                                          const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions o;
  o.compression = rocksdb::kNoCompression;
  o.bottommost_compression = rocksdb::kNoCompression;
  const bool is_large = table == Table::kEntry || table == Table::kInline;
  o.write_buffer_size = is_large ? kLargeTable : 4 << 20;
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = cache;
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  blocks.format_version = 5;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  return o;
}

}  // namespace

IndexDb::Batch::Batch(IndexDb& db) : db_(db), impl_(std::make_unique<rocksdb::WriteBatch>()) {}
IndexDb::Batch::~Batch() = default;

void IndexDb::Batch::Put(Table table, std::string_view row, std::string_view value) {
  // Fails only for save points and size limits, which we do not use.
  (void)impl_->Put(db_.tables_[static_cast<size_t>(table)], SliceOf(row), SliceOf(value));
}

void IndexDb::Batch::Delete(Table table, std::string_view row) {
  (void)impl_->Delete(db_.tables_[static_cast<size_t>(table)], SliceOf(row));
}

bool IndexDb::Batch::empty() const {
  return impl_->Count() == 0;
}

Result<std::unique_ptr<IndexDb>> IndexDb::Open(const std::string& path, uint64_t cache_bytes,
                                               rocksdb::Env* env) {
  return OpenAs(Access::kReadWrite, path, cache_bytes, env);
}

Result<std::unique_ptr<IndexDb>> IndexDb::OpenReadOnly(const std::string& path,
                                                       uint64_t cache_bytes) {
  return OpenAs(Access::kReadOnly, path, cache_bytes, nullptr);
}

Result<std::unique_ptr<IndexDb>> IndexDb::OpenAs(Access access, const std::string& path,
                                                 uint64_t cache_bytes, rocksdb::Env* env) {
  std::unique_ptr<IndexDb> index(new IndexDb(path));  // outlives what the options call
  auto cache = rocksdb::NewLRUCache(cache_bytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> tables;
  for (size_t i = 0; i < kTables; ++i) {
    tables.emplace_back(kNames[i], TableOptions(static_cast<Table>(i), cache));
  }
  // RocksDB insists on its own table; ours is empty (but see LeaveLog).
  rocksdb::ColumnFamilyOptions unused;
  unused.write_buffer_size = 1 << 20;
  tables.emplace_back(rocksdb::kDefaultColumnFamilyName, unused);
  rocksdb::DBOptions options = DatabaseOptions();
  if (env != nullptr) options.env = env;
  // RocksDB looks into the directory before it makes it, and complains.
  if (access == Access::kReadWrite) (void)options.env->CreateDirIfMissing(path).ok();
  options.listeners.push_back(index->watch_);
  options.sst_file_manager =
      NewRoomKeeper(options.env, [db = index.get()](uint64_t free) { return db->RoomFor(free); });
  rocksdb::DB* db = nullptr;
  const rocksdb::Status s =
      access == Access::kReadWrite
          ? rocksdb::DB::Open(options, path, tables, &index->tables_, &db)
          : rocksdb::DB::OpenForReadOnly(options, path, tables, &index->tables_, &db);
  if (!s.ok()) return FromStatus(s, "open " + path);
  index->db_.reset(db);
  index->watch_->Attach(db);
  return index;
}

IndexDb::IndexDb(std::string path)
    : path_(std::move(path)), watch_(std::make_shared<IndexWatch>()) {}

IndexDb::~IndexDb() {
  if (!db_) return;
  is_closing_.store(true, std::memory_order_relaxed);
  for (rocksdb::ColumnFamilyHandle* table : tables_) (void)db_->DestroyColumnFamilyHandle(table);
  (void)db_->Close();
}

Result<std::optional<std::string>> IndexDb::Get(Table table, std::string_view row) const {
  std::string value;
  const rocksdb::Status s =
      db_->Get(rocksdb::ReadOptions(), tables_[static_cast<size_t>(table)], SliceOf(row), &value);
  if (s.IsNotFound()) return std::optional<std::string>();
  if (!s.ok()) return FromStatus(s, "get");
  return std::optional<std::string>(std::move(value));
}

Result<void> IndexDb::Write(Batch& batch, bool sync) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  for (;;) {
    if (watch_->is_broken()) CHECK_OK(Recover());
    SharedLock lock(gate_);
    // Something failed meanwhile.
    if (watch_->is_broken()) continue;
    const rocksdb::Status s = db_->Write(options, batch.impl_.get());
    if (s.ok()) return {};
    // The watch knows of every failed log; the others are refusals.
    if (s.IsIOError() || s.IsCorruption()) watch_->set_broken(true);
    return FromStatus(s, "write");
  }
}

// RocksDB marks a log in which a write or a sync failed. Touching it again is a breach that its
// assertions end the process for, but its recovering begins a new log only if there is something to
// move out of memory. So: RocksDB begins to recover only when no write is under way (RoomFor), and
// none begins before we have seen another log than the failed one, or made one.
//
// That it recovers by itself, and not when we ask it to, is because of flushes that are waiting for
// their thread when the disk is full: RocksDB forgets them if nobody is recovering at that moment,
// and then Resume() waits for them for ever. By itself it is recovering from the failure on.
Result<void> IndexDb::Recover() {
  Look look = look_.With([](const Look& l) { return l; });
  const auto not_yet = [&] {
    return look.saw ? *look.saw
                    : Error(Code::kResourceExhausted, "the store's disk was full", "recovering");
  };
  if (std::chrono::steady_clock::now() < look.next) return not_yet();
  if (!gate_.try_lock()) return not_yet();
  Result<void> recovered = RecoverAlone();
  gate_.unlock();
  look = Look();
  if (!recovered.ok()) look = {std::chrono::steady_clock::now() + kLookEvery, recovered.error()};
  look_.With([&](Look& l) { l = std::move(look); });
  return recovered;
}

Result<void> IndexDb::RecoverAlone() {
  if (!watch_->is_broken()) return {};
  rocksdb::Status s = is_leaving_log_ ? ResumeLeaving() : Probe();
  if (s.ok() && IsLogFailed()) s = LeaveLog();
  if (!s.ok()) return FromStatus(s, "recover");
  if (IsLogFailed()) {
    return Error(Code::kUnavailable, "the store's index failed", "its log cannot be replaced");
  }
  // Before, so that what fails from now on is not forgotten.
  watch_->set_broken(false);
  if (watch_->lacks_log()) s = FlushAll();
  if (s.ok()) s = Probe();
  if (s.ok() && !watch_->is_broken()) return {};
  watch_->set_broken(true);
  if (s.ok()) s = rocksdb::Status::NoSpace("failed again");
  return FromStatus(s, "recover");
}

uint64_t IndexDb::RoomFor(uint64_t free) {
  // Closing waits for a recovery to end, which ends at once when it begins now.
  if (is_closing_.load(std::memory_order_relaxed)) return UINT64_MAX;
  // A compaction without room stops no writes and damages no log.
  if (!watch_->is_broken()) return free;
  // A try without room would write half a file.
  if (free < watch_->needed()) return 0;
  // Whoever comes after us sees that it is broken. Waiting here could be for ever: RocksDB asks
  // with a mutex held that a failing write may want.
  if (!gate_.try_lock()) return 0;
  gate_.unlock();
  return std::max(free, kLargeTable);  // what RocksDB wants to see
}

rocksdb::Status IndexDb::Probe() {
  // RocksDB tells of its failure before it looks into the batch.
  rocksdb::WriteOptions past_log;
  past_log.disableWAL = true;
  past_log.no_slowdown = true;
  rocksdb::WriteBatch nothing;
  return db_->Write(past_log, &nothing);
}

bool IndexDb::IsLogFailed() const {
  const uint64_t failed = watch_->failed_log();
  return failed != 0 && watch_->CurrentLog() <= failed;
}

rocksdb::Status IndexDb::LeaveLog() {
  // Something to move out of memory, which did not go through the log; no row comes of it.
  rocksdb::WriteOptions past_log;
  past_log.disableWAL = true;
  past_log.no_slowdown = true;  // waiting for a compaction without room would have no end
  rocksdb::ColumnFamilyHandle* const unused = tables_.back();
  // What fails beside Resume() makes it leave the flush that it began, to be forgotten. So nothing
  // else is under way: all there was is flushed, and compactions end here and begin after Resume().
  rocksdb::Status s = db_->PauseBackgroundWork();
  if (!s.ok()) return s;
  s = db_->Delete(past_log, unused, "log");
  if (s.ok()) {
    // RocksDB refuses to leave a failed log, except when it recovers. So this fails (and if it
    // should not: the better), and then there is something to recover from.
    rocksdb::FlushOptions later;
    later.wait = false;
    later.allow_write_stall = true;
    watch_->set_leaves_log(true);
    s = db_->Flush(later, unused);
    watch_->set_leaves_log(false);
    is_leaving_log_ = !s.ok() && !s.IsTryAgain();
  }
  (void)db_->ContinueBackgroundWork();
  return is_leaving_log_ ? ResumeLeaving() : s;
}

rocksdb::Status IndexDb::ResumeLeaving() {
  uint64_t free = 0;
  rocksdb::Status s = Probe();
  if (s.ok()) is_leaving_log_ = false;  // RocksDB had a recovery of its own to make
  if (s.ok()) return s;
  if (db_->GetEnv()->GetFreeSpace(path_, &free).ok() && free < watch_->needed()) {
    return rocksdb::Status::NoSpace();
  }
  watch_->set_leaves_log(true);
  s = db_->Resume();
  watch_->set_leaves_log(false);
  if (s.ok()) is_leaving_log_ = false;
  return s;
}

rocksdb::Status IndexDb::FlushAll() {
  watch_->set_lacks_log(false);
  rocksdb::FlushOptions later;
  later.wait = false;
  later.allow_write_stall = true;
  rocksdb::Status s = db_->Flush(later, tables_);
  if (!s.ok()) watch_->set_lacks_log(true);
  return s;
}

Result<void> IndexDb::SyncLog() {
  // Through the queue of writes, and not by SyncWAL: that would come to the log beside a write, and
  // touch it after the write failed.
  Batch nothing(*this);
  return Write(nothing, true);
}

Result<void> IndexDb::Scan(
    Table table, std::string_view from,
    const std::function<bool(std::string_view row, std::string_view value)>& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(options, tables_[static_cast<size_t>(table)]));
  for (it->Seek(SliceOf(from)); it->Valid(); it->Next()) {
    if (!visit(ViewOf(it->key()), ViewOf(it->value()))) break;
  }
  if (!it->status().ok()) return FromStatus(it->status(), "scan");
  return {};
}

}  // namespace vr::kv
