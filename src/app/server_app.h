// ServerApp: the composition root. Constructs every part in the order of its needs, wires them,
// starts, reloads, drains and stops. Members are destroyed in reverse, so what is used outlives who
// uses it.
//
// Used from the main thread only.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "admin/admin_handler.h"
#include "analytics/analytics.h"
#include "app/settings.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cache/http_store.h"
#include "cache/keeper.h"
#include "cache/orchestrator.h"
#include "cache/prewarmer.h"
#include "delivery/access.h"
#include "delivery/job_events.h"
#include "delivery/loop_guard.h"
#include "delivery/passthrough_endpoint.h"
#include "delivery/router.h"
#include "delivery/snapshot.h"
#include "delivery/video_endpoint.h"
#include "http/client.h"
#include "http/server.h"
#include "io/blocking.h"
#include "io/loop.h"
#include "kv/embedded_store.h"
#include "observe/metrics.h"
#include "origin/spool.h"
#include "transform/worker_pool.h"

namespace vr::app {

class ServerApp {
 public:
  /// Opens the store, starts workers and loops, listens. Logs "listening" and "admin_listening"
  /// with the addresses.
  static Result<std::unique_ptr<ServerApp>> Start(Settings settings);
  ~ServerApp();

  /// Publishes what of `settings` can change while running: origins, derivatives, limits, TTLs,
  /// validation, debug, log; reads the certificate and key again. What needs a restart and differs
  /// is logged.
  /// @errors kInvalidArgument: nothing was changed
  Result<void> Reload(Settings settings);
  /// Housekeeping that nothing else triggers; call about once a minute.
  void Tick();
  /// Stops accepting and waits for running answers and stores. @return false when `deadline` came
  /// first
  bool Drain(SteadyTime deadline, const std::atomic<bool>& hurry);

 private:
  explicit ServerApp(Settings settings);
  Result<delivery::SnapshotRef> MakeSnapshot(const Settings& settings);
  std::optional<std::string> NotReady() const;
  /// Makes room for the store of `cache.kvNamespace`, and takes `data` for this process.
  Result<void> OpenNamespace();
  /// Blocks until purges that were interrupted are finished. Loops are running, listeners not yet.
  Result<void> FinishPurges();
  /// Goes on with what was ordered before.
  void RestorePrewarming();
  /// After the last production.
  void KeepPrewarming();
  std::optional<admin::AnalyticsAccess> Access();
  /// Tells log and metrics which certificate is shown now, and for how long.
  void NoteCertificate(const http::TlsFiles& files);

  const Settings settings_;  ///< of the start: what a reload is compared with
  const SystemClock& clock_;
  const delivery::LoopGuard loop_guard_;
  Metrics metrics_;
  std::shared_ptr<http::TlsCredentials> tls_;  ///< null: the main listener is plain
  /// Outlives the loops, whose last requests it counts; saves when it goes.
  std::unique_ptr<analytics::Analytics> analytics_;
  io::LoopPool loops_;
  io::LoopPool workshop_{1, "work"};  ///< what makes variants, so that hits do not wait for it
  std::unique_ptr<io::Blocking> blocking_;
  UniqueFd data_lock_;  ///< of `data`, when the store lies in a directory of its own
  std::unique_ptr<kv::EmbeddedStore> kv_;
  std::unique_ptr<cache::KvKeeper> keeper_;
  std::unique_ptr<cache::Staging> staging_;
  std::unique_ptr<http::Client> client_;
  std::shared_ptr<origin::SpoolCache> spools_;  ///< shared by the openers of all configurations
  std::unique_ptr<transform::WorkerPool> pool_;
  transform::RateFactors rate_factors_;
  delivery::RateLimiter production_limiter_;
  std::unique_ptr<delivery::SnapshotHolder> snapshots_;
  std::unique_ptr<cache::Orchestrator> orchestrator_;
  std::unique_ptr<delivery::VideoEndpoint> endpoint_;
  std::unique_ptr<cache::Prewarmer> prewarmer_;
  std::unique_ptr<cache::HttpStore> http_store_;
  std::unique_ptr<http::Client> passthrough_client_;  ///< ends before the endpoint it calls back
  std::unique_ptr<delivery::PassthroughEndpoint> passthrough_;
  std::unique_ptr<delivery::JobEvents> events_;
  std::unique_ptr<delivery::Router> router_;
  std::unique_ptr<admin::AdminHandler> admin_handler_;
  std::unique_ptr<delivery::AccessGate> gate_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Server> admin_server_;
  std::atomic<bool> is_draining_{false};
  io::TaskGroup housekeeping_;
};

}  // namespace vr::app
