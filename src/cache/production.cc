#include "cache/production.h"

#include <algorithm>

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
  {
    MutexLock lock(mutex_);
    if (view_.phase == Phase::kDone || view_.phase == Phase::kFailed) return;
    view_.phase = Phase::kDone;
    outcome_ = std::move(outcome);
  }
  notifier_.NotifyAll();
}

void Production::Fail(Error error) {
  {
    MutexLock lock(mutex_);
    if (view_.phase == Phase::kDone || view_.phase == Phase::kFailed) return;
    view_.phase = Phase::kFailed;
    error_ = std::make_shared<const Error>(std::move(error));
  }
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

bool Production::MarkPurged() {
  MutexLock lock(mutex_);
  is_purged_ = true;
  return is_keeping_;
}

bool Production::BeginKeeping() {
  MutexLock lock(mutex_);
  is_keeping_ = !is_purged_;
  return is_keeping_;
}

void Production::EndKeeping() {
  {
    MutexLock lock(mutex_);
    is_keeping_ = false;
  }
  notifier_.NotifyAll();
}

void Production::BeginMaking() {
  MutexLock lock(mutex_);
  is_making_ = true;
}

bool Production::is_making() const {
  MutexLock lock(mutex_);
  return is_making_;
}

bool Production::is_keeping() const {
  MutexLock lock(mutex_);
  return is_keeping_;
}

}  // namespace vr::cache
