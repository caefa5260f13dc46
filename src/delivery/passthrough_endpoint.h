// PassthroughEndpoint: the story of one request to an origin of mode "passthrough": a shared HTTP
// cache as RFC 9111 describes it, never a transform.
//
//   TryNow: a fresh stored response answers without suspending.
//   Handle: validation, forwarding, joining what is already under way, stale when that is allowed.
//
// Thread-safe. docs/passthrough.md tells the same story; change both together.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/http_store.h"
#include "delivery/exchange.h"
#include "delivery/forwarder.h"
#include "delivery/snapshot.h"
#include "http/client.h"
#include "http/message.h"
#include "io/task_group.h"
#include "observe/metrics.h"

namespace vr::delivery {

class PassthroughEndpoint {
 public:
  struct Deps {
    http::Client& client;
    ExchangeDeps exchange;
    Metrics& metrics;
    std::string pseudonym;  ///< what we call ourselves in Via of forwarded requests (LoopGuard)
  };
  explicit PassthroughEndpoint(Deps deps);

  /// `resolved` is of a passthrough origin of `snapshot`, here and below.
  std::optional<http::Response> TryNow(const http::Request& request, SnapshotRef snapshot,
                                       origin::Resolved resolved);
  Task<http::Response> Handle(Context ctx, const http::Request& request, SnapshotRef snapshot,
                              origin::Resolved resolved);

  /// Refuses validations behind answers, then waits (blocking this non-loop thread) for running
  /// ones. @return false when the deadline came first
  bool Drain(SteadyTime deadline);

 private:
  /// What is known of a request before anything is forwarded.
  struct Asked;
  using ExchangeRef = std::shared_ptr<Exchange>;
  struct Flight {
    ExchangeRef exchange;
    bool leads = false;
  };
  /// How a stored response came to answer, for Cache-Status.
  enum class How { kHit, kStale, kValidated };

  Asked Ask(const http::Request& request, SnapshotRef snapshot, origin::Resolved resolved) const;
  /// What the client's request may not be forwarded for: methods that end here.
  std::optional<http::Response> AnswerHere(const http::Request& request, const Asked& asked) const;
  /// The exchange of this request: a new one, or, when joining makes sense, the one under way.
  /// @param deadline nobody waits for further tries after it
  Flight StartOrJoin(const http::Request& request, const Asked& asked, bool may_join,
                     SteadyTime deadline);
  ExchangeRef Prepare(const http::Request& request, const Asked& asked);
  /// Waits for the head of an answer and passes interim ones on.
  Task<void> WaitForAnswer(Context ctx, const http::Request& request, ExchangeRef exchange,
                           bool passes_interims);
  void EndValidation(const std::string& key);
  void ValidateBehind(const http::Request& request, const Asked& asked);
  Task<void> RunValidation(std::shared_ptr<const http::Request> request,
                           std::shared_ptr<const Asked> asked);

  http::Response RespondStored(const http::Request& request, const Asked& asked,
                               cache::StoredRef stored, How how) const;
  /// @param joined the reader of one who came later
  http::Response RespondLive(const http::Request& request, const Asked& asked,
                             const ExchangeRef& exchange, std::optional<int> joined) const;
  http::Response RespondFailure(const http::Request& request, const Asked& asked,
                                const Error& error) const;
  void Leave(const std::string& key, const Exchange* exchange);

  const Deps deps_;
  Forwarder forwarder_;
  Mutex mutex_;
  /// Exchanges that others may join, by key.
  std::unordered_map<std::string, std::weak_ptr<Exchange>> flights_ GUARDED_BY(mutex_);
  /// URLs whose last answer could not be shared: nobody waits for the next one. Until when.
  std::unordered_map<std::string, SteadyTime> unshared_ GUARDED_BY(mutex_);
  std::unordered_set<std::string> validating_ GUARDED_BY(mutex_);  ///< behind an answer
  io::TaskGroup group_;
};

}  // namespace vr::delivery
