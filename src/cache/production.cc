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

void Production::Finish(EntityRef entity, bool found_in_kv) {
  {
    MutexLock lock(mutex_);
    view_.phase = Phase::kDone;
    view_.stream_ended = head_ != nullptr;
    entity_ = std::move(entity);
    found_in_kv_ = found_in_kv;
  }
  notifier_.NotifyAll();
}

void Production::Fail(Error error) {
  {
    MutexLock lock(mutex_);
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

EntityRef Production::entity() const {
  MutexLock lock(mutex_);
  return entity_;
}

std::shared_ptr<const Error> Production::error() const {
  MutexLock lock(mutex_);
  return error_;
}

bool Production::found_in_kv() const {
  MutexLock lock(mutex_);
  return found_in_kv_;
}

}  // namespace vr::cache
