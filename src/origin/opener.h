// MakeOpener: opens sources where OriginTable says they are.
//
// Locations are tried by priority, each once; the next one when a location has nothing (404, 410,
// no such file) or fails (5xx, other refusals, timeout, unreachable). A location that has the
// source but with something that no other place would cure (too large, not a video) ends the
// search. When none had it, those that were out of reach or busy (429, 502, 503, 504) are asked
// again after a pause, up to FetchOptions::retries times, never past the deadline. A location whose
// breaker is open is passed over. Configuration reload: make a new table and a new opener from the
// new settings; pass the same SpoolCache on, so that what is open stays shared.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/client.h"
#include "io/blocking.h"
#include "observe/metrics.h"
#include "origin/options.h"
#include "origin/source.h"
#include "origin/spool.h"

namespace vr::origin {

/// How the opener pauses between tries; a test's does not.
using Pause = std::function<io::Task<void>(std::chrono::milliseconds)>;

/// `origins` must be those of the OriginTable whose Resolved come to Open(). Does no I/O.
/// `blocking`, `client` and `metrics` outlive the opener's use; sources may outlive client and
/// opener.
/// @param spools shared over reloads; null: one of its own, made when first needed
/// @param pause null: by the loop's timer
std::unique_ptr<Opener> MakeOpener(FetchOptions fetch, std::vector<OriginOptions> origins,
                                   io::Blocking& blocking, http::Client& client, Metrics& metrics,
                                   std::shared_ptr<SpoolCache> spools = nullptr,
                                   Pause pause = nullptr);

/// The breaker of a source, shared with all who ask it. Null for what has none: files, and what
/// clients name, since that is many places, of which one must not stand for the others.
std::shared_ptr<Breaker> BreakerOf(SpoolCache& spools, const OriginOptions& origin,
                                   const SourceOptions& source);

/// Appends what came of one source: "http: 404", "http: 503 (3 tries)", "http: 503 then timeout".
void AddAttempt(std::string& text, std::string_view type, const std::vector<std::string>& tries);

}  // namespace vr::origin
