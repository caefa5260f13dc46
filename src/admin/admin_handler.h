// AdminHandler: what the admin listener answers: /metrics, /healthz, /readyz. Thread-safe.
//
// The listener is separate and on loopback by default. These three routes disclose counts, never
// content, and are open so that probes and scrapers need no secret.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "http/message.h"
#include "observe/metrics.h"

namespace vr::admin {

class AdminHandler final : public http::Handler {
 public:
  /// @param not_ready nullopt when ready to serve, else why not
  AdminHandler(const Metrics& metrics, std::function<std::optional<std::string>()> not_ready)
      : metrics_(metrics), not_ready_(std::move(not_ready)) {}

  std::optional<http::Response> TryNow(const http::Request& request) override;
  Task<http::Response> Handle(Context ctx, const http::Request& request) override;
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent) override;

 private:
  const Metrics& metrics_;
  const std::function<std::optional<std::string>()> not_ready_;
};

}  // namespace vr::admin
