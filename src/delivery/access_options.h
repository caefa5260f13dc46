// Settings of who may ask for what, and how often. docs/access.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "http/client_address.h"

namespace vr::delivery {

struct CorsOptions {
  /// "*", "https://example.com", "https://*.example.com"; empty: no CORS fields.
  std::vector<std::string> allow_origins;
  std::vector<std::string> expose_headers = {"Accept-Ranges",
                                             "Age",
                                             "Cache-Status",
                                             "Content-Disposition",
                                             "Content-Length",
                                             "Content-Range",
                                             "ETag",
                                             "Location",
                                             "Retry-After",
                                             "X-Cache-Source",
                                             "X-Cache-Status",
                                             "X-Derivative",
                                             "X-KV-Cache-Key",
                                             "X-Origin",
                                             "X-Param-Warnings",
                                             "X-Processing-Time-Ms",
                                             "X-Request-ID",
                                             "X-Resolved-Height",
                                             "X-Resolved-Width",
                                             "X-Source-Type"};
  std::chrono::seconds max_age{86400};            ///< of a preflight's answer
  std::string resource_policy;                    ///< Cross-Origin-Resource-Policy; empty: none
  std::vector<std::string> timing_allow_origins;  ///< Timing-Allow-Origin; empty: none
  bool operator==(const CorsOptions&) const = default;
};

/// How many variants one client may have made.
struct ProductionLimit {
  uint32_t per_minute = 0;        ///< 0: no limit
  uint32_t burst = 30;            ///< at once, after a pause
  uint32_t max_clients = 10'000;  ///< remembered; the least recent are forgotten
};

struct AccessOptions {
  bool signing_required = false;
  std::map<std::string, std::string, std::less<>> signing_keys;  ///< key id → secret
  /// Peers whose word on the client's address counts: "10.0.0.0/8", "2001:db8::1".
  std::vector<std::string> trusted_proxies;
  http::ProxyHeader proxy_header = http::ProxyHeader::kXForwardedFor;
  ProductionLimit productions;
};

}  // namespace vr::delivery
