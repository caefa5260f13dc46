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
  if (reason == Reason::kMemTable && leaves_log_.load(std::memory_order_acquire)) {
    *error = rocksdb::Status(*error, rocksdb::Status::kHardError);
  }
  // A compaction is tried again, and stops nothing but for a damaged file.
  if (reason != Reason::kCompaction || error->severity() >= rocksdb::Status::kHardError) {
    set_broken(true);
  }
}

namespace {

class Room final : public rocksdb::FileSystemWrapper {
 public:
  Room(const std::shared_ptr<rocksdb::FileSystem>& files, std::function<bool()> may_recover)
      : FileSystemWrapper(files), may_recover_(std::move(may_recover)) {}
  const char* Name() const override { return "IndexRoom"; }
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* free, rocksdb::IODebugContext* dbg) override {
    rocksdb::IOStatus s = target()->GetFreeSpace(path, options, free, dbg);
    if (!may_recover_()) *free = 0;
    return s;
  }

 private:
  const std::function<bool()> may_recover_;
};

}  // namespace

std::shared_ptr<rocksdb::SstFileManager> NewRoomKeeper(rocksdb::Env* env,
                                                       std::shared_ptr<rocksdb::Logger> log,
                                                       std::function<bool()> may_recover) {
  auto room = std::make_shared<Room>(env->GetFileSystem(), std::move(may_recover));
  return std::shared_ptr<rocksdb::SstFileManager>(
      rocksdb::NewSstFileManager(env, std::move(room), std::move(log)));
}

}  // namespace vr::kv
