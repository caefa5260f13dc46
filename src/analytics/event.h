// What there is to know of one finished request, and of one production. Plain values; text is
// borrowed for the duration of a call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vr::analytics {

/// How a request was answered: exactly one per request. The first six are the media requests, those
/// that named a variant which the cache was asked for. docs/analytics.md defines each.
enum class Outcome : uint8_t {
  kEdge,            ///< from the edge, within its TTL
  kKv,              ///< from the KV, within its TTL
  kStale,           ///< from either, after its TTL
  kJoined,          ///< from a production that another request began
  kMiss,            ///< nothing had it: made, described (HEAD), refused or failed
  kBypass,          ///< the request did not want what is stored (debug, nocache), or asked why
  kPassthroughHit,  ///< another server's answer, from our memory
  kPassthrough,     ///< another server's answer, or that there was none
  kRefused,         ///< an error before any layer was asked
  kOther,           ///< preflights, job events, requests cut short by the server's end
};
inline constexpr size_t kOutcomes = 10;
inline constexpr size_t kMediaOutcomes = 6;
inline constexpr std::array<std::string_view, kOutcomes> kOutcomeNames{
    "edge",           "kv",          "stale",   "joined", "miss", "bypass",
    "passthroughHit", "passthrough", "refused", "other"};

/// Answered without making anything.
constexpr bool IsHit(Outcome outcome) {
  return outcome <= Outcome::kStale || outcome == Outcome::kPassthroughHit;
}
constexpr bool IsMedia(Outcome outcome) {
  return static_cast<size_t>(outcome) < kMediaOutcomes;
}

/// What a request or production is counted under; empty: not at all.
struct Labels {
  std::string_view key;     ///< of the variant
  std::string_view source;  ///< path of the source
  std::string_view origin;
  std::string_view derivative;
  std::string_view format;
  std::string_view mode;
  std::string_view code;  ///< API error code
};

struct Event {
  Outcome outcome = Outcome::kOther;
  int status = 0;
  bool is_error = false;      ///< by its status
  bool is_complete = true;    ///< all bytes went out
  uint64_t bytes = 0;         ///< of the body, sent
  uint64_t micros = 0;        ///< from the request's head to the first byte of its answer
  uint64_t saved_micros = 0;  ///< CPU time of encoding that was not spent again
  uint64_t saved_bytes = 0;   ///< of the source, not read again
  Labels labels;
};

/// One production that ended.
struct Production {
  bool is_good = false;
  uint64_t encode_micros = 0;  ///< CPU time that its worker told of
  uint64_t origin_bytes = 0;   ///< read of its source
  Labels labels;
};

/// One failed request, as it is shown. No secrets: `target` is masked by who fills it in.
struct Failure {
  int64_t time_ms = 0;
  int status = 0;
  bool is_servers = false;  ///< ours or the origin's, not the client's
  Outcome outcome = Outcome::kOther;
  std::string target, code, origin, request_id;
  bool operator==(const Failure&) const = default;
};

}  // namespace vr::analytics
