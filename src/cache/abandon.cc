// Giving up what nobody waits for (cache contract §8): a client that leaves is no reason to stop,
// the last one is, as long as little has been made. A browser that has closed its first connection
// is back in a moment, so there is a pause before.
#include "cache/orchestrator.h"
#include "observe/log.h"

namespace vr::cache {

ProductionRef Orchestrator::JoinOrLeadWaiting(const Query& query, const std::string& flight,
                                              bool* leads) {
  MutexLock lock(mutex_);
  ProductionRef production = FlightLocked(query, flight, leads);
  production->AddWaiter();
  return production;
}

void Orchestrator::WatchWaiters(io::Executor executor, const ProductionRef& production,
                                const std::string& flight) {
  if (options_.keep_from_percent == 0) return;
  auto watch = [this, production, flight]() -> Task<void> { return RunWatch(production, flight); };
  group_.Spawn(executor, watch);
}

Task<void> Orchestrator::RunWatch(ProductionRef production, std::string flight) {
  std::optional<SteadyTime> until;  // set while nobody waits
  for (;;) {
    const uint64_t ticket = production->ticket();
    if (production->Look().phase >= Production::Phase::kDone) co_return;
    const SteadyTime now = std::chrono::steady_clock::now();
    if (production->is_wanted()) {
      until.reset();
    } else if (!until) {
      until = now + options_.abandon_after;
    }
    if (until && now >= *until) {
      if (production->percent() >= options_.keep_from_percent) co_return;
      MutexLock lock(mutex_);
      // Whoever joins does so under this lock. From now on they start afresh.
      if (!production->is_wanted()) {
        const auto found = flights_.find(flight);
        if (found != flights_.end() && found->second.production == production) {
          flights_.erase(found);
        }
        break;
      }
      until.reset();
    }
    const SteadyTime deadline = until.value_or(SteadyTime::max());
    co_await production->WaitChange(ticket, deadline);
  }
  abandoned_.Add();
  LogDebug("production_abandoned", {{"percent", production->percent()}});
  production->Abandon();
}

void Orchestrator::AbandonUnwanted() {
  std::vector<ProductionRef> given_up;
  {
    MutexLock lock(mutex_);
    for (auto flight = flights_.begin(); flight != flights_.end();) {
      const ProductionRef& production = flight->second.production;
      const bool is_needed = production->is_wanted() || !production->is_making() ||
                             production->Look().phase >= Production::Phase::kDone;
      if (!is_needed) given_up.push_back(production);
      flight = is_needed ? std::next(flight) : flights_.erase(flight);
    }
  }
  if (given_up.empty()) return;
  LogInfo("productions_given_up", {{"count", given_up.size()}});
  for (const ProductionRef& production : given_up) {
    abandoned_.Add();
    production->Abandon();
  }
}

CancelOutcome Orchestrator::CancelJob(std::string_view id) {
  const JobRef job = jobs_.Find(id);
  if (!job) return CancelOutcome::kUnknown;
  const ProductionRef production = jobs_.ProductionOf(id);
  if (!production) return CancelOutcome::kEnded;
  // Whoever joins does so under this lock: nobody who has seen the failure joins it again.
  MutexLock lock(mutex_);
  if (!production->Cancel(Error(Code::kCancelled, "the production was cancelled by an operator"))) {
    return CancelOutcome::kEnded;
  }
  const auto found = flights_.find(job->names().flight);
  if (found != flights_.end() && found->second.production == production) flights_.erase(found);
  return CancelOutcome::kCancelled;
}

}  // namespace vr::cache
