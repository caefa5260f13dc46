// Settings of the delivery room: who may bypass the caches and see explanations, and who waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace vr::delivery {

/// URLs in the scheme of Cloudflare Media Transformations, /cdn-cgi/media/<options>/<source>.
struct MediaUrlOptions {
  bool enabled = true;
  uint32_t max_dimension = 0;  ///< of width and height; 0 = as everywhere
  std::chrono::milliseconds max_time{0}, max_duration{0};  ///< of `time`, `duration`; 0 = no limit
};

struct Options {
  bool debug_enabled = false;  ///< every request is a debug request
  std::vector<std::string> debug_addresses = {"127.0.0.1",
                                              "::1"};  ///< peers whose debug headers count
  /// A production that takes longer than this is answered by 202 instead of being waited for; 0 =
  /// only for who asks for that.
  std::chrono::seconds async_threshold{60};
  int max_event_streams = 256;  ///< clients that follow a job at /sse/job/; 503 beyond
  std::string public_url;  ///< of absolute links, without "/" at its end; empty: from the request
  MediaUrlOptions media_urls;
  /// A variant may be made of a larger one that is held, instead of its source (derivation.h).
  bool derive_from_cached = false;
  bool allow_public_bypass = true;  ///< false: bypass flags count from debug_addresses only
};

}  // namespace vr::delivery
