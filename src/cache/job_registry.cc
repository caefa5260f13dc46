#include "cache/job_registry.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"

namespace vr::cache {

namespace {

/// 128 bits from the kernel: the id is all that protects a job's progress.
std::string NewId() {
  Hash128 id;
  // So few bytes come whole, or not at all when a signal interrupts the wait for the first entropy.
  while (::getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id)) {
  }
  return id.ToHex();
}

}  // namespace

JobRef JobRegistry::Open(Job::Names names, const ProductionRef& production) {
  names.id = NewId();
  auto job = std::make_shared<Job>(std::move(names), clock_);
  MutexLock lock(mutex_);
  DropOld();
  slots_.emplace(job->id(), Slot{job, production});
  return job;
}

void JobRegistry::Close(const JobRef& job) {
  MutexLock lock(mutex_);
  const auto slot = slots_.find(job->id());
  if (slot == slots_.end()) return;
  slot->second.production.reset();
  ended_.push_back(job);
  DropOld();
}

void JobRegistry::DropOld() {
  const int64_t now_ms = NowMs();
  const int64_t oldest_ms = now_ms - std::chrono::milliseconds(options_.keep_ended).count();
  while (!ended_.empty() &&
         (ended_.size() > options_.max_ended || ended_.front()->Look().ended_ms <= oldest_ms)) {
    slots_.erase(ended_.front()->id());
    ended_.pop_front();
  }
  const int64_t forget_ms = now_ms - std::chrono::milliseconds(options_.failure_memory).count();
  std::erase_if(failures_, [&](const auto& entry) {
    const Job::View view = entry.second->Look();
    return view.has_ended() && view.ended_ms <= forget_ms;
  });
}

JobRef JobRegistry::Find(std::string_view id) {
  MutexLock lock(mutex_);
  DropOld();
  const auto slot = slots_.find(std::string(id));
  return slot == slots_.end() ? nullptr : slot->second.job;
}

ProductionRef JobRegistry::ProductionOf(std::string_view id) {
  MutexLock lock(mutex_);
  const auto slot = slots_.find(std::string(id));
  return slot == slots_.end() ? nullptr : slot->second.production.lock();
}

std::vector<JobRow> JobRegistry::List() {
  std::vector<JobRow> rows;
  const int64_t now_ms = NowMs();
  {
    MutexLock lock(mutex_);
    DropOld();
    for (const auto& [id, slot] : slots_) {
      JobRow row;
      row.names = slot.job->names();
      row.view = slot.job->Look();
      if (const ProductionRef production = slot.production.lock()) {
        row.interest = production->interest();
        row.waiters = production->waiters();
      }
      const int64_t end_ms = row.view.ended_ms != 0 ? row.view.ended_ms : now_ms;
      row.seconds = static_cast<double>(std::max<int64_t>(0, end_ms - row.view.created_ms)) / 1e3;
      rows.push_back(std::move(row));
    }
  }
  std::sort(rows.begin(), rows.end(), [](const JobRow& a, const JobRow& b) {
    return std::tie(a.view.created_ms, a.names.id) < std::tie(b.view.created_ms, b.names.id);
  });
  return rows;
}

void JobRegistry::RememberFailure(const JobRef& job) {
  const Job::View view = job->Look();
  if (view.has_ended() && view.state != JobState::kFailed) return;
  MutexLock lock(mutex_);
  DropOld();
  // An ended job each; the number of those is bounded, and so is this.
  if (failures_.size() < options_.max_ended) failures_[job->names().flight] = job;
}

std::shared_ptr<const Error> JobRegistry::FailureOf(std::string_view flight) {
  MutexLock lock(mutex_);
  if (failures_.empty()) return nullptr;
  DropOld();
  const auto found = failures_.find(std::string(flight));
  if (found == failures_.end()) return nullptr;
  const Job::View view = found->second->Look();
  return view.state == JobState::kFailed ? view.error : nullptr;
}

void JobRegistry::ForgetFailures() {
  MutexLock lock(mutex_);
  failures_.clear();
}

void JobRegistry::WakeAll() {
  std::vector<JobRef> jobs;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, slot] : slots_) jobs.push_back(slot.job);
  }
  for (const JobRef& job : jobs) job->Wake();
}

}  // namespace vr::cache
