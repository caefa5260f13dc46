// VideoEndpoint: the story of one media request, from URL to answer.
//
//   TryNow: parse, origin, key, edge: a hit is answered without suspending.
//   Handle: the rest: KV, production (made, joined), errors, HEAD of what is not made yet,
//   debug=view.
//
// Thread-safe. docs/life-of-a-request.md tells the same story; change both together.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cache/orchestrator.h"
#include "delivery/head.h"
#include "delivery/request_log.h"
#include "delivery/snapshot.h"
#include "delivery/video_producer.h"
#include "http/message.h"
#include "variant/parse.h"

namespace vr::delivery {

class VideoEndpoint final : public http::Handler {
 public:
  struct Deps {
    SnapshotHolder& snapshots;
    cache::Orchestrator& orchestrator;
    ProducerDeps producer;
    const Clock& clock;
    Metrics& metrics;
    /// nullopt when ready, else why not.
    std::function<std::optional<std::string>()> not_ready;
  };
  explicit VideoEndpoint(Deps deps) : deps_(deps), log_(deps.metrics) {}

  std::optional<http::Response> TryNow(const http::Request& request) override;
  Task<http::Response> Handle(Context ctx, const http::Request& request) override;
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent) override;

 private:
  /// Everything that follows from URL, headers and configuration alone.
  struct Prepared {
    SnapshotRef snapshot;
    variant::Parsed parsed;
    origin::Resolved resolved;
    const OriginPolicy* policy = nullptr;
    std::string key;
    Hash128 digest;
    bool is_debug = false;
    SteadyTime started;
  };

  Result<Prepared> Prepare(const http::Request& request) const;
  cache::Query QueryFor(const Prepared& prepared) const;
  http::Response RespondEntity(const http::Request& request, const Prepared& prepared,
                               cache::EntityRef entity, cache::Layer layer,
                               cache::Freshness freshness = cache::Freshness::kFresh) const;
  /// What every answer's fields begin with.
  AnswerFacts FactsFor(const http::Request& request, const Prepared& prepared,
                       cache::Layer layer) const;
  ProductionSpec SpecFor(const Prepared& prepared, transform::Plan plan) const;
  std::shared_ptr<VideoProducer> ProducerFor(const Prepared& prepared, transform::Plan plan) const;
  /// After a hit: has its source compared in the background when that is due.
  void FollowUp(const Prepared& prepared, const cache::EntityRef& hit) const;
  http::Response RespondStream(const http::Request& request, const Prepared& prepared,
                               cache::ProductionRef live, cache::Layer layer) const;
  http::Response RespondError(const http::Request& request, const Error& error,
                              const Prepared* prepared, const cache::TtlOptions& ttl) const;
  Task<http::Response> HandleHead(Context ctx, const http::Request& request, Prepared prepared,
                                  transform::Plan plan);
  Task<http::Response> HandleView(Context ctx, const http::Request& request, Prepared prepared);
  std::optional<http::Response> Health(const http::Request& request) const;

  const Deps deps_;
  RequestLog log_;
};

}  // namespace vr::delivery
