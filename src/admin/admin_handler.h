// AdminHandler: what the admin listener answers. Thread-safe.
//
//   GET  /metrics /healthz /readyz            open: they disclose counts, never content
//   POST /admin/purge                         bearer token; what the body names leaves every layer
//   GET  /admin/variants?source=…&cursor=…    bearer token; the variants of a source
//   GET  /admin/entry?key=…                   bearer token; one entry's metadata
//   GET  /admin/analytics?hours=24            bearer token; what was asked, answered and saved
//   GET  /admin/jobs                          bearer token; productions going on, and ended of late
//   DELETE /admin/jobs/{id}                   bearer token; ends one
//   POST /admin/prewarm                       bearer token; has variants made before anybody asks
//   POST /admin/prewarm/webhook               bearer token; the same, by a storage's notification
//   GET  /admin/prewarm  /admin/prewarm/{id}  bearer token; how far that is
//   DELETE /admin/prewarm/{id}                bearer token; what is not begun yet is not made
//
// The listener is separate and on loopback by default. Without a configured token the routes under
// /admin/ are closed. docs/operations.md has the bodies.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analytics/analytics.h"
#include "analytics/report.h"
#include "cache/orchestrator.h"
#include "cache/prewarmer.h"
#include "http/message.h"
#include "io/blocking.h"
#include "observe/metrics.h"

namespace vr::admin {

/// Whether an Authorization field carries this token; its time does not depend on where they
/// differ. An empty token matches nothing.
bool IsAuthorized(std::string_view authorization, std::string_view token);

/// Reads the body of a purge.
/// @errors kInvalidArgument: not JSON, unknown or several scopes, wrong types; the message names
/// the field
struct PurgeRequest {
  cache::PurgeScope scope;
  cache::PurgeMode mode = cache::PurgeMode::kHard;
};
Result<PurgeRequest> ParsePurge(std::string_view json);

/// What GET /admin/analytics is answered with. The referred objects outlive the handler.
struct AnalyticsAccess {
  analytics::Analytics& analytics;
  io::Blocking& blocking;
  std::function<analytics::Storage()> storage;
};

/// Reads the body of an order to prewarm: `sources` and `derivatives` (each with each), `targets`,
/// or both. @return paths with their queries
/// @errors kInvalidArgument: not JSON, unknown members, wrong types, nothing to do
Result<std::vector<std::string>> ParsePrewarm(std::string_view json);

/// One object that a storage says is new.
struct Upload {
  std::string bucket, key;
};
/// Reads a notification of S3 (`Records`, their keys form-encoded).
/// @param[out] ignored  records that tell of something else: removals, tests
/// @errors kInvalidArgument: not such a notification
Result<std::vector<Upload>> ParseNotification(std::string_view json, size_t& ignored);

class AdminHandler final : public http::Handler {
 public:
  /// @param token  empty: the routes under /admin/ are closed
  /// @param analytics nullopt: switched off
  /// @param not_ready nullopt when ready to serve, else why not
  AdminHandler(const Metrics& metrics, cache::Orchestrator& orchestrator, std::string token,
               std::function<std::optional<std::string>()> not_ready,
               std::optional<AnalyticsAccess> analytics = std::nullopt)
      : metrics_(metrics),
        orchestrator_(orchestrator),
        token_(std::move(token)),
        not_ready_(std::move(not_ready)),
        analytics_(std::move(analytics)) {}

  /// What orders to prewarm are given to; without one they are refused. It outlives this. Before
  /// the first request.
  void Prewarm(cache::Prewarmer& prewarmer) { prewarmer_ = &prewarmer; }

  std::optional<http::Response> TryNow(const http::Request& request) override;
  Task<http::Response> Handle(Context ctx, const http::Request& request) override;
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent) override;

 private:
  Task<http::Response> Purge(Context ctx, const http::Request& request);
  Task<http::Response> Variants(Context ctx, const http::Request& request);
  Task<http::Response> Entry(Context ctx, const http::Request& request);
  Task<http::Response> Report(Context ctx, const http::Request& request);
  http::Response Jobs();
  http::Response CancelJob(std::string_view id);
  /// What is under /admin/prewarm.
  http::Response PrewarmAnswer(const http::Request& request);
  Task<http::Response> OrderPrewarm(const http::Request& request);
  Task<http::Response> TakeNotification(const http::Request& request);

  const Metrics& metrics_;
  cache::Orchestrator& orchestrator_;
  const std::string token_;
  const std::function<std::optional<std::string>()> not_ready_;
  const std::optional<AnalyticsAccess> analytics_;
  cache::Prewarmer* prewarmer_ = nullptr;
};

}  // namespace vr::admin
