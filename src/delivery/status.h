// From Error to HTTP: the only place that knows which status belongs to which API error code
// (docs/http.md, "Errors").
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cache/options.h"
#include "cache/orchestrator.h"
#include "http/message.h"

namespace vr::delivery {

/// The API error code of an error: its `reason`, or one derived from `code`.
std::string_view ReasonOf(const Error& error);
/// The status that an error is answered with; 500 for unknown codes.
int StatusOf(const Error& error);
/// Where the client is sent (reason REDIRECT), as a Location value; else empty. See redirect.h.
std::string_view LocationOf(const Error& error);

/// {"error":{"code":…,"message":…,"details":{…}}}. INTERNAL has a fixed text.
std::string ErrorBody(const Error& error);

/// The whole answer: status, JSON body, nosniff, `Retry-After` for 503. What the source is to blame
/// for may be cached as long as its TTL class says; overload, refusals and our own failures are
/// `no-store`.
http::Response ErrorResponse(const Error& error, const cache::TtlOptions& ttl);

/// Whether the answer to this failure is kept for later requests, for its class's TTL.
bool IsRemembered(const Error& error, const cache::TtlOptions& ttl);

/// How a failure may be remembered, for the cache: the answer's own status and body. nullopt for
/// what says nothing about the source: overload, refusals, aborts, our own failures.
std::optional<cache::FailureForm> RenderFailure(const Error& error);

}  // namespace vr::delivery
