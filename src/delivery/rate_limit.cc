#include "delivery/rate_limit.h"

#include <algorithm>

namespace vr::delivery {

std::optional<std::chrono::milliseconds> RateLimiter::Take(const std::string& client,
                                                           const ProductionLimit& limit,
                                                           SteadyTime now) {
  if (limit.per_minute == 0) return std::nullopt;
  using std::chrono::nanoseconds;
  const nanoseconds per_token = nanoseconds(std::chrono::minutes(1)) / limit.per_minute;
  const nanoseconds capacity = per_token * std::max<uint32_t>(limit.burst, 1);
  MutexLock lock(mutex_);
  // Full again: as good as never seen. Those come last, at least.
  while (!recent_.empty() && recent_.back().full_at <= now) {
    places_.erase(recent_.back().client);
    recent_.pop_back();
  }
  const auto place = places_.find(client);
  const SteadyTime full_at = place == places_.end() ? now : std::max(now, place->second->full_at);
  const auto next = full_at + std::chrono::duration_cast<SteadyTime::duration>(per_token);
  if (next - now > capacity) {
    recent_.splice(recent_.begin(), recent_, place->second);
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now - capacity);
    return std::max(wait, std::chrono::milliseconds(1));
  }
  if (place != places_.end()) {
    place->second->full_at = next;
    recent_.splice(recent_.begin(), recent_, place->second);
    return std::nullopt;
  }
  while (recent_.size() >= std::max<uint32_t>(limit.max_clients, 1)) {
    places_.erase(recent_.back().client);
    recent_.pop_back();
  }
  recent_.push_front({client, next});
  places_.emplace(client, recent_.begin());
  return std::nullopt;
}

size_t RateLimiter::size() const {
  MutexLock lock(mutex_);
  return recent_.size();
}

}  // namespace vr::delivery
