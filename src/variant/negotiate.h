// Replaces `format=auto` by a concrete format, by the client's Accept field (RFC 9110 §12.5.1).
// Pure.
#pragma once

#include <span>
#include <string_view>

#include "variant/variant_request.h"

namespace vr::variant {

/// Call before KeyOf(). Chooses the first of `candidates` (in order of our preference; those of
/// other modes are skipped) that `accept` names with its exact media type and q > 0, else the
/// mode's default.
/// @return true when the answer depended on Accept, that is, `Vary: Accept` must be sent.
bool NegotiateFormat(VariantRequest& request, std::string_view accept,
                     std::span<const Format> candidates);

}  // namespace vr::variant
