// A source's redirect, passed on (`redirects: "pass"`): where our client has to be sent. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "delivery/snapshot.h"
#include "origin/source.h"

namespace vr::delivery {

/// Makes the fact "location" of a redirect (origin::kRedirectReason) one for our clients. Another
/// path at the origin becomes the path of ours that leads there: what our path and the origin's
/// have in common at their ends is taken to be what the origin's template took over. Where that
/// cannot be, the absolute URL stays. Other errors are left alone.
/// @param our_path canonical source path of the request, decoded, without leading slash
/// @return the error; ALL_SOURCES_FAILED when there is no place that may be told
Error ForOurClients(Error error, std::string_view our_path);

/// The Location of one answer. A path of ours gets the query of the request, so that the variant is
/// still the one asked for.
std::string LocationFor(std::string_view location, std::string_view query);

/// Whether a signature for what was `asked` may be carried over to `location`: a path of ours that
/// leads to the very source that said so. That source decides alone what is at either path, so
/// nobody sees more than it would have shown at the first. Not so where another origin (of mode
/// passthrough: for what is no video), or another source of the same origin, might answer.
bool StaysWithin(const Snapshot& config, const origin::Resolved& asked, std::string_view location);

}  // namespace vr::delivery
