// HTTP dates (RFC 9110 §5.6.7). Whole seconds, always GMT. Pure functions but for
// CurrentDateLine().
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace vr::http {

/// Length of an IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT".
inline constexpr size_t kDateLength = 29;

/// Writes exactly kDateLength bytes at `out`. Years outside 0..9999 are clamped.
void WriteDate(WallTime time, char* out);
/// IMF-fixdate, the only form we generate.
std::string FormatDate(WallTime time);
/// All three forms a recipient must take: IMF-fixdate, RFC 850 (two-digit years more than 50 years
/// ahead of `now` mean the past century), asctime. nullopt for everything else, also for impossible
/// days and wrong week day names.
std::optional<WallTime> ParseDate(std::string_view text, WallTime now = SystemClock::Get().Now());

/// "Date: ...\r\n" of this second. The view is valid until the next call on this thread.
std::string_view CurrentDateLine();

}  // namespace vr::http
