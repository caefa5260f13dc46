#include "cache/production.h"

#include <algorithm>
#include <cmath>

namespace vr::cache {

void Production::StartStream(StreamHead head) {
  {
    MutexLock lock(mutex_);
    if (view_.phase != Phase::kWorking) return;
    head_ = std::make_shared<const StreamHead>(std::move(head));
    view_.phase = Phase::kStreaming;
  }
  notifier_.NotifyAll();
}

void Production::Advance(uint64_t watermark) {
  {
    MutexLock lock(mutex_);
    if (watermark <= view_.watermark) return;
    view_.watermark = watermark;
  }
  notifier_.NotifyAll();
}

void Production::Finish(Outcome outcome) {
  JobRef job;
  {
    MutexLock lock(mutex_);
    if (view_.phase == Phase::kDone || view_.phase == Phase::kFailed) return;
    view_.phase = Phase::kDone;
    outcome_ = std::move(outcome);
    job = job_;
  }
  if (job) job->Store();
  notifier_.NotifyAll();
}

void Production::Fail(Error error) {
  JobRef job;
  auto shared = std::make_shared<const Error>(std::move(error));
  {
    MutexLock lock(mutex_);
    if (view_.phase == Phase::kDone || view_.phase == Phase::kFailed) return;
    view_.phase = Phase::kFailed;
    error_ = shared;
    job = job_;
  }
  if (job) job->Fail(std::move(shared));
  notifier_.NotifyAll();
}

Production::View Production::Look() const {
  MutexLock lock(mutex_);
  return view_;
}

std::shared_ptr<const StreamHead> Production::head() const {
  MutexLock lock(mutex_);
  return head_;
}

Outcome Production::outcome() const {
  MutexLock lock(mutex_);
  return outcome_;
}

std::shared_ptr<const Error> Production::error() const {
  MutexLock lock(mutex_);
  return error_;
}

void Production::AddWaiter() {
  MutexLock lock(mutex_);
  ++waiters_;
  had_waiters_ = true;
}

void Production::DropWaiter() {
  {
    MutexLock lock(mutex_);
    if (--waiters_ > 0) return;
  }
  notifier_.NotifyAll();
}

size_t Production::waiters() const {
  MutexLock lock(mutex_);
  return waiters_;
}

void Production::Hold() {
  MutexLock lock(mutex_);
  is_held_ = true;
}

bool Production::is_held() const {
  MutexLock lock(mutex_);
  return is_held_;
}

bool Production::is_wanted() const {
  MutexLock lock(mutex_);
  return waiters_ > 0 || is_held_;
}

Interest Production::interest() const {
  MutexLock lock(mutex_);
  if (waiters_ > 0) return Interest::kWaiting;
  return had_waiters_ || is_held_ ? Interest::kUnattended : Interest::kPrewarm;
}

void Production::SetPercent(uint32_t percent) {
  uint32_t now = percent_.load(std::memory_order_relaxed);
  while (percent > now && !percent_.compare_exchange_weak(now, percent)) continue;
  if (const JobRef told = job()) told->SetPercent(percent);
}

void Production::MarkStarted() {
  if (const JobRef told = job()) told->Start();
}

void Production::SetEstimate(double seconds) {
  double unknown = 0;
  if (!std::isfinite(seconds) || seconds <= 0 ||
      !estimate_.compare_exchange_strong(unknown, seconds))
    return;
  if (const JobRef told = job()) told->SetEstimate(seconds);
  notifier_.NotifyAll();
}

void Production::Abandon() {
  std::function<void()> act;
  {
    MutexLock lock(mutex_);
    is_abandoned_ = true;
    act = std::move(on_abandon_);
  }
  if (act) act();
  notifier_.NotifyAll();
}

bool Production::Cancel(Error error) {
  std::function<void()> act;
  JobRef job;
  auto shared = std::make_shared<const Error>(std::move(error));
  {
    MutexLock lock(mutex_);
    if (view_.phase == Phase::kDone || view_.phase == Phase::kFailed || is_keeping_) return false;
    view_.phase = Phase::kFailed;
    error_ = shared;
    is_abandoned_ = true;
    act = std::move(on_abandon_);
    job = job_;
  }
  if (job) job->Fail(std::move(shared));
  if (act) act();
  notifier_.NotifyAll();
  return true;
}

bool Production::is_abandoned() const {
  MutexLock lock(mutex_);
  return is_abandoned_;
}

void Production::OnAbandon(std::function<void()> act) {
  {
    MutexLock lock(mutex_);
    if (!is_abandoned_) {
      on_abandon_ = std::move(act);
      return;
    }
  }
  act();
}

Production::Keeping Production::KeepingLocked() const {
  if (is_keeping_) return Keeping::kNow;
  return view_.phase >= Phase::kDone ? Keeping::kOver : Keeping::kNotYet;
}

Production::Keeping Production::keeping() const {
  MutexLock lock(mutex_);
  return KeepingLocked();
}

Production::Keeping Production::MarkPurged() {
  MutexLock lock(mutex_);
  is_purged_ = true;
  return KeepingLocked();
}

bool Production::BeginKeeping() {
  MutexLock lock(mutex_);
  is_keeping_ = !is_purged_ && view_.phase != Phase::kFailed;
  return is_keeping_;
}

void Production::EndKeeping() {
  {
    MutexLock lock(mutex_);
    is_keeping_ = false;
  }
  notifier_.NotifyAll();
}

void Production::BeginMaking(JobRef job) {
  {
    MutexLock lock(mutex_);
    job_ = std::move(job);
  }
  notifier_.NotifyAll();
}

JobRef Production::job() const {
  MutexLock lock(mutex_);
  return job_;
}

}  // namespace vr::cache
