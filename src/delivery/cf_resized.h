// The Cf-Resized field of media URLs' failures, with the numbers that Cloudflare documents for its
// transformations, so that what was written against those finds them here. Pure functions.
#pragma once

#include <string_view>

#include "http/message.h"

namespace vr::delivery {

/// "9404" for an API error code; empty for answers that are no failures of a transformation (416,
/// 412).
/// @param attempts the error's fact of that name: how each source was tried and what it said
/// @param is_loop  the source is a media URL itself
std::string_view CfResizedCode(std::string_view reason, std::string_view attempts, bool is_loop);

/// Adds the field to the answer to a media URL, when it is a failure. Reads the JSON of its body.
void AddCfResized(http::Response& response);

}  // namespace vr::delivery
