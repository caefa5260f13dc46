#include "cache/job.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace vr::cache {

namespace {
/// What is not complete has not come to the end, whatever a worker says.
constexpr uint32_t kMostBeforeTheEnd = 99;
}  // namespace

std::string_view ToString(Interest interest) {
  switch (interest) {
    case Interest::kWaiting:
      return "waiting";
    case Interest::kUnattended:
      return "unattended";
    case Interest::kPrewarm:
      return "prewarm";
  }
  return "waiting";
}

std::string_view ToString(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "queued";
    case JobState::kTranscoding:
      return "transcoding";
    case JobState::kStoring:
      return "storing";
    case JobState::kComplete:
      return "complete";
    case JobState::kFailed:
      return "failed";
    case JobState::kCancelled:
      return "cancelled";
  }
  return "failed";
}

Job::Job(Names names, const Clock& clock)
    : names_(std::move(names)), clock_(clock), begun_(std::chrono::steady_clock::now()) {
  MutexLock lock(mutex_);
  view_.created_ms = ToUnixMillis(clock_.Now());
}

Job::View Job::Look() const {
  MutexLock lock(mutex_);
  return view_;
}

/// `change` gets the view, unless the job has ended, and says whether that is news.
template <class Change>
void Job::Apply(Change change) {
  {
    MutexLock lock(mutex_);
    if (view_.has_ended() || !change(view_)) return;
    if (view_.has_ended()) view_.ended_ms = ToUnixMillis(clock_.Now());
  }
  notifier_.NotifyAll();
}

void Job::Start() {
  const int64_t now_ms = ToUnixMillis(clock_.Now());
  Apply([now_ms](View& view) {
    if (view.state != JobState::kQueued) return false;
    view.state = JobState::kTranscoding;
    view.started_ms = now_ms;
    return true;
  });
}

void Job::SetPercent(uint32_t percent) {
  Apply([percent = std::min(percent, kMostBeforeTheEnd)](View& view) {
    if (percent <= view.percent) return false;
    view.percent = percent;
    return true;
  });
}

void Job::SetEstimate(double seconds) {
  Apply([seconds](View& view) {
    view.estimated_seconds = seconds;
    return false;
  });
}

void Job::Store() {
  Apply([](View& view) { return std::exchange(view.state, JobState::kStoring) != view.state; });
}

void Job::Complete() {
  Apply([](View& view) {
    view.state = JobState::kComplete;
    view.percent = 100;
    return true;
  });
}

void Job::Fail(std::shared_ptr<const Error> error) {
  Apply([&error](View& view) {
    view.state = error->code == Code::kCancelled ? JobState::kCancelled : JobState::kFailed;
    view.error = std::move(error);
    return true;
  });
}

}  // namespace vr::cache
