#include "kv/index_watch.h"

#include <rocksdb/file_system.h>
#include <rocksdb/transaction_log.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "observe/log.h"

namespace vr::kv {
namespace {

/// Free beyond what memory tables hold before recovering from a full disk is tried: their files'
/// filters and blocks, a manifest, a log.
constexpr uint64_t kRoomToRecover = 4 << 20;

/// Whether this is the thread in which RocksDB recovers by itself.
thread_local bool recovers_here = false;

}  // namespace

void IndexLog::Logv(rocksdb::InfoLogLevel level, const char* format, va_list args) {
  if (level < GetInfoLogLevel() || level >= rocksdb::InfoLogLevel::HEADER_LEVEL) return;
  uint64_t left_out = 0;  // before this line
  const bool is_shown = minute_.With([&](Minute& m) {
    const Time now = std::chrono::steady_clock::now();
    if (m.lines == 0 || now - m.began >= std::chrono::minutes(1)) {
      left_out = m.left_out;
      m = Minute{now};
    }
    if (m.lines >= kLinesAMinute) {
      ++m.left_out;
      return false;
    }
    ++m.lines;
    return true;
  });
  if (!is_shown) return;
  std::array<char, 1024> text;
  const int n = std::vsnprintf(text.data(), text.size(), format, args);
  if (n < 0) return;
  std::string_view line(text.data(), std::min<size_t>(n, text.size() - 1));
  while (line.ends_with('\n')) line.remove_suffix(1);
  Log(level == rocksdb::InfoLogLevel::WARN_LEVEL ? LogLevel::kWarn : LogLevel::kError, "kv.rocksdb",
      {{"message", line}, {"left_out", left_out}});
}

uint64_t IndexWatch::CurrentLog() const {
  rocksdb::DB* const db = db_.load(std::memory_order_acquire);
  std::unique_ptr<rocksdb::LogFile> log;
  if (db == nullptr || !db->GetCurrentWalFile(&log).ok() || !log) return 0;
  return log->LogNumber();
}

bool IndexWatch::NeedsCompaction() const {
  rocksdb::DB* const db = db_.load(std::memory_order_acquire);
  if (db == nullptr) return false;
  const auto limit = static_cast<size_t>(db->GetOptions().level0_slowdown_writes_trigger);
  std::vector<rocksdb::ColumnFamilyMetaData> tables;
  db->GetAllColumnFamilyMetaData(&tables);
  return std::ranges::any_of(tables, [&](const rocksdb::ColumnFamilyMetaData& table) {
    return !table.levels.empty() && table.levels[0].files.size() >= limit;
  });
}

void IndexWatch::OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) {
  using Reason = rocksdb::BackgroundErrorReason;
  rocksdb::DB* const db = db_.load(std::memory_order_acquire);
  // Called by the thread whose write failed, before any other write can begin and without
  // RocksDB's mutex.
  if (reason == Reason::kWriteCallback && db != nullptr) {
    const uint64_t log = CurrentLog();
    failed_log_.store(log != 0 ? log : UINT64_MAX, std::memory_order_release);
  }
  if (reason == Reason::kMemTable) {
    // RocksDB takes this for the end, which only opening anew helps against. But the memory table
    // is whole.
    if (leaves_log_.load(std::memory_order_acquire) || (error->IsNoSpace() && recovers_here)) {
      *error = rocksdb::Status(*error, rocksdb::Status::kHardError);
    } else if (error->IsNoSpace()) {
      // And it would not recover by itself. There is no need to: old log and memory table stay.
      *error = rocksdb::Status::OK();
      set_lacks_log(true);
      set_broken(true);
      return;
    }
  }
  // A compaction is tried again, and stops nothing but for a damaged file.
  if (reason == Reason::kCompaction && error->severity() < rocksdb::Status::kHardError) {
    // RocksDB 7.8 never forgets that it stopped writes once, and refuses them for this too from
    // then on, until there is room for the whole compaction.
    if (error->IsNoSpace() && was_stopped_.load(std::memory_order_acquire) && !NeedsCompaction()) {
      *error = rocksdb::Status::OK();
    }
    return;
  }
  was_stopped_.store(true, std::memory_order_release);
  uint64_t held = 0;
  if (db != nullptr) {
    (void)db->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &held);
  }
  needed_.store(held + kRoomToRecover, std::memory_order_relaxed);
  set_broken(true);
}

namespace {

class Room final : public rocksdb::FileSystemWrapper {
 public:
  Room(const std::shared_ptr<rocksdb::FileSystem>& files,
       std::function<uint64_t(uint64_t free)> room)
      : FileSystemWrapper(files), room_(std::move(room)) {}
  const char* Name() const override { return "IndexRoom"; }
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* free, rocksdb::IODebugContext* dbg) override {
    recovers_here = true;
    rocksdb::IOStatus s = target()->GetFreeSpace(path, options, free, dbg);
    if (s.ok()) *free = room_(*free);
    return s;
  }

 private:
  const std::function<uint64_t(uint64_t free)> room_;
};

/// RocksDB 7.8 waits five seconds between two looks, until a moment that it takes from its clock.
/// This clock is late by all but a tenth of a second of that.
class LateClock final : public rocksdb::EnvWrapper {
 public:
  using EnvWrapper::EnvWrapper;
  uint64_t NowMicros() override { return target()->NowMicros() - 4'900'000; }
};

struct RoomKeeper {
  std::unique_ptr<LateClock> clock;
  std::unique_ptr<rocksdb::SstFileManager> files;
};

}  // namespace

std::shared_ptr<rocksdb::SstFileManager> NewRoomKeeper(
    rocksdb::Env* env, std::function<uint64_t(uint64_t free)> room) {
  auto keeper = std::make_shared<RoomKeeper>();
  keeper->clock = std::make_unique<LateClock>(env);
  auto files = std::make_shared<Room>(env->GetFileSystem(), std::move(room));
  // Without a log: what it would say at every look is that the disk is full.
  keeper->files.reset(
      rocksdb::NewSstFileManager(keeper->clock.get(), std::move(files), /*info_log=*/nullptr));
  return {keeper, keeper->files.get()};
}

}  // namespace vr::kv
