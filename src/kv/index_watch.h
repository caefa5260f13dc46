// What RocksDB tells about itself: the lines of its log, and which of its write-ahead logs failed.
// Of index_db.cc, beside which nothing but tests knows RocksDB's headers.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/sst_file_manager.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/mutex.h"

namespace vr::kv {

/// RocksDB's warnings and errors, as lines of ours. RocksDB's own log is a file on the store's
/// disk; a RocksDB with assertions (Debian's) ends the process at the second line that it cannot
/// write. At most kLinesAMinute, for on a full disk it tries to compact every second.
class IndexLog final : public rocksdb::Logger {
 public:
  static constexpr int kLinesAMinute = 20;

  IndexLog() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  void Logv(const char*, va_list) override {}
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list args) override;
  void LogHeader(const char*, va_list) override {}

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Minute {
    Time began;
    int lines = 0;
    uint64_t left_out = 0;
  };
  Guarded<Minute> minute_;
};

/// Remembers what failed, and in which write-ahead log, and sees to it that RocksDB recovers by
/// itself from every failure for want of room. Thread-safe.
class IndexWatch final : public rocksdb::EventListener {
 public:
  /// Before the first write. `db` outlives the watch's use.
  void Attach(rocksdb::DB* db) { db_.store(db, std::memory_order_release); }
  /// Whether something failed that RocksDB refuses writes for until it is resumed.
  bool is_broken() const { return is_broken_.load(std::memory_order_acquire); }
  void set_broken(bool is_broken) { is_broken_.store(is_broken, std::memory_order_release); }
  /// Number of the newest log that failed, the highest there is if unknown; 0: none did.
  uint64_t failed_log() const { return failed_log_.load(std::memory_order_acquire); }
  /// Number of the log that the next write goes to; 0: unknown.
  uint64_t CurrentLog() const;
  /// While set, RocksDB's refusal to leave a failed log can be recovered from.
  void set_leaves_log(bool leaves) { leaves_log_.store(leaves, std::memory_order_release); }
  /// Whether there was no room for a new log: a memory table that is full is still written to.
  bool lacks_log() const { return lacks_log_.load(std::memory_order_acquire); }
  void set_lacks_log(bool lacks) { lacks_log_.store(lacks, std::memory_order_release); }
  /// Bytes free on the disk that recovering needs.
  uint64_t needed() const { return needed_.load(std::memory_order_relaxed); }

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;

 private:
  /// Whether so much waits for compactions that writes wait for them too: they have to be refused
  /// when there is no room for any. Not with RocksDB's mutex held.
  bool NeedsCompaction() const;

  std::atomic<rocksdb::DB*> db_{nullptr};
  std::atomic<bool> is_broken_{false};
  std::atomic<uint64_t> failed_log_{0};
  std::atomic<bool> leaves_log_{false};
  std::atomic<bool> lacks_log_{false};
  std::atomic<bool> was_stopped_{false};
  std::atomic<uint64_t> needed_{0};
};

/// Decides when RocksDB recovers from a full disk. It asks ten times a second how much room there
/// is, with a mutex of its own held; `room` is told the bytes that are free and says how many
/// RocksDB is to believe in. 0 means not yet.
std::shared_ptr<rocksdb::SstFileManager> NewRoomKeeper(rocksdb::Env* env,
                                                       std::function<uint64_t(uint64_t free)> room);

}  // namespace vr::kv
