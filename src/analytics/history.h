// History: what was counted, by minute, hour and day (UTC), each for a bounded time; and the last
// failures. A span in which nothing happened takes no room. Thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "analytics/bucket.h"
#include "analytics/options.h"

namespace vr::analytics {

enum class Level : uint8_t { kMinute, kHour, kDay };
inline constexpr size_t kLevels = 3;
inline constexpr std::array<int64_t, kLevels> kLevelSeconds{60, 3600, 86400};
inline constexpr std::array<std::string_view, kLevels> kLevelNames{"minute", "hour", "day"};

/// Entries of a top list while its span goes on, and of what is kept of it afterwards. Minutes have
/// none.
inline constexpr size_t kTopWhileOpen = 256;
inline constexpr size_t kTopKept = 32;
/// Failures kept: of clients, and of everybody else.
inline constexpr size_t kFailuresKept = 100;

/// What is told of a span that ends now.
struct Summary {
  Level level = Level::kHour;
  int64_t from_s = 0;   ///< begin of the first bucket, which is counted whole
  int64_t until_s = 0;  ///< now
  Bucket total;
  std::vector<Bucket> series;     ///< oldest first, without top lists
  std::vector<Failure> failures;  ///< newest first
};

class History {
 public:
  /// What History may be asked for, hours.
  int64_t max_hours() const { return int64_t{keep_[2]} * 24; }

  explicit History(const Options& options)
      : keep_{kKeepMinutes, options.keep_hours, options.keep_days} {}

  /// @param now_s seconds since 1970
  void Add(const Bucket& delta, int64_t now_s);
  void AddFailure(Failure failure);
  /// Ends spans that are over and forgets what is too old.
  void Roll(int64_t now_s);
  /// @param hours 1 to max_hours(): up to 3 by minute, up to what is kept of them by hour, else by
  /// day.
  Summary Summarise(int64_t hours, int64_t now_s) const;

  // For keeping over restarts.
  const std::deque<Bucket>& buckets(Level level) const {
    return levels_[static_cast<size_t>(level)];
  }
  /// Of a span that is there already, the one that counted more stays.
  void Restore(Level level, Bucket bucket);
  const std::deque<Failure>& failures(bool is_servers) const { return failures_[is_servers]; }
  static int64_t StartOf(Level level, int64_t now_s);
  static bool IsOpen(Level level, const Bucket& bucket, int64_t now_s) {
    return bucket.start_s >= StartOf(level, now_s);
  }

 private:
  /// The bucket of that start, made when it is not there.
  Bucket& At(Level level, int64_t start_s);

  const std::array<uint32_t, kLevels> keep_;
  std::array<std::deque<Bucket>, kLevels> levels_;  ///< by start
  std::array<std::deque<Failure>, 2> failures_;     ///< oldest first; [1]: not the client's
};

}  // namespace vr::analytics
