// Job: what can be told of one production to those who do not wait for it: where it stands, how far
// it is, how it ended. Made when the production begins to make something; outlives it for a while,
// so that pollers see the end (cache/job_registry.h).
//
// Its percent never goes back, and once it has ended nothing changes any more. Thread-safe; held by
// shared_ptr.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/mutex.h"
#include "io/notifier.h"

namespace vr::cache {

/// Who wants a production at this moment.
enum class Interest {
  kWaiting,     ///< somebody waits for it or reads it
  kUnattended,  ///< somebody did, or was promised it (202), and is not here now
  kPrewarm,     ///< nobody ever did: a refresh behind older readers
};
std::string_view ToString(Interest interest);

enum class JobState { kQueued, kTranscoding, kStoring, kComplete, kFailed, kCancelled };
/// "queued", "transcoding", ...
std::string_view ToString(JobState state);

class Job {
 public:
  struct Names {
    std::string id;      ///< 32 random hex digits: who was not told it cannot guess it
    std::string key;     ///< of the variant
    std::string flight;  ///< key, plan and store together: what a production is joined by
    std::string origin;
    std::string target;  ///< path and query of the request that began it
  };
  struct View {
    JobState state = JobState::kQueued;
    uint32_t percent = 0;  ///< 100 exactly when complete
    /// Of the whole production, wall time; 0 = unknown.
    double estimated_seconds = 0;
    int64_t created_ms = 0;
    int64_t started_ms = 0, ended_ms = 0;  ///< 0 = not yet
    std::shared_ptr<const Error> error;    ///< of kFailed and kCancelled
    bool has_ended() const { return state >= JobState::kComplete; }
  };
  Job(Names names, const Clock& clock);

  const Names& names() const { return names_; }
  const std::string& id() const { return names_.id; }
  /// When it was made, for waiting.
  SteadyTime begun() const { return begun_; }

  View Look() const;
  uint64_t ticket() const { return notifier_.ticket(); }
  /// Waits for a new state or percent. @return false when the deadline came first
  Task<bool> WaitChange(uint64_t ticket, SteadyTime deadline) {
    return notifier_.WaitChange(ticket, deadline);
  }
  /// Wakes who waits although nothing has changed here.
  void Wake() { notifier_.NotifyAll(); }

  // For its production.
  void Start();
  void SetPercent(uint32_t percent);
  void SetEstimate(double seconds);
  /// Its result can be served and is being stored.
  void Store();
  void Complete();
  /// kCancelled when that is the error's code.
  void Fail(std::shared_ptr<const Error> error);

 private:
  template <class Change>
  void Apply(Change change);

  const Names names_;
  const Clock& clock_;
  const SteadyTime begun_;
  mutable Mutex mutex_;
  View view_ GUARDED_BY(mutex_);
  io::Notifier notifier_;
};
using JobRef = std::shared_ptr<Job>;

}  // namespace vr::cache
