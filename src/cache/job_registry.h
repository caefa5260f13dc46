// JobRegistry: finds jobs by their id. Those whose production goes on are always in it; those that
// have ended stay for a bounded time, and only so many.
//
// It lives in memory: a production dies with its process, and after a restart the same request
// makes another. Thread-safe.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/job.h"
#include "cache/options.h"
#include "cache/production.h"

namespace vr::cache {

/// One row of a listing.
struct JobRow {
  Job::Names names;
  Job::View view;
  Interest interest = Interest::kUnattended;
  size_t waiters = 0;
  double seconds = 0;  ///< from its beginning to its end, or until now
};

class JobRegistry {
 public:
  JobRegistry(JobOptions options, const Clock& clock) : options_(options), clock_(clock) {}

  /// Makes the job of `production`, with an id of its own. `names.id` is filled in.
  JobRef Open(Job::Names names, const ProductionRef& production);
  /// Its production is over, and its state final.
  void Close(const JobRef& job);

  /// Null: there is none of that id, or it ended too long ago.
  JobRef Find(std::string_view id);
  /// The production of a job that has not been closed yet, or null.
  ProductionRef ProductionOf(std::string_view id);
  /// All of them, the oldest first.
  std::vector<JobRow> List();

  /// Remembers that whoever was promised this one has to be told why it failed: one that has failed
  /// or is about to.
  void RememberFailure(const JobRef& job);
  std::shared_ptr<const Error> FailureOf(std::string_view flight);
  void ForgetFailures();

  /// Wakes everybody who waits for a change of any job.
  void WakeAll();

 private:
  struct Slot {
    JobRef job;
    std::weak_ptr<Production> production;
  };
  void DropOld() REQUIRES(mutex_);
  int64_t NowMs() const { return ToUnixMillis(clock_.Now()); }

  const JobOptions options_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, Slot> slots_ GUARDED_BY(mutex_);
  std::deque<JobRef> ended_ GUARDED_BY(mutex_);                          ///< in order of their end
  std::unordered_map<std::string, JobRef> failures_ GUARDED_BY(mutex_);  ///< by flight
};

}  // namespace vr::cache
