#include "kv/index_watch.h"

#include <rocksdb/transaction_log.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string_view>

#include "observe/log.h"

namespace vr::kv {

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

void IndexWatch::OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) {
  using Reason = rocksdb::BackgroundErrorReason;
  // Called by the thread whose write failed, before any other write can begin and without
  // RocksDB's mutex.
  if (reason == Reason::kWriteCallback && db_.load(std::memory_order_acquire) != nullptr) {
    const uint64_t log = CurrentLog();
    failed_log_.store(log != 0 ? log : UINT64_MAX, std::memory_order_release);
  }
  // A log that could not be changed for want of room: the memory table is whole, so recovering
  // once there is room loses nothing. RocksDB would refuse until it was opened again.
  const bool is_for_room = error->IsNoSpace() || leaves_log_.load(std::memory_order_acquire);
  if (reason == Reason::kMemTable && is_for_room) {
    *error = rocksdb::Status(*error, rocksdb::Status::kHardError);
  }
  // A compaction is tried again, and stops nothing but for a damaged file.
  if (reason != Reason::kCompaction || error->severity() >= rocksdb::Status::kHardError) {
    set_broken(true);
  }
}

void IndexWatch::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status error,
                                      bool* recovers_itself) {
  // What is less (a compaction without room) stops no write, and RocksDB itself looks for room for
  // the compaction.
  if (error.severity() >= rocksdb::Status::kHardError) *recovers_itself = false;
}

}  // namespace vr::kv
