#include "app/server_app.h"

#include <sys/resource.h>

#include <future>
#include <thread>

#include "base/hash.h"
#include "cache/prewarm_orders.h"
#include "cache/state_file.h"
#include "delivery/head.h"
#include "delivery/status.h"
#include "http/client.h"
#include "io/files.h"
#include "kv/data_dir.h"
#include "observe/log.h"
#include "origin/opener.h"
#include "origin/origin_table.h"

namespace vr::app {

namespace {

/// How long the first workers may take to come up: linking libav costs 0.1 s, a cold disk some
/// seconds.
constexpr std::chrono::seconds kWorkerStart{30};
constexpr size_t kReapBatch = 1000;
/// Prewarming whose productions have ended has to be told.
constexpr std::chrono::seconds kPrewarmEnd{1};
/// The shortest that Linux has: a hit costs a loop less, and need not wait for the end of a
/// worker's turn.
constexpr std::chrono::microseconds kTurns{100};
/// A certificate that ends sooner is worth a warning at every reload.
constexpr std::chrono::hours kCertificateWarning{14 * 24};
/// Requests under way to passthrough origins; more wait their turn.
constexpr int kPassthroughConnections = 1024;
/// One slow origin leaves connections for the others.
constexpr int kPassthroughConnectionsPerHost = 384;

/// Each connection, spool and large hit holds descriptors; the soft limit of a shell is far too
/// low.
void RaiseDescriptorLimit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

cache::TtlOptions WithOverride(cache::TtlOptions ttl, const origin::TtlOverride& own) {
  ttl.ok = own.ok.value_or(ttl.ok);
  ttl.redirects = own.redirects.value_or(ttl.redirects);
  ttl.client_error = own.client_error.value_or(ttl.client_error);
  ttl.server_error = own.server_error.value_or(ttl.server_error);
  return ttl;
}

Task<Result<void>> KeepOrders(io::Blocking& blocking, std::string file,
                              std::vector<cache::KeptOrder> orders) {
  auto write = [file = std::move(file), orders = std::move(orders)] {
    return cache::WriteStateFile(file, cache::EncodeOrders(orders));
  };
  co_return co_await blocking.Run(io::Lane::kWrite, std::move(write));
}

Result<std::vector<cache::KeptOrder>> ReadOrders(const std::string& file) {
  TRY(const std::string bytes, cache::ReadStateFile(file, cache::kMostOrderBytes));
  return cache::DecodeOrders(bytes);
}

/// Where absolute URLs belong that clients name. The matcher is for paths and matches none.
origin::OriginOptions UrlOrigin(std::shared_ptr<const origin::AllowedSources> allowed) {
  origin::SourceOptions source;
  source.type = origin::SourceType::kHttp;
  source.url = "https://url.invalid";
  source.allowed = std::move(allowed);
  origin::OriginOptions origin;
  origin.name = "cdn-cgi/media";
  origin.matcher = "[^\\x00-\\x{10FFFF}]";
  origin.sources.push_back(std::move(source));
  return origin;
}

}  // namespace

ServerApp::ServerApp(Settings settings)
    : settings_(std::move(settings)), clock_(SystemClock::Get()), loops_(0) {}

Result<delivery::SnapshotRef> ServerApp::MakeSnapshot(const Settings& settings) {
  auto snapshot = std::make_shared<delivery::Snapshot>();
  snapshot->variant = settings.variant;
  snapshot->delivery = settings.delivery;
  std::string& public_url = snapshot->delivery.public_url;
  while (public_url.ends_with('/')) public_url.pop_back();
  snapshot->transform = settings.transform;
  snapshot->ttl = settings.cache.ttl;
  snapshot->freshness = settings.freshness;
  snapshot->kv_enabled = settings.cache.enable_kv;
  for (const origin::OriginOptions& options : settings.origins) {
    delivery::OriginPolicy policy;
    policy.ttl = WithOverride(settings.cache.ttl, options.ttl);
    policy.cache_tags = options.cache_tags;
    policy.rules.store_set_cookie = options.store_set_cookie;
    policy.cache_control = options.cache_control.value_or("");
    if (options.mode == origin::OriginMode::kPassthrough) snapshot->has_passthrough = true;
    // Quality and compression of an origin go through the same grammar as a preset's.
    variant::Derivative defaults;
    if (options.quality) {
      if (auto why = variant::SetDerivativeOption(defaults, "quality", *options.quality)) {
        return Error(Code::kInvalidArgument, "origin " + options.name + ": quality " + *why);
      }
      policy.quality = defaults.options.quality.value_or(variant::Quality());
    }
    if (options.compression) {
      if (auto why = variant::SetDerivativeOption(defaults, "compression", *options.compression)) {
        return Error(Code::kInvalidArgument, "origin " + options.name + ": compression " + *why);
      }
      policy.compression = defaults.options.compression.value_or(variant::Level::kAuto);
    }
    snapshot->policies.push_back(std::move(policy));
  }
  snapshot->media_variant = settings.variant;
  const delivery::MediaUrlOptions& media = settings.delivery.media_urls;
  variant::Limits& limits = snapshot->media_variant.limits;
  if (media.max_dimension > 0) limits.max_size = media.max_dimension;
  limits.max_time = media.max_time;
  limits.max_duration = media.max_duration;
  std::vector<origin::OriginOptions> origins = settings.origins;
  if (!settings.access.allowed_sources.empty() && media.enabled) {
    snapshot->allowed_sources =
        std::make_shared<const origin::AllowedSources>(settings.access.allowed_sources);
    origins.push_back(UrlOrigin(snapshot->allowed_sources));
    delivery::OriginPolicy policy;
    policy.ttl = settings.cache.ttl;
    snapshot->policies.push_back(std::move(policy));
  }
  snapshot->passthrough = settings.passthrough;
  snapshot->passthrough.fetch = settings.fetch;
  TRY(snapshot->access, delivery::MakeAccessPolicy(settings.access, settings.cors));
  TRY(auto table, origin::OriginTable::Create(origins));
  snapshot->origins = std::move(table);
  for (const origin::OriginOptions& options : origins) {
    auto& breakers = snapshot->breakers.emplace_back();
    for (const origin::SourceOptions& source : options.sources) {
      breakers.push_back(origin::BreakerOf(*spools_, options, source));
    }
  }
  snapshot->opener =
      origin::MakeOpener(settings.fetch, origins, *blocking_, *client_, metrics_, spools_);
  return delivery::SnapshotRef(std::move(snapshot));
}

std::optional<std::string> ServerApp::NotReady() const {
  if (is_draining_) return "draining";
  if (!pool_->ready()) return "no worker is up";
  return std::nullopt;
}

Result<void> ServerApp::OpenNamespace() {
  const std::string name = settings_.kv_namespace ? settings_.kv_namespace->name() : "";
  const std::string binding = settings_.kv_namespace ? settings_.kv_namespace->binding : "";
  metrics_
      .GetGauge("video_resizer_kv_namespace_info", "Namespace of the KV store; always 1",
                {{"id", name}, {"binding", binding}})
      .Set(1);
  if (name.empty()) return {};
  const std::string data = settings_.data.string();
  CHECK_OK(io::MakeDirectory(data));
  CHECK_OK(io::MakeDirectory(data + "/kv"));
  CHECK_OK(io::Files::System().SyncDirectory(data));
  // The store locks its own directory; staging and spool lie beside, whatever the namespace.
  Result<UniqueFd> lock = kv::LockDataDir(data, io::Files::System());
  if (!lock.ok()) return std::move(lock).error().In("opening " + data);
  data_lock_ = std::move(*lock);
  return {};
}

Result<std::unique_ptr<ServerApp>> ServerApp::Start(Settings settings) {
  RaiseDescriptorLimit();
  std::unique_ptr<ServerApp> app(new ServerApp(std::move(settings)));
  const Settings& s = app->settings_;
  // First: it takes no time and is where a start may fail.
  if (s.tls) {
    TRY(app->tls_, http::TlsCredentials::Load(s.tls->files, s.enable_http2));
    app->NoteCertificate(s.tls->files);
  }
  app->blocking_ = std::make_unique<io::Blocking>();
  CHECK_OK(app->OpenNamespace());
  {
    auto kv = kv::EmbeddedStore::Create(s.kv, *app->blocking_, app->clock_, app->metrics_);
    if (!kv.ok()) return std::move(kv).error().In("opening the store in " + s.kv.data_dir);
    app->kv_ = std::move(*kv);
  }
  TRY(app->keeper_,
      cache::KvKeeper::Create(s.cache.keeper, cache::KvKeeper::Deps{*app->kv_, *app->blocking_,
                                                                    app->clock_, app->metrics_}));
  TRY(app->staging_, cache::Staging::Create(s.cache.staging_dir));
  http::ClientOptions client_options;
  client_options.via = "1.1 " + app->loop_guard_.pseudonym();
  TRY(app->client_, http::Client::Create(client_options));
  TRY(app->spools_, origin::SpoolCache::Create(s.fetch, *app->client_, app->metrics_));
  TRY(app->pool_, transform::WorkerPool::Create(s.transform, app->workshop_, app->metrics_));
  TRY(delivery::SnapshotRef snapshot, app->MakeSnapshot(s));
  app->snapshots_ = std::make_unique<delivery::SnapshotHolder>(std::move(snapshot));
  // Whether the KV is used is the snapshot's to say, request by request: a reload can switch it.
  cache::Options cache_options = s.cache;
  cache_options.enable_kv = true;
  app->orchestrator_ = std::make_unique<cache::Orchestrator>(
      cache_options, app->kv_.get(), *app->staging_, *app->blocking_, app->clock_, app->metrics_,
      delivery::RenderEntityHead, delivery::RenderFailure);
  app->orchestrator_->ProduceOn(app->workshop_[0].executor());
  app->orchestrator_->UseKeeper(*app->keeper_);
  analytics::Recorder* recorder = nullptr;
  if (s.analytics.enabled) {
    app->analytics_ =
        std::make_unique<analytics::Analytics>(s.analytics, app->clock_, app->metrics_);
    app->analytics_->Start();
    recorder = &app->analytics_->recorder();
  }
  const auto not_ready = [self = app.get()] { return self->NotReady(); };
  app->endpoint_ = std::make_unique<delivery::VideoEndpoint>(delivery::VideoEndpoint::Deps{
      *app->snapshots_, *app->orchestrator_,
      delivery::ProducerDeps{*app->pool_, *app->staging_, *app->blocking_, app->metrics_,
                             app->rate_factors_, recorder},
      app->clock_, app->metrics_, not_ready, &app->production_limiter_, recorder});
  cache::Prewarmer::Deps prewarm{
      .executor = app->workshop_[0].executor(),
      .clock = app->clock_,
      .metrics = app->metrics_,
      .make =
          [endpoint = app->endpoint_.get()](std::vector<cache::WarmTarget> targets) {
            return endpoint->Warm(std::move(targets));
          },
      .is_idle = [pool = app->pool_.get()] { return pool->is_idle(); },
      .resolve = [endpoint = app->endpoint_.get()](
                     std::string target) { return endpoint->ResolveWarm(std::move(target)); },
      .keep =
          [blocking = app->blocking_.get(),
           file = s.prewarm.state_file](std::vector<cache::KeptOrder> orders) {
            return KeepOrders(*blocking, file, std::move(orders));
          }};
  app->prewarmer_ = std::make_unique<cache::Prewarmer>(std::move(prewarm), s.prewarm);
  app->endpoint_->TellOfRequests(*app->prewarmer_);
  cache::EdgeOptions passthrough_edge = s.cache.edge;
  passthrough_edge.max_bytes = s.cache.edge.max_bytes == 0 ? 0 : s.passthrough_edge.max_bytes;
  app->http_store_ = std::make_unique<cache::HttpStore>(passthrough_edge);
  app->orchestrator_->AddPurgeTarget(*app->http_store_);
  http::ClientOptions passthrough_client;
  passthrough_client.max_connections = kPassthroughConnections;
  passthrough_client.max_connections_per_host = kPassthroughConnectionsPerHost;
  passthrough_client.via = client_options.via;
  TRY(app->passthrough_client_, http::Client::Create(passthrough_client));
  app->passthrough_ =
      std::make_unique<delivery::PassthroughEndpoint>(delivery::PassthroughEndpoint::Deps{
          *app->passthrough_client_,
          delivery::ExchangeDeps{*app->http_store_, *app->staging_, app->clock_}, app->metrics_,
          app->loop_guard_.pseudonym()});
  app->events_ = std::make_unique<delivery::JobEvents>(*app->snapshots_, app->orchestrator_->jobs(),
                                                       app->metrics_);
  app->router_ = std::make_unique<delivery::Router>(
      *app->snapshots_, *app->endpoint_, *app->passthrough_, *app->events_, app->loop_guard_);
  app->admin_handler_ = std::make_unique<admin::AdminHandler>(
      app->metrics_, *app->orchestrator_, s.admin.token, not_ready, app->Access());
  app->admin_handler_->Prewarm(*app->prewarmer_);
  app->gate_ = std::make_unique<delivery::AccessGate>(
      *app->snapshots_, *app->router_,
      s.admin.on_main_listener ? app->admin_handler_.get() : nullptr, app->clock_);
  app->workshop_.Start();
  app->loops_.Start(kTurns);

  CHECK_OK(app->FinishPurges());
  app->keeper_->Start(app->workshop_[0].executor());

  // The recipe is part of every plan digest: nothing can be answered before a worker has told it.
  const auto give_up = std::chrono::steady_clock::now() + kWorkerStart;
  while (!app->pool_->ready()) {
    if (std::chrono::steady_clock::now() > give_up) {
      return Error(Code::kUnavailable, "the transform workers do not start",
                   "see the log lines of video-resizer-worker");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  app->RestorePrewarming();
  http::ServerOptions admin_options = s.server;
  admin_options.listen = s.admin.listen;
  TRY(app->admin_server_,
      http::Server::Create(admin_options, *app->admin_handler_, app->loops_, app->metrics_));
  LogInfo("admin_listening", {{"address", app->admin_server_->address()}});
  http::ServerOptions main_options = s.server;
  main_options.tls = app->tls_;
  if (s.tls) main_options.handshake_timeout = s.tls->handshake_timeout;
  TRY(app->server_, http::Server::Create(main_options, *app->gate_, app->loops_, app->metrics_));
  LogInfo("listening", {{"address", app->server_->address()},
                        {"tls", app->tls_ != nullptr},
                        {"loops", app->loops_.size()},
                        {"kv_namespace", s.kv_namespace ? s.kv_namespace->name() : ""},
                        {"kv_entries", app->kv_->usage().entries}});
  return app;
}

std::optional<admin::AnalyticsAccess> ServerApp::Access() {
  if (!analytics_) return std::nullopt;
  const auto storage = [this] {
    analytics::Storage held;
    held.edge_bytes = orchestrator_->edge().bytes();
    held.edge_entries = orchestrator_->edge().entries();
    held.edge_max_bytes = settings_.cache.edge.max_bytes;
    const kv::Usage usage = kv_->usage();
    held.kv_bytes = usage.bytes;
    held.kv_entries = usage.entries;
    held.kv_max_bytes = settings_.kv.max_bytes;
    held.kv_max_entries = settings_.cache.keeper.max_entries;
    return held;
  };
  return admin::AnalyticsAccess{*analytics_, *blocking_, storage};
}

Result<void> ServerApp::FinishPurges() {
  std::promise<Result<uint64_t>> promise;
  std::future<Result<uint64_t>> finished = promise.get_future();
  cache::Orchestrator* orchestrator = orchestrator_.get();
  auto finish = [orchestrator, &promise]() -> Task<void> {
    Result<uint64_t> done = co_await orchestrator->FinishPurges(Context());
    promise.set_value(std::move(done));
  };
  housekeeping_.Spawn(loops_.Any().executor(), finish);
  Result<uint64_t> done = finished.get();
  // What somebody wanted gone must not be served again: better not to start.
  if (!done.ok()) return std::move(done).error().In("finishing interrupted purges");
  return {};
}

void ServerApp::RestorePrewarming() {
  Result<std::vector<cache::KeptOrder>> orders = ReadOrders(settings_.prewarm.state_file);
  if (orders.ok()) return prewarmer_->Restore(std::move(*orders));
  if (orders.error().code == Code::kNotFound) return;
  LogWarn("prewarm_orders_not_loaded",
          {{"file", settings_.prewarm.state_file}, {"error", orders.error().ToLogString()}});
}

void ServerApp::KeepPrewarming() {
  // Who still makes something may write as well. The file is a second old at most.
  if (!prewarmer_->Drain(std::chrono::steady_clock::now() + kPrewarmEnd)) return;
  if (!prewarmer_->is_changed()) return;
  const Result<void> kept = cache::WriteStateFile(settings_.prewarm.state_file,
                                                  cache::EncodeOrders(prewarmer_->Unended()));
  if (!kept.ok()) LogWarn("prewarm_orders_not_kept", {{"error", kept.error().ToLogString()}});
}

ServerApp::~ServerApp() {
  if (server_) server_->CloseAll();
  if (admin_server_) admin_server_->CloseAll();
  if (pool_) pool_->Stop();
  // Its thread calls the endpoint back.
  passthrough_client_.reset();
  // Loops first: afterwards no coroutine can touch what is destroyed below.
  loops_.Stop();
  workshop_.Stop();
}

void ServerApp::NoteCertificate(const http::TlsFiles& files) {
  const WallTime end = tls_->not_after();
  metrics_
      .GetGauge("video_resizer_tls_certificate_end_seconds",
                "Unix time at which the main listener's certificate ends")
      .Set(static_cast<double>(ToUnixMillis(end)) / 1e3);
  const int64_t hours = std::chrono::duration_cast<std::chrono::hours>(end - clock_.Now()).count();
  LogInfo("tls_certificate_loaded", {{"file", files.certificate}, {"hours_left", hours}});
  if (hours < kCertificateWarning.count()) {
    LogWarn("tls_certificate_ends", {{"file", files.certificate}, {"hours_left", hours}});
  }
}

Result<void> ServerApp::Reload(Settings next) {
  TRY(delivery::SnapshotRef snapshot, MakeSnapshot(next));
  // The last thing that can fail, so that nothing or all is new.
  if (tls_ && next.tls) {
    CHECK_OK(tls_->Reload(next.tls->files));
    NoteCertificate(next.tls->files);
  }
  InitLog(next.log);
  snapshots_->Set(std::move(snapshot));
  keeper_->Reload(next.cache.keeper);
  prewarmer_->SetOptions(next.prewarm);
  for (const std::string& name : NeedsRestart(settings_, next)) {
    LogWarn("config_needs_restart", {{"field", name}});
  }
  return {};
}

void ServerApp::Tick() {
  const WallTime now = clock_.Now();
  kv::EmbeddedStore* kv = kv_.get();
  // Expired entries stay for as long as they may be served stale.
  const cache::FreshnessOptions rules = snapshots_->Get()->freshness;
  const auto grace = std::max(rules.stale_if_error, rules.stale_while_revalidate);
  cache::KvKeeper* keeper = keeper_.get();
  auto reap = [kv, keeper, now, grace]() -> Task<void> {
    Result<std::vector<std::string>> reaped = co_await kv->ReapExpired(now, grace, kReapBatch);
    if (!reaped.ok()) {
      LogWarn("kv_reap_failed", {{"error", reaped.error().ToLogString()}});
    } else if (!reaped->empty()) {
      keeper->Erased(*reaped);
    }
  };
  housekeeping_.Spawn(loops_.Any().executor(), reap);
  keeper_->Tick();
}

bool ServerApp::Drain(SteadyTime deadline, const std::atomic<bool>& hurry) {
  is_draining_ = true;
  LogInfo("draining", {{"connections", server_->connections()}});
  server_->Drain();
  events_->Drain();
  while (server_->connections() > 0 && std::chrono::steady_clock::now() < deadline && !hurry) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  housekeeping_.Close();
  // What is validated behind answers is of no use any more.
  passthrough_->Drain(std::chrono::steady_clock::now());
  // What is being made for nobody is given up by the orchestrator.
  prewarmer_->Drain(std::chrono::steady_clock::now());
  bool is_clean = server_->connections() == 0;
  while (!orchestrator_->Drain(std::chrono::steady_clock::now() + std::chrono::milliseconds(20))) {
    if (hurry || std::chrono::steady_clock::now() >= deadline) {
      is_clean = false;
      break;
    }
  }
  KeepPrewarming();
  // After the last store: what was learned of it is kept.
  if (!keeper_->Close(is_clean ? deadline : std::chrono::steady_clock::now())) is_clean = false;
  Result<void> saved = keeper_->SaveNow();
  if (!saved.ok()) LogWarn("kv_state_not_saved", {{"error", saved.error().ToLogString()}});
  admin_server_->Drain();
  // Whatever comes of the rest, what is counted is not lost.
  if (analytics_) analytics_->Save();
  return is_clean;
}

}  // namespace vr::app
