// Forwarder: takes the request of an exchange to its origin: which source, in what form, and which
// one next when that one has seen nothing of it.
//
// A GET or HEAD without a body is sent again when it got no answer, or "busy, come again" (503 with
// Retry-After), as often as FetchOptions::retries says; nothing else is ever sent twice.
//
// Each source has a breaker (origin/breaker.h), the same one as when it is read for a transform: a
// source whose circuit is open is passed over, as if it could not be reached. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "delivery/exchange.h"
#include "delivery/snapshot.h"
#include "http/client.h"
#include "io/task_group.h"
#include "observe/metrics.h"
#include "origin/source.h"

namespace vr::delivery {

class Forwarder {
 public:
  struct Deps {
    http::Client& client;
    Metrics& metrics;
    std::string pseudonym;  ///< what we call ourselves in Via of forwarded requests (LoopGuard)
  };
  explicit Forwarder(Deps deps);

  /// Once for each exchange; it may be over when this returns. When no source was asked since all
  /// circuits are open, it ends with reason OVERLOADED and fact "retryAfter" in seconds; else with
  /// the last source's error; both with the fact "attempts".
  /// @param resolved of a passthrough origin of `snapshot`
  /// @param body of the request; null: none, and no Content-Length
  /// @param deadline nobody waits for further tries after it
  void Start(const std::shared_ptr<Exchange>& exchange, SnapshotRef snapshot,
             origin::Resolved resolved, std::shared_ptr<const std::string> body,
             SteadyTime deadline);

  /// No further tries; waits (blocking this non-loop thread) for those that pause.
  /// @return false when the deadline came first
  bool Drain(SteadyTime deadline);

 private:
  class Journey;
  const Deps deps_;
  Counter retried_;  ///< video_resizer_origin_retries_total
  std::atomic<bool> is_closing_ = false;
  io::TaskGroup pauses_;
};

}  // namespace vr::delivery
