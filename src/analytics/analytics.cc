#include "analytics/analytics.h"

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.h"
#include "observe/log.h"

namespace vr::analytics {

namespace {

constexpr std::chrono::seconds kTick{1};
constexpr std::array<const char*, 3> kFileNames{"open", "minutes", "hours"};
/// Nothing of ours is larger; something else in its place is not read into memory.
constexpr uint64_t kMaxFileBytes = 256ull << 20;

Result<std::string> ReadWhole(io::Files& files, const std::string& path) {
  TRY(const UniqueFd fd, files.Open(path, O_RDONLY));
  TRY(const uint64_t size, io::SizeOf(fd.get()));
  if (size > kMaxFileBytes) return Error(Code::kCorruption, "the file is too large");
  return io::ReadAt(fd.get(), 0, size);
}

}  // namespace

Analytics::Analytics(Options options, const Clock& clock, Metrics& metrics, io::Files& files)
    : options_(std::move(options)),
      clock_(clock),
      files_(files),
      worker_seconds_(
          metrics.GetCounter("video_resizer_encode_seconds_total", "CPU seconds of ended workers")),
      write_failed_(metrics.GetCounter("video_resizer_analytics_write_errors_total",
                                       "Attempts to save analytics that failed")),
      file_bytes_(metrics.GetGauge("video_resizer_analytics_file_bytes",
                                   "Size of the files that keep analytics")),
      history_(options_) {
  for (const std::string_view name : kOutcomeNames) {
    outcomes_.push_back(metrics.GetCounter("video_resizer_outcomes_total",
                                           "Requests by how they were answered, each once; the "
                                           "media requests are the sum of edge, kv, "
                                           "stale, joined, miss and bypass",
                                           {{"outcome", std::string(name)}}));
  }
  Load();
  MutexLock lock(mutex_);
  workers_seen_ = worker_seconds_.value();
}

Analytics::~Analytics() {
  if (thread_.joinable()) {
    {
      MutexLock lock(stop_mutex_);
      is_stopping_ = true;
    }
    stop_.notify_all();
    thread_.join();
  }
  Save();
}

std::string Analytics::PathOf(File file) const {
  return options_.dir + "/" + kFileNames[static_cast<size_t>(file)];
}

void Analytics::Load() {
  if (const Result<void> made = io::MakeDirectory(options_.dir); !made.ok()) {
    LogWarn("analytics_no_directory", {{"error", made.error().ToLogString()}});
    return;
  }
  const int64_t now_s = NowSeconds();
  MutexLock write_lock(write_mutex_);
  MutexLock lock(mutex_);
  for (const File file : {File::kHours, File::kMinutes, File::kOpen}) {
    Result<std::string> bytes = ReadWhole(files_, PathOf(file));
    if (!bytes.ok() && bytes.error().code == Code::kNotFound) continue;
    Result<Kept> kept = bytes.ok() ? DecodeFile(*bytes) : Result<Kept>(bytes.error());
    if (!kept.ok()) {
      // Statistics: better to begin anew than not to begin.
      LogWarn("analytics_not_loaded",
              {{"file", PathOf(file)}, {"error", kept.error().ToLogString()}});
      continue;
    }
    // Written again only when something has changed since.
    written_[static_cast<size_t>(file)] = Written{-1, Hash64Of(*bytes), bytes->size()};
    for (Kept::Row& row : kept->rows) history_.Restore(row.level, std::move(row.bucket));
    for (Failure& failure : kept->failures) history_.AddFailure(std::move(failure));
  }
  history_.Roll(now_s);
}

void Analytics::TakeOver() {
  Bucket delta(Recorder::kSlots * 2);
  std::vector<Failure> failures;
  recorder_.Drain(delta, failures);
  const double workers = worker_seconds_.value();
  delta.making.worker_micros =
      static_cast<uint64_t>(std::llround(std::max(0.0, workers - workers_seen_) * 1e6));
  workers_seen_ = workers;
  for (size_t i = 0; i < kOutcomes; ++i) {
    const uint64_t requests = delta.at(i).tally.requests;
    if (requests > 0) outcomes_[i].Add(static_cast<double>(requests));
  }
  history_.Add(delta, NowSeconds());
  for (Failure& failure : failures) history_.AddFailure(std::move(failure));
}

std::string Analytics::Encode(File file, int64_t now_s) const {
  Kept kept;
  const auto take = [&](Level level, bool is_open) {
    for (const Bucket& bucket : history_.buckets(level)) {
      if (History::IsOpen(level, bucket, now_s) == is_open) kept.rows.push_back({level, bucket});
    }
  };
  switch (file) {
    case File::kOpen:
      for (const Level level : {Level::kMinute, Level::kHour, Level::kDay}) take(level, true);
      for (const bool is_servers : {false, true}) {
        const auto& failures = history_.failures(is_servers);
        kept.failures.insert(kept.failures.end(), failures.begin(), failures.end());
      }
      break;
    case File::kMinutes:
      take(Level::kMinute, false);
      break;
    case File::kHours:
      take(Level::kHour, false);
      take(Level::kDay, false);
      break;
  }
  return EncodeFile(kept);
}

bool Analytics::Write(File file, const std::string& bytes) {
  const std::string path = PathOf(file);
  const std::string next = path + ".new";
  const auto write = [&]() -> Result<void> {
    TRY(const UniqueFd fd, files_.Open(next, O_WRONLY | O_CREAT | O_TRUNC));
    CHECK_OK(files_.WriteAt(fd.get(), bytes, 0));
    CHECK_OK(files_.Sync(fd.get()));
    return files_.Rename(next, path);
  };
  const Result<void> done = write();
  if (!done.ok()) {
    write_failed_.Add();
    // The same line every few seconds helps nobody.
    if (!has_failed_) {
      LogWarn("analytics_not_saved", {{"file", path}, {"error", done.error().ToLogString()}});
    }
  }
  has_failed_ = !done.ok();
  return done.ok();
}

void Analytics::WriteDue(bool is_last) {
  MutexLock write_lock(write_mutex_);
  const SteadyTime now = clock_.SteadyNow();
  if (!is_last && now < next_save_) return;
  next_save_ = now + options_.interval;
  const int64_t now_s = NowSeconds();
  // What has ended goes first: a kill in between leaves a span in two files, never in none.
  for (const File file : {File::kHours, File::kMinutes, File::kOpen}) {
    const auto i = static_cast<size_t>(file);
    const int64_t period = file == File::kHours     ? History::StartOf(Level::kHour, now_s)
                           : file == File::kMinutes ? History::StartOf(Level::kMinute, now_s)
                                                    : now_s;
    if (file != File::kOpen && period == written_[i].period) continue;
    std::string bytes;
    {
      MutexLock lock(mutex_);
      bytes = Encode(file, now_s);
    }
    const uint64_t hash = Hash64Of(bytes);
    if (hash != written_[i].hash && !Write(file, bytes)) continue;
    written_[i] = Written{period, hash, bytes.size()};
  }
  uint64_t bytes = 0;
  for (const Written& file : written_) bytes += file.bytes;
  file_bytes_.Set(static_cast<double>(bytes));
}

void Analytics::Tick() {
  {
    MutexLock lock(mutex_);
    TakeOver();
  }
  WriteDue(false);
}

void Analytics::Save() {
  {
    MutexLock lock(mutex_);
    TakeOver();
  }
  WriteDue(true);
}

Summary Analytics::Summarise(int64_t hours) {
  MutexLock lock(mutex_);
  TakeOver();
  return history_.Summarise(hours, NowSeconds());
}

void Analytics::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Analytics::Run() {
  MutexLock lock(stop_mutex_);
  while (!is_stopping_) {
    stop_.wait_for(stop_mutex_, kTick);
    if (is_stopping_) return;
    stop_mutex_.unlock();
    try {
      Tick();
    } catch (const std::exception& failure) {
      LogWarn("analytics_failed", {{"error", failure.what()}});
    }
    stop_mutex_.lock();
  }
}

}  // namespace vr::analytics
