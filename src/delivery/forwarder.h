// Forwarder: takes the request of an exchange to its origin: which source, in what form, and which
// one next when that one has seen nothing of it.
//
// Each source has a breaker (origin/breaker.h), the same one as when it is read for a transform: a
// source whose circuit is open is passed over, as if it could not be reached. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "delivery/exchange.h"
#include "delivery/snapshot.h"
#include "http/client.h"
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
  explicit Forwarder(Deps deps) : deps_(std::move(deps)) {}

  /// Once for each exchange; it may be over when this returns. When no source was asked since all
  /// circuits are open, it ends with reason OVERLOADED and fact "retryAfter" in seconds; else with
  /// the last source's error; both with the fact "attempts".
  /// @param resolved of a passthrough origin of `snapshot`
  /// @param body of the request; null: none, and no Content-Length
  void Start(const std::shared_ptr<Exchange>& exchange, SnapshotRef snapshot,
             origin::Resolved resolved, std::shared_ptr<const std::string> body);

 private:
  class Journey;
  const Deps deps_;
};

}  // namespace vr::delivery
