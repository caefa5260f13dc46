// Conditional requests (RFC 9110 §13) against one representation. Pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "http/message.h"

namespace vr::http {

struct Validators {
  std::string_view etag;                  ///< as sent: "\"abc\"" or "W/\"abc\""; empty = none
  std::optional<WallTime> last_modified;  ///< compared in whole seconds
  /// Of a stored response without Last-Modified: its Date, which If-Modified-Since alone is
  /// compared with then (RFC 9111 §4.3.2).
  std::optional<WallTime> date = std::nullopt;
};

enum class Verdict { kProceed, kNotModified, kPreconditionFailed };

struct ConditionResult {
  Verdict verdict = Verdict::kProceed;
  /// The Range field if the method is GET and If-Range lets it apply; empty otherwise. Borrowed
  /// from the request.
  std::string_view range;
};

/// Evaluates If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, If-Range in the order
/// of §13.2.2 for a representation that exists. One pass over the fields; no allocation. Dates that
/// cannot be read are ignored.
ConditionResult EvaluateConditions(const Request& request, const Validators& validators);

/// Opaque tags equal, whatever their weakness (§8.8.3.2).
bool WeakEquals(std::string_view a, std::string_view b);
/// Equal and both strong.
bool StrongEquals(std::string_view a, std::string_view b);
/// DQUOTE *etagc DQUOTE with an optional W/ in front.
bool IsEntityTag(std::string_view text);

}  // namespace vr::http
