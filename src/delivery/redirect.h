// A source's redirect, passed on (`redirects: "pass"`): where our client has to be sent. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

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

}  // namespace vr::delivery
