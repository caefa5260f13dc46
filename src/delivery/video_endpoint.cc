#include "delivery/video_endpoint.h"

#include <algorithm>

#include "delivery/explain.h"
#include "delivery/head.h"
#include "delivery/production_stream.h"
#include "delivery/status.h"
#include "http/range.h"
#include "http/respond.h"
#include "io/loop.h"
#include "observe/log.h"
#include "variant/key.h"

namespace vr::delivery {

namespace {

using cache::Layer;
using http::Request;
using http::Response;

/// Originals do not depend on how we encode.
constexpr std::string_view kOriginalRecipe = "original-1";

/// What a still of usual size comes to; the store keeps bodies of that size in its index.
constexpr uint64_t kFrameBytes = 32 << 10;

std::shared_ptr<RequestNote> NoteOf(Layer layer, std::string key) {
  auto note = std::make_shared<RequestNote>();
  note->layer = layer;
  note->has_layer = true;
  note->key = std::move(key);
  return note;
}

bool Contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool AsksForDebug(const Request& request) {
  for (const std::string_view name : {"X-Debug", "X-Debug-Enabled", "Debug"}) {
    const auto value = request.Get(name);
    if (value && (*value == "true" || *value == "1")) return true;
  }
  return false;
}

double MillisSince(SteadyTime start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

/// A growing body answers a plain GET, and `bytes=0-` (every browser's first request), which asks
/// for the whole. Anything else that a range or precondition makes depend on the finished form has
/// to wait for it.
bool NeedsWhole(const Request& request) {
  if (request.Get("If-Match") || request.Get("If-Unmodified-Since")) return true;
  const auto range = request.Get("Range");
  return range && http::ShapeOfRange(*range) == http::RangeShape::kOther;
}

}  // namespace

Result<VideoEndpoint::Prepared> VideoEndpoint::Prepare(const Request& request) const {
  Prepared p;
  p.started = std::chrono::steady_clock::now();
  p.snapshot = deps_.snapshots.Get();
  const Snapshot& config = *p.snapshot;
  TRY(p.parsed, variant::Parse(request.path, request.query, config.variant));
  variant::VariantRequest& asked = p.parsed.request;
  if (!variant::IsVideoPath(asked.source_path, config.variant.video_formats)) {
    return Error(Code::kNotFound, "this path is not a video").WithReason("NOT_FOUND");
  }
  std::optional<origin::Resolved> resolved = config.origins->Match("/" + asked.source_path);
  if (!resolved) {
    return Error(Code::kNotFound, "no origin is configured for this path")
        .WithReason("NO_MATCHING_ORIGIN");
  }
  p.resolved = std::move(*resolved);
  p.policy = &config.policies[p.resolved.origin_index];
  variant::ApplyOriginDefaults(asked, p.policy->quality, p.policy->compression);

  const Options& rules = config.delivery;
  variant::Flags& flags = p.parsed.flags;
  const bool is_trusted = Contains(rules.debug_addresses, request.peer_address);
  if (!rules.allow_public_bypass && !is_trusted && !rules.debug_enabled) flags = variant::Flags();
  p.is_debug = flags.debug || rules.debug_enabled || (is_trusted && AsksForDebug(request));

  p.key = variant::KeyOf(asked);
  p.digest = asked.is_original()
                 ? variant::DigestOf(asked, p.resolved.identity, kOriginalRecipe)
                 : variant::DigestOf(asked, p.resolved.identity, deps_.producer.pool.recipe());
  return p;
}

cache::Query VideoEndpoint::QueryFor(const Prepared& p) const {
  const variant::Flags& flags = p.parsed.flags;
  cache::Query query;
  query.key = p.key;
  query.digest = p.digest;
  query.source = p.parsed.request.source_path;
  query.origin = p.resolved.origin_name;
  query.ttl = p.policy->ttl;
  query.freshness = p.snapshot->freshness;
  const bool is_fresh_wanted = p.is_debug || flags.no_read;
  query.read_edge = !is_fresh_wanted;
  query.read_kv = !is_fresh_wanted && !flags.no_kv_cache && p.snapshot->kv_enabled;
  query.write_edge = !p.is_debug;
  query.write_kv = !p.is_debug && !flags.no_kv_cache && p.snapshot->kv_enabled;
  query.join = !is_fresh_wanted;
  return query;
}

AnswerFacts VideoEndpoint::FactsFor(const Request& request, const Prepared& p, Layer layer) const {
  AnswerFacts facts;
  facts.layer = layer;
  facts.is_debug = p.is_debug;
  facts.now_ms = ToUnixMillis(deps_.clock.Now());
  facts.elapsed_ms = MillisSince(p.started);
  facts.kv_asked = p.snapshot->kv_enabled && !p.parsed.flags.no_kv_cache;
  facts.kv_written = facts.kv_asked;
  facts.request_id = request.id;
  facts.parsed = &p.parsed;
  return facts;
}

Response VideoEndpoint::RespondEntity(const Request& request, const Prepared& p,
                                      cache::EntityRef entity, Layer layer,
                                      cache::Freshness freshness) const {
  http::Representation whole;
  whole.status = entity->meta.status;
  whole.shared_fields = entity->head;
  whole.content_type = entity->meta.content_type;
  whole.etag = entity->meta.etag;
  whole.last_modified = LastModifiedOf(entity->meta);
  if (entity->memory) {
    whole.body = entity->memory;
  } else {
    http::FileBody file;
    file.file = entity->file;
    file.size = entity->size();
    whole.body = std::move(file);
  }

  AnswerFacts facts = FactsFor(request, p, layer);
  facts.freshness = freshness;
  facts.entity = entity.get();
  facts.kv_written = entity->kv_backed;
  whole.fields.reserve(640);
  AppendAnswerFields(whole.fields, facts);
  whole.cache_control = CacheControlOf(facts);

  auto note = std::make_shared<RequestNote>();
  note->layer = layer;
  note->has_layer = true;
  if (layer == Layer::kEdge || layer == Layer::kKv)
    note->saved_seconds = entity->meta.encode_seconds;
  note->entity = std::move(entity);
  Response response = http::RespondWith(std::move(whole), request);
  response.note = std::move(note);
  return response;
}

Response VideoEndpoint::RespondStream(const Request& request, const Prepared& p,
                                      cache::ProductionRef live, Layer layer) const {
  const std::shared_ptr<const cache::StreamHead> head = live->head();
  Response response;
  response.fields = RenderStreamHead(p.key, head->meta);
  AnswerFacts facts = FactsFor(request, p, layer);
  // The streamed form of a video is another representation than the one stored: no validator, no
  // ranges, nothing that a cache could splice. An original that grows is the stored body itself.
  if (head->is_whole_form && head->length && !head->meta.etag.empty()) {
    facts.lifetime = p.policy->ttl.ok;
    AppendField(response.fields, "ETag", head->meta.etag);
    AppendField(response.fields, "Accept-Ranges", "bytes");
  }
  AppendAnswerFields(response.fields, facts);
  AppendField(response.fields, "Cache-Control", CacheControlOf(facts));
  http::StreamBody body;
  body.stream = std::make_shared<ProductionStream>(live);
  body.length = head->length;
  response.body = std::move(body);
  response.note = NoteOf(layer, p.key);
  return response;
}

Response VideoEndpoint::RespondError(const Request& request, const Error& error, const Prepared* p,
                                     const cache::TtlOptions& ttl) const {
  Response response = ErrorResponse(error, ttl);
  response.Add("X-Request-ID", request.id);
  response.Add("Via", "1.1 video-resizer");
  auto note = std::make_shared<RequestNote>();
  note->reason = ReasonOf(error);
  note->detail = error.detail;
  if (p) {
    response.Add("X-KV-Cache-Key", p->key);
    if (!p->parsed.warnings.empty()) {
      response.Add("X-Param-Warnings", variant::RenderWarnings(p->parsed.warnings));
    }
    note->key = p->key;
  }
  response.note = std::move(note);
  return response;
}

std::optional<Response> VideoEndpoint::Health(const Request& request) const {
  const bool is_live = request.path == "/healthz";
  if (!is_live && request.path != "/readyz") return std::nullopt;
  std::optional<std::string> why;
  if (!is_live && deps_.not_ready) why = deps_.not_ready();
  Response response;
  response.status = why ? 503 : 200;
  response.Add("Content-Type", "text/plain; charset=utf-8");
  response.Add("Cache-Control", "no-store");
  response.SetBody(why ? "not ready: " + *why + "\n" : "ok\n");
  auto note = std::make_shared<RequestNote>();
  note->is_quiet = true;
  response.note = std::move(note);
  return response;
}

std::optional<Response> VideoEndpoint::TryNow(const Request& request) {
  if (request.method != http::Method::kGet && request.method != http::Method::kHead) {
    const Error refused = Error(Code::kInvalidArgument, "only GET and HEAD are answered here")
                              .WithReason("METHOD_NOT_ALLOWED")
                              .WithFact("allowed", "GET, HEAD");
    Response response = RespondError(request, refused, nullptr, cache::TtlOptions());
    response.Add("Allow", "GET, HEAD");
    return response;
  }
  if (auto health = Health(request)) return health;
  Result<Prepared> prepared = Prepare(request);
  if (!prepared.ok()) {
    return RespondError(request, prepared.error(), nullptr, deps_.snapshots.Get()->ttl);
  }
  const Prepared& p = *prepared;
  if (p.is_debug || p.parsed.flags.no_read || p.parsed.flags.debug_view) return std::nullopt;
  cache::EntityRef hit = deps_.orchestrator.LookupEdge(p.key, p.digest);
  if (!hit) return std::nullopt;
  FollowUp(p, hit);
  return RespondEntity(request, p, std::move(hit), Layer::kEdge);
}

ProductionSpec VideoEndpoint::SpecFor(const Prepared& p, transform::Plan plan) const {
  ProductionSpec spec;
  spec.snapshot = p.snapshot;
  spec.request = p.parsed.request;
  spec.resolved = p.resolved;
  spec.tags = variant::TagsOf(p.parsed.request, p.policy->cache_tags);
  spec.plan = std::move(plan);
  return spec;
}

std::shared_ptr<VideoProducer> VideoEndpoint::ProducerFor(const Prepared& p,
                                                          transform::Plan plan) const {
  return std::make_shared<VideoProducer>(deps_.producer, SpecFor(p, std::move(plan)));
}

void VideoEndpoint::FollowUp(const Prepared& p, const cache::EntityRef& hit) const {
  io::Loop* const loop = io::Loop::Current();
  if (!loop || !deps_.orchestrator.IsCheckDue(*hit, p.snapshot->freshness)) return;
  Result<transform::Plan> plan = transform::MakePlan(p.parsed.request, p.snapshot->transform);
  if (!plan.ok()) return;
  cache::Query query = QueryFor(p);
  query.tags = variant::TagsOf(p.parsed.request, p.policy->cache_tags);
  deps_.orchestrator.CheckSource(loop->executor(), hit, std::move(query),
                                 ProducerFor(p, std::move(*plan)));
}

Task<Response> VideoEndpoint::Handle(Context ctx, const Request& request) {
  Result<Prepared> prepared = Prepare(request);
  if (!prepared.ok()) {
    co_return RespondError(request, prepared.error(), nullptr, deps_.snapshots.Get()->ttl);
  }
  Prepared p = std::move(*prepared);
  if (p.parsed.flags.debug_view) co_return co_await HandleView(ctx, request, std::move(p));

  Result<transform::Plan> plan = transform::MakePlan(p.parsed.request, p.snapshot->transform);
  if (!plan.ok()) co_return RespondError(request, plan.error(), &p, p.policy->ttl);
  if (request.is_head() && !p.is_debug && !p.parsed.flags.no_read) {
    co_return co_await HandleHead(ctx, request, std::move(p), std::move(*plan));
  }

  cache::Query query = QueryFor(p);
  query.needs_whole = NeedsWhole(request) || request.is_head();
  query.tags = variant::TagsOf(p.parsed.request, p.policy->cache_tags);
  if (p.parsed.request.mode == variant::Mode::kFrame) query.expected_bytes = kFrameBytes;
  const bool is_apart = !query.join;
  std::shared_ptr<VideoProducer> producer = ProducerFor(p, std::move(*plan));
  Result<cache::Answer> answer =
      co_await deps_.orchestrator.Fetch(ctx, std::move(query), std::move(producer));
  if (!answer.ok()) {
    Response failed = RespondError(request, answer.error(), &p, p.policy->ttl);
    const Layer layer = is_apart ? Layer::kBypass : Layer::kTransform;
    failed.Add("X-Cache-Status", is_apart ? "BYPASS" : "MISS");
    failed.Add("X-Cache-Source", "transform");
    auto* note = static_cast<RequestNote*>(failed.note.get());
    note->layer = layer;
    note->has_layer = true;
    co_return failed;
  }
  if (answer->entity) {
    co_return RespondEntity(request, p, std::move(answer->entity), answer->layer,
                            answer->freshness);
  }
  co_return RespondStream(request, p, std::move(answer->live), answer->layer);
}

Task<Response> VideoEndpoint::HandleHead(Context ctx, const Request& request, Prepared p,
                                         transform::Plan plan) {
  // What is stored answers as for GET. What is not is described without being made.
  cache::Query query = QueryFor(p);
  if (query.read_kv) {
    cache::EntityRef found = co_await deps_.orchestrator.LookupKv(ctx, p.key, p.digest);
    if (found) {
      deps_.orchestrator.edge().Insert(found);
      co_return RespondEntity(request, p, std::move(found), Layer::kKv);
    }
  }
  origin::Resolved resolved = p.resolved;
  Result<origin::SourceRef> source = co_await p.snapshot->opener->Open(ctx, std::move(resolved));
  if (!source.ok()) co_return RespondError(request, source.error(), &p, p.policy->ttl);
  const ProductionSpec spec = SpecFor(p, std::move(plan));
  Response response;
  const cache::Metadata meta = DescribeVariant(spec, (*source)->info());
  response.fields = RenderStreamHead(p.key, meta);
  AnswerFacts facts = FactsFor(request, p, Layer::kTransform);
  facts.kv_written = false;
  facts.is_unmade = true;
  AppendAnswerFields(response.fields, facts);
  AppendField(response.fields, "Cache-Control", CacheControlOf(facts));
  // The length of an original is its source's; of a transform nobody knows it yet.
  http::StreamBody unknown;
  if (spec.plan.original) unknown.length = (*source)->info().size;
  response.body = std::move(unknown);
  response.note = NoteOf(Layer::kTransform, p.key);
  co_return response;
}

Task<Response> VideoEndpoint::HandleView(Context ctx, const Request& request, Prepared p) {
  const cache::Explanation held = co_await deps_.orchestrator.Explain(ctx, p.key, p.digest);
  Result<transform::Plan> plan = transform::MakePlan(p.parsed.request, p.snapshot->transform);
  ViewFacts facts;
  facts.request = &p.parsed;
  facts.key = p.key;
  facts.digest = p.digest.ToHex();
  facts.resolved = &p.resolved;
  facts.tags = variant::TagsOf(p.parsed.request, p.policy->cache_tags);
  facts.held = held;
  facts.plan = plan.ok() ? &*plan : nullptr;
  facts.plan_error = plan.ok() ? nullptr : &plan.error();
  facts.now_ms = ToUnixMillis(deps_.clock.Now());
  Response response;
  response.Add("Content-Type", "application/json");
  response.Add("Cache-Control", "no-store");
  response.Add("X-Content-Type-Options", "nosniff");
  response.Add("X-Request-ID", request.id);
  response.SetBody(RenderView(facts));
  response.note = NoteOf(Layer::kBypass, p.key);
  co_return response;
}

void VideoEndpoint::Finished(const Request& request, const Response& response,
                             const http::Sent& sent) {
  log_.Finished(request, response, sent);
}

}  // namespace vr::delivery
