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
    if (production->waiters() > 0) {
      until.reset();
    } else if (!until) {
      until = now + options_.abandon_after;
    }
    if (until && now >= *until) {
      if (production->percent() >= options_.keep_from_percent) co_return;
      MutexLock lock(mutex_);
      // Whoever joins does so under this lock. From now on they start afresh.
      if (production->waiters() == 0) {
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

}  // namespace vr::cache
