// LoopGuard: knows our own requests when they come back (RFC 9110 §7.6.3), whatever they ask for.
//
// Every request that we send names this server in Via by a pseudonym that no other one has. A
// request that brings it has been here before; one that came through too many hands is going round
// somewhere else. Both are refused before anything is looked up. What anybody else calls itself in
// Via opens and closes nothing. Immutable, thread-safe.
#pragma once

#include <optional>
#include <string>

#include "http/message.h"

namespace vr::delivery {

class LoopGuard {
 public:
  /// Most members of Via that a request may bring.
  static constexpr int kMaxHops = 10;

  /// A pseudonym of its own: "video-resizer-" and a random id.
  LoopGuard();
  const std::string& pseudonym() const { return pseudonym_; }
  /// 508 LOOP_DETECTED; nullopt: go on.
  std::optional<http::Response> Refuse(const http::Request& request) const;

 private:
  const std::string pseudonym_;
};

/// What of a request's Via goes along with the requests for a source that are made for it: the last
/// four members that name servers of our kind. That is enough to end a ring of five, and not
/// enough for a client to have the source refuse (and all others wait for) what it would else give.
std::string KinOf(const http::Request& request);

}  // namespace vr::delivery
