// Analytics: what was asked, answered, spent and saved, by minute, hour and day, kept over
// restarts.
//
// Requests tell the Recorder; a thread of its own takes that over every second, and writes it down
// every `interval`. Nothing here can fail a request or a start: files that cannot be read are left
// out with a log line, files that cannot be written cost a log line. Thread-safe.
#pragma once

#include <array>
#include <condition_variable>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "analytics/codec.h"
#include "analytics/history.h"
#include "analytics/options.h"
#include "analytics/recorder.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "io/files.h"
#include "observe/metrics.h"

namespace vr::analytics {

class Analytics {
 public:
  /// Blocks: reads what a former run has left in `options.dir`, which is made when missing.
  Analytics(Options options, const Clock& clock, Metrics& metrics,
            io::Files& files = io::Files::System());
  /// Saves. Nobody records any more.
  ~Analytics();
  Analytics(const Analytics&) = delete;
  Analytics& operator=(const Analytics&) = delete;

  Recorder& recorder() { return recorder_; }

  /// Starts the thread.
  void Start();
  /// What the thread does every second; for tests.
  void Tick();
  /// Takes over what is recorded and writes everything down. Blocks.
  void Save();

  int64_t max_hours() const { return int64_t{options_.keep_days} * 24; }
  /// Of the last `hours`, everything included that ended before. Takes milliseconds: not on a loop.
  Summary Summarise(int64_t hours);

 private:
  /// Which part of the history a file holds.
  enum class File : uint8_t { kOpen, kMinutes, kHours };
  static constexpr size_t kFiles = 3;

  std::string PathOf(File file) const;
  void Load();
  void TakeOver() REQUIRES(mutex_);
  std::string Encode(File file, int64_t now_s) const REQUIRES(mutex_);
  void WriteDue(bool is_last);
  bool Write(File file, const std::string& bytes) REQUIRES(write_mutex_);
  void Run();
  int64_t NowSeconds() const { return ToUnixMillis(clock_.Now()) / 1000; }

  const Options options_;
  const Clock& clock_;
  io::Files& files_;
  Recorder recorder_;
  std::vector<Counter> outcomes_;  ///< by Outcome
  Counter worker_seconds_;         ///< the pool's own: CPU time of ended workers
  Counter write_failed_;
  Gauge file_bytes_;

  struct Written {
    int64_t period = -1;  ///< of the wall clock, that it was written in
    uint64_t hash = 0;
    uint64_t bytes = 0;
  };
  Mutex write_mutex_;  ///< before mutex_
  std::array<Written, kFiles> written_ GUARDED_BY(write_mutex_);
  bool has_failed_ GUARDED_BY(write_mutex_) = false;
  SteadyTime next_save_ GUARDED_BY(write_mutex_);

  Mutex mutex_;
  History history_ GUARDED_BY(mutex_);
  double workers_seen_ GUARDED_BY(mutex_) = 0;

  Mutex stop_mutex_;
  std::condition_variable_any stop_;
  bool is_stopping_ GUARDED_BY(stop_mutex_) = false;
  std::thread thread_;
};

}  // namespace vr::analytics
