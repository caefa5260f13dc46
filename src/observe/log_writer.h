// The background thread of the log: gathers lines of all threads and writes them in large steps.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "base/mutex.h"

namespace vr {

/// Writes lines to a descriptor from a thread of its own, up to `delay` after they came, so that a
/// request costs neither a system call nor a wake-up. Add() never waits for the descriptor: what
/// does not fit while it is blocked is dropped, counted, and told of in a line of its own.
/// Thread-safe.
class LogWriter {
 public:
  struct Limits {
    std::chrono::milliseconds delay{50};  ///< from the first line of a batch to its write
    size_t batch_bytes = 256 * 1024;      ///< written before the delay is over
    size_t pending_bytes = 4 << 20;       ///< dropped beyond this
  };

  /// @param fd        borrowed, for as long as the writer lives
  /// @param describe  the line that tells how many lines were lost
  LogWriter(int fd, Limits limits, std::string (*describe)(uint64_t lines));
  /// Writes out what is there, however long the descriptor takes.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// @param line    without line feed
  /// @param urgent  written at once, with everything in front of it
  void Add(std::string_view line, bool urgent);
  /// Waits until what was added before is written.
  /// @return false when `most` passes first
  bool Flush(std::chrono::milliseconds most);
  uint64_t dropped() const;

 private:
  void Run();
  void Write(std::string_view bytes) const;
  /// Adds a line when some were lost since the last one.
  void ReportDropped() REQUIRES(mutex_);

  const int fd_;
  const Limits limits_;
  std::string (*const describe_)(uint64_t lines);
  mutable Mutex mutex_;
  std::condition_variable_any has_work_;
  std::condition_variable_any is_written_;
  std::string pending_ GUARDED_BY(mutex_);
  bool is_urgent_ GUARDED_BY(mutex_) = false;
  bool is_ending_ GUARDED_BY(mutex_) = false;
  uint64_t added_ GUARDED_BY(mutex_) = 0;    ///< bytes, since the beginning
  uint64_t written_ GUARDED_BY(mutex_) = 0;  ///< bytes of those
  uint64_t dropped_ GUARDED_BY(mutex_) = 0;  ///< lines
  uint64_t reported_ GUARDED_BY(mutex_) = 0;
  std::thread thread_;  ///< last: it uses the others
};

}  // namespace vr
