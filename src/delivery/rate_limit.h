// RateLimiter: a token bucket per client, for what is expensive. Thread-safe.
//
// A bucket is one number, the time at which it will be full again (the generic cell rate
// algorithm), so a client that has been quiet for long enough costs no memory: whose bucket is full
// is the same as who was never seen.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"
#include "delivery/access_options.h"

namespace vr::delivery {

class RateLimiter {
 public:
  /// Takes one token of `client`.
  /// @return nullopt when there was one, else how long until there is one again, above 0
  std::optional<std::chrono::milliseconds> Take(const std::string& client,
                                                const ProductionLimit& limit, SteadyTime now);
  /// Clients in the table.
  size_t size() const;

 private:
  struct Bucket {
    std::string client;
    SteadyTime full_at;
  };
  mutable Mutex mutex_;
  std::list<Bucket> recent_ GUARDED_BY(mutex_);  ///< the most recent first
  std::unordered_map<std::string, std::list<Bucket>::iterator> places_ GUARDED_BY(mutex_);
};

}  // namespace vr::delivery
