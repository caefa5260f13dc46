// Content-Disposition (RFC 6266, RFC 8187). Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace vr::http {

/// `inline; filename="clip.mp4"`. A name that is not plain ASCII also gets `filename*=UTF-8''...`,
/// after a fallback in which other bytes, controls and path separators are '_'.
std::string InlineFilename(std::string_view name);

}  // namespace vr::http
