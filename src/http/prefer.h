// The Prefer field (RFC 7240): what a client would like and does not insist on. Pure functions.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace vr::http {

struct Preferences {
  bool respond_async = false;                ///< §4.1: 202 rather than a long wait
  std::optional<std::chrono::seconds> wait;  ///< §4.3: how long it waits before
};

/// Reads all Prefer fields of a request joined by ", ". Of a preference that is given twice the
/// first counts (§2); what is unknown or makes no sense is as if it were not there.
Preferences ParsePrefer(std::string_view field);

}  // namespace vr::http
