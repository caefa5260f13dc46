// VideoEndpoint: the story of one media request, from URL to answer.
//
//   TryNow: parse, origin, key, edge: a hit is answered without suspending.
//   Handle: the rest, with what TryNow found out: KV, production (made, joined), errors, HEAD of
//   what is not made yet, debug=view.
//
// Thread-safe. docs/life-of-a-request.md tells the same story; change both together.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/orchestrator.h"
#include "delivery/derivation.h"
#include "delivery/head.h"
#include "delivery/rate_limit.h"
#include "delivery/request_log.h"
#include "delivery/snapshot.h"
#include "delivery/video_producer.h"
#include "http/message.h"
#include "http/respond.h"
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
    RateLimiter* limiter = nullptr;           ///< of productions; null: none
    analytics::Recorder* recorder = nullptr;  ///< of requests; null: none
  };
  explicit VideoEndpoint(Deps deps) : deps_(deps), log_(deps.metrics, deps.clock, deps.recorder) {}

  std::optional<http::Response> TryNow(const http::Request& request) override;
  /// The shorter way of TryNow for a target that was a hit before under this configuration; nullopt
  /// when it is none, or no hit now.
  std::optional<http::Response> TryKnown(const http::Request& request, const Snapshot& config);
  Task<http::Response> Handle(Context ctx, const http::Request& request) override;
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent) override;

  /// For cache::Prewarmer::Deps. A target is a path and query as a client without any request
  /// fields would send it.
  /// @errors as a request's; kInvalidArgument when nothing would keep the result
  Result<cache::WarmTarget> ResolveWarm(std::string target) const;
  Task<std::vector<Result<cache::Warmed>>> Warm(std::vector<cache::WarmTarget> targets) const;
  /// `prewarmer` is told of each request that is served, when it wants to know. It outlives this.
  /// Before the first request.
  void TellOfRequests(cache::Prewarmer& prewarmer) { prewarmer_ = &prewarmer; }

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
    /// The target alone says all this: no request field and no address had a say.
    bool is_targets_alone = false;
    std::string_view vary;  ///< "Accept" when it chose a format; see also parsed.selection. Static
    SteadyTime started;
  };

  Result<Prepared> Prepare(const http::Request& request) const;
  /// What prewarming wants to have: not in the edge, where it would be in the way of what is used.
  Result<Prepared> PrepareWarm(std::string_view target, cache::Query& query) const;
  /// @param seat  among those that may be made together; null: alone
  Task<Result<cache::Warmed>> WarmOne(cache::WarmTarget target,
                                      std::shared_ptr<TransformGroup::Seat> seat) const;
  /// One of a group; tells its result and that it is over.
  Task<void> WarmMember(cache::WarmTarget target, std::shared_ptr<TransformGroup::Seat> seat,
                        std::shared_ptr<std::atomic<size_t>> left,
                        std::shared_ptr<io::Notifier> changed, Result<cache::Warmed>* result) const;
  /// Whether this is a video that no layer has and nobody makes.
  Task<bool> CanBeMadeTogether(const cache::WarmTarget& target) const;
  void CountFor(std::string_view source) const {
    if (prewarmer_ != nullptr && prewarmer_->counts_requests()) prewarmer_->CountRequest(source);
  }
  cache::Query QueryFor(const http::Request& request, const Prepared& prepared) const;
  /// How long this request waits for what is not made yet.
  cache::Patience PatienceOf(const http::Request& request, const Prepared& prepared,
                             const cache::Query& query) const;
  http::Response RespondEntity(const http::Request& request, const Prepared& prepared,
                               cache::EntityRef entity, cache::Layer layer,
                               cache::Freshness freshness = cache::Freshness::kFresh) const;
  /// What every answer's fields begin with.
  AnswerFacts FactsFor(const http::Request& request, const Prepared& prepared,
                       cache::Layer layer) const;
  ProductionSpec SpecFor(const Prepared& prepared, transform::Plan plan) const;
  /// Null when it has to be made of its source.
  BaseFinder BaseFinderFor(const Prepared& prepared, const cache::Query& query) const;
  std::shared_ptr<VideoProducer> ProducerFor(const Prepared& prepared, transform::Plan plan) const;
  static std::vector<std::string> TagsOf(const Prepared& prepared);
  /// For an answer that is made of no entity.
  static std::shared_ptr<RequestNote> NoteOf(cache::Layer layer, const Prepared& prepared);
  struct HitNow {
    cache::EntityRef entity;  ///< null: no layer has it at hand
    cache::Layer layer = cache::Layer::kEdge;
  };
  /// What can be answered without waiting for anything.
  HitNow LookupNow(std::string_view key, const Hash128& digest, bool may_read_kv,
                   int64_t now_ms) const;
  /// For TryKnown, when its target alone says what is asked.
  static void Remember(const http::Request& request, const Prepared& prepared);
  /// The last step of every answer that is made of an entity.
  static http::Response Conclude(const http::Request& request, http::Representation whole,
                                 cache::EntityRef entity, cache::Layer layer,
                                 cache::Freshness freshness = cache::Freshness::kFresh);
  /// After a hit: has its source compared in the background when that is due.
  void FollowUp(const http::Request& request, const Prepared& prepared,
                const cache::EntityRef& hit) const;
  void CheckSource(const http::Request& request, const Prepared& prepared,
                   const cache::EntityRef& hit) const;
  /// Of what is being made.
  http::Response RespondLive(const http::Request& request, const Prepared& prepared,
                             const cache::Answer& answer) const;
  /// 202: it is being made, and where to ask how far it is.
  http::Response RespondAccepted(const http::Request& request, const Prepared& prepared,
                                 const cache::Answer& answer) const;
  /// Of a body that is not all there, but whose length and validator are known: conditions and
  /// ranges as for an entity.
  http::Response RespondGrowing(const http::Request& request, const Prepared& prepared,
                                const cache::Metadata& meta, http::GrowingBody body,
                                AnswerFacts facts) const;
  /// Of a body of which nothing is known yet; `stream` is null for HEAD.
  http::Response RespondUnfinished(const Prepared& prepared, const cache::Metadata& meta,
                                   std::shared_ptr<http::BodyStream> stream,
                                   const AnswerFacts& facts) const;
  /// The same fields as on good answers, as far as they make sense.
  http::Response RespondFailure(const http::Request& request, const Prepared& prepared,
                                const Error& error, cache::Layer layer) const;
  /// HEAD of what nobody has made: as far as that can be told without making it.
  Task<http::Response> Describe(Context ctx, const http::Request& request, const Prepared& prepared,
                                const ProductionSpec& spec, cache::Layer layer);
  Task<http::Response> HandleView(Context ctx, const http::Request& request,
                                  const Prepared& prepared);
  std::optional<http::Response> Health(const http::Request& request) const;

  const Deps deps_;
  cache::Prewarmer* prewarmer_ = nullptr;
  RequestLog log_;
};

}  // namespace vr::delivery
