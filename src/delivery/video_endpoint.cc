#include "delivery/video_endpoint.h"

#include <algorithm>

#include "delivery/access.h"
#include "delivery/base_search.h"
#include "delivery/explain.h"
#include "delivery/head.h"
#include "delivery/job_events.h"
#include "delivery/known_targets.h"
#include "delivery/loop_guard.h"
#include "delivery/production_stream.h"
#include "delivery/redirect.h"
#include "delivery/refusal.h"
#include "delivery/status.h"
#include "http/ascii.h"
#include "http/client_address.h"
#include "http/prefer.h"
#include "http/range.h"
#include "http/respond.h"
#include "io/loop.h"
#include "observe/log.h"
#include "variant/key.h"
#include "variant/media_url.h"
#include "variant/negotiate.h"

namespace vr::delivery {

namespace {

using cache::Layer;
using http::Request;
using http::Response;

/// Originals do not depend on how we encode.

/// What a still of usual size comes to; the store keeps bodies of that size in its index.
constexpr uint64_t kFrameBytes = 32 << 10;

/// For `format=auto`, in order of preference, of those that a client names. A browser's <img> names
/// image/webp and no video, so a video asked for there comes as one that it can show.
constexpr variant::Format kNegotiable[] = {
    variant::Format::kMp4,  // named by few: everybody plays it
    variant::Format::kWebm, variant::Format::kWebp, variant::Format::kGif,  variant::Format::kJpg,
    variant::Format::kPng,  variant::Format::kM4a,  variant::Format::kOpus, variant::Format::kMp3,
};

bool Contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool AsksForDebug(const Request& request) {
  // One look at all fields: every request comes by here.
  return std::any_of(request.fields.begin(), request.fields.end(), [](const http::Field& field) {
    const bool is_flag = http::EqualsNoCase(field.name, "X-Debug") ||
                         http::EqualsNoCase(field.name, "X-Debug-Enabled") ||
                         http::EqualsNoCase(field.name, "Debug");
    return is_flag && (field.value == "true" || field.value == "1");
  });
}

double MillisSince(SteadyTime start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

void AddLocation(Response& response, std::string_view location, const Request& request) {
  if (location.empty()) return;
  if (location.starts_with('/') && variant::IsMediaUrl(request.path)) {
    // The same options, for the path of ours where the source is.
    constexpr size_t kOptions = std::string_view("/cdn-cgi/media/").size();
    const size_t end = request.path.find('/', std::min(kOptions, request.path.size()));
    response.Add("Location",
                 std::string(request.path.substr(0, end)) + LocationFor(location, request.query));
    return;
  }
  response.Add("Location", LocationFor(location, request.query));
}

class FieldsOf final : public variant::RequestFields {
 public:
  explicit FieldsOf(const Request& request) : request_(request) {}
  std::optional<std::string_view> Get(std::string_view name) const override {
    is_asked_ = true;
    return request_.Get(name);
  }
  bool is_asked() const { return is_asked_; }

 private:
  const Request& request_;
  mutable bool is_asked_ = false;
};

/// Of this thread. Loops come and go with the server; what they know goes with them.
KnownTargets& Known() {
  thread_local const auto known = std::make_unique<KnownTargets>();
  return *known;
}

http::Representation Represent(const cache::Entity& entity) {
  http::Representation whole;
  whole.status = entity.meta.status;
  whole.refuses_with_shared_fields = true;
  whole.content_type = entity.meta.content_type;
  whole.etag = entity.meta.etag;
  whole.last_modified = LastModifiedOf(entity.meta);
  if (entity.memory) {
    whole.body = entity.memory;
  } else {
    http::FileBody file;
    file.file = entity.file;
    file.size = entity.size();
    whole.body = std::move(file);
  }
  return whole;
}

/// "host[:port]" of a URL, without the port that its scheme has by itself.
std::string AuthorityOf(std::string_view url) {
  std::string_view rest = url.substr(std::min(url.size(), url.find("://") + 3));
  std::string authority(rest.substr(0, rest.find('/')));
  for (char& c : authority) c = http::ToLower(c);
  for (const std::string_view port : {":80", ":443"}) {
    if (authority.ends_with(port)) authority.erase(authority.size() - port.size());
  }
  return authority;
}

/// Takes a media URL apart and sees whether its source may be asked for.
Result<variant::MediaUrl> ReadMediaUrl(const Request& request, const Snapshot& config) {
  TRY(variant::MediaUrl url,
      variant::ParseMediaUrl(request.path, request.query, config.media_variant));
  if (!url.is_absolute()) return url;
  const std::string authority = url.authority();
  const std::string& public_url = config.delivery.public_url;
  const std::string host = "://" + std::string(request.Get("Host").value_or(""));
  if (authority == AuthorityOf(host) ||
      (!public_url.empty() && authority == AuthorityOf(public_url))) {
    // Ourselves: the path is all that matters.
    url.scheme.clear();
    return url;
  }
  if (!config.allowed_sources ||
      !config.allowed_sources->Allow(url.scheme, url.host, url.port, url.path)) {
    return Error(Code::kPermissionDenied, "sources at this place are not allowed",
                 "not in access.allowedSources: " + url.scheme + "://" + authority)
        .WithReason(std::string(origin::kNotAllowedReason));
  }
  return url;
}

/// An absolute URL as a source of the origin that has them all.
origin::Resolved ResolveUrl(const variant::MediaUrl& url, const Snapshot& config) {
  origin::Resolved resolved;
  resolved.origin_index = config.policies.size() - 1;
  resolved.origin_name = config.origins->origin(resolved.origin_index).name;
  resolved.identity = "url:" + url.canonical();
  origin::Location location;
  location.type = "http";
  location.base = url.scheme + "://" + url.authority();
  location.path = url.path;
  location.query = url.query;
  resolved.locations.push_back(std::move(location));
  return resolved;
}

/// What a link to this server begins with: as configured, or as this client reached it; empty when
/// that is not known, and the link is a path.
std::string BaseOf(const Request& request, const std::string& public_url) {
  if (!public_url.empty()) return public_url;
  const std::string_view host = request.Get("Host").value_or("");
  const bool is_sane = !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-._:[]").find(c) != std::string_view::npos;
  });
  if (!is_sane) return {};
  // A proxy in front that speaks TLS says so; a client that says so misleads itself only.
  const bool is_tls = request.is_tls || request.Get("X-Forwarded-Proto") == "https";
  return (is_tls ? "https://" : "http://") + std::string(host);
}

/// Often enough that the end is not found late, and that a failure is asked for while it is
/// remembered (cache::JobOptions::failure_memory).
int64_t RetrySecondsOf(const cache::Job& job, const cache::Job::View& view) {
  constexpr double kLeast = 1;
  constexpr double kMost = 5;
  constexpr double kUnknown = 2;
  if (view.estimated_seconds <= 0) return static_cast<int64_t>(kUnknown);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - job.begun();
  return static_cast<int64_t>(std::clamp(view.estimated_seconds - passed.count(), kLeast, kMost));
}

/// What the full queue of transforms would give back is refused before its source is opened, a file
/// is made for it, or it is counted against the client.
void AskForRoom(cache::Query& query, const ProductionSpec& spec, transform::WorkerPool& pool) {
  if (spec.plan.original) return;
  query.admit = [&pool, origin = spec.resolved.origin_name, client = spec.client,
                 next = std::move(query.admit)]() -> Result<void> {
    CHECK_OK(pool.HasRoom(origin, client));
    return next ? next() : Result<void>();
  };
}

/// A growing body answers a plain GET, and `bytes=0-` (every browser's first request), which asks
/// for the whole. Anything else that a range or precondition makes depend on the finished form has
/// to wait for it, unless what grows is that form.
cache::Growing GrowingFor(const Request& request) {
  if (request.Get("If-Match") || request.Get("If-Unmodified-Since")) {
    return cache::Growing::kStoredForm;
  }
  const auto range = request.Get("Range");
  switch (range ? http::ShapeOfRange(*range) : http::RangeShape::kNone) {
    case http::RangeShape::kNone:
    case http::RangeShape::kFromStart:
      return cache::Growing::kAny;
    case http::RangeShape::kOther:
      return cache::Growing::kStoredForm;
    case http::RangeShape::kSeveral:
      return cache::Growing::kNone;
  }
  return cache::Growing::kNone;
}

}  // namespace

Result<VideoEndpoint::Prepared> VideoEndpoint::Prepare(const Request& request) const {
  Prepared p;
  p.started = std::chrono::steady_clock::now();
  p.snapshot = deps_.snapshots.Get();
  const Snapshot& config = *p.snapshot;
  std::optional<variant::MediaUrl> media;
  p.is_targets_alone = true;
  if (variant::IsMediaUrl(request.path) && config.delivery.media_urls.enabled) {
    TRY(media, ReadMediaUrl(request, config));
    const bool is_ours = !media->is_absolute();
    p.is_targets_alone = media->host.empty();  // else ours by the Host field
    TRY(p.parsed, variant::ParseMediaOptions(
                      media->options, is_ours ? media->path : media->canonical(),
                      is_ours ? request.query : std::string_view(), config.media_variant));
  } else {
    const FieldsOf fields(request);
    TRY(p.parsed, variant::Parse(request.path, request.query, config.variant, &fields));
    p.is_targets_alone = !fields.is_asked();
  }
  variant::VariantRequest& asked = p.parsed.request;
  const bool is_elsewhere = media && media->is_absolute();
  // What a stranger's URL ends with says little; as it is, only what looks like a video is passed.
  const bool is_video =
      (is_elsewhere && !asked.is_original()) ||
      variant::IsVideoPath(variant::PathOfSource(asked.source_path), config.variant.video_formats);
  if (!is_video) {
    return Error(Code::kNotFound, "this path is not a video").WithReason("NOT_FOUND");
  }
  std::optional<origin::Resolved> resolved =
      is_elsewhere ? ResolveUrl(*media, config) : config.origins->Match("/" + asked.source_path);
  if (!resolved) {
    return Error(Code::kNotFound, "no origin is configured for this path")
        .WithReason("NO_MATCHING_ORIGIN");
  }
  p.resolved = std::move(*resolved);
  p.resolved.via = KinOf(request);
  p.policy = &config.policies[p.resolved.origin_index];
  if (asked.resolved.format == variant::Format::kAuto) p.is_targets_alone = false;
  if (asked.resolved.format == variant::Format::kAuto &&
      variant::NegotiateFormat(asked, request.Get("Accept").value_or(""), kNegotiable)) {
    p.vary = "Accept";
  }
  variant::ApplyOriginDefaults(asked, p.policy->quality, p.policy->compression);

  const Options& rules = config.delivery;
  variant::Flags& flags = p.parsed.flags;
  if (rules.debug_enabled || flags != variant::Flags()) p.is_targets_alone = false;
  const bool is_trusted = Contains(rules.debug_addresses, request.client());
  if (!rules.allow_public_bypass && !is_trusted && !rules.debug_enabled) flags = variant::Flags();
  p.is_debug = flags.debug || rules.debug_enabled || (is_trusted && AsksForDebug(request));

  if (asked.is_original() && config.variant.presets_only && !config.variant.allow_original) {
    return Error(Code::kPermissionDenied, "originals are not served here, name a derivative")
        .WithReason("SOURCE_NOT_ALLOWED");
  }
  p.key = variant::KeyOf(asked);
  p.digest = asked.is_original()
                 ? variant::DigestOf(asked, p.resolved.identity, kOriginalRecipe)
                 : variant::DigestOf(
                       asked, p.resolved.identity,
                       transform::RecipeOf(asked, config.transform, deps_.producer.pool.recipe()));
  return p;
}

cache::Query VideoEndpoint::QueryFor(const Request& request, const Prepared& p) const {
  const variant::Flags& flags = p.parsed.flags;
  cache::Query query;
  query.key = p.key;
  query.digest = p.digest;
  query.source = p.parsed.request.source_path;
  query.origin = p.resolved.origin_name;
  query.target = request.target;
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

cache::Patience VideoEndpoint::PatienceOf(const Request& request, const Prepared& p,
                                          const cache::Query& query) const {
  cache::Patience patience;
  // Who is sent away has to find the result later: not what a bypass makes for one client, and not
  // what nothing keeps.
  const bool is_shared = query.join && !p.parsed.flags.no_kv_cache && query.ttl.ok.count() > 0;
  const bool is_kept = query.write_kv || (query.write_edge && deps_.orchestrator.edge().enabled());
  if (!is_shared || !is_kept || request.is_head()) return patience;
  const http::Preferences preferences = http::ParsePrefer(request.GetAll("Prefer"));
  patience.threshold = p.snapshot->delivery.async_threshold;
  if (preferences.respond_async) patience.most = preferences.wait.value_or(std::chrono::seconds(0));
  return patience;
}

AnswerFacts VideoEndpoint::FactsFor(const Request& request, const Prepared& p, Layer layer) const {
  AnswerFacts facts;
  facts.layer = layer;
  facts.is_debug = p.is_debug;
  facts.now_ms = ToUnixMillis(deps_.clock.Now());
  facts.elapsed_ms = MillisSince(p.started);
  facts.kv_asked = p.snapshot->kv_enabled && !p.parsed.flags.no_kv_cache;
  facts.edge_asked = deps_.orchestrator.edge().enabled();
  facts.kv_written = facts.edge_written = !p.is_debug && p.policy->ttl.ok.count() > 0;
  facts.request_id = request.id;
  facts.parsed = &p.parsed;
  facts.vary = p.vary;
  facts.cache_control = p.policy->cache_control;
  return facts;
}

Response VideoEndpoint::RespondEntity(const Request& request, const Prepared& p,
                                      cache::EntityRef entity, Layer layer,
                                      cache::Freshness freshness) const {
  http::Representation whole = Represent(*entity);
  whole.shared_fields = entity->head;
  AnswerFacts facts = FactsFor(request, p, layer);
  facts.freshness = freshness;
  facts.entity = entity.get();
  facts.kv_written = entity->kv_backed;
  whole.fields.reserve(640);
  AppendAnswerFields(whole.fields, facts);
  whole.cache_control = CacheControlOf(facts);
  const bool is_within = StaysWithin(*p.snapshot, p.resolved, entity->location);
  Response response = Conclude(request, std::move(whole), entity, layer, freshness);
  static_cast<RequestNote&>(*response.note).is_redirect_within = is_within;
  return response;
}

Response VideoEndpoint::Conclude(const Request& request, http::Representation whole,
                                 cache::EntityRef entity, Layer layer, cache::Freshness freshness) {
  auto note = std::make_shared<RequestNote>();
  note->layer = layer;
  note->has_layer = true;
  note->freshness = freshness;
  note->entity = std::move(entity);
  const cache::Entity& answered = *note->entity;
  Response response = http::RespondWith(std::move(whole), request);
  AddLocation(response, answered.location, request);
  response.note = std::move(note);
  return response;
}

std::shared_ptr<RequestNote> VideoEndpoint::NoteOf(Layer layer, const Prepared& p) {
  auto note = std::make_shared<RequestNote>();
  note->layer = layer;
  note->has_layer = true;
  note->key = p.key;
  note->labels =
      std::make_unique<RequestLabels>(LabelsOf(p.parsed.request, p.resolved.origin_name));
  return note;
}

Response VideoEndpoint::RespondGrowing(const Request& request, const Prepared& p,
                                       const cache::Metadata& meta, http::GrowingBody body,
                                       AnswerFacts facts) const {
  http::Representation whole;
  whole.shared_fields = std::make_shared<const std::string>(RenderLiveHead(p.key, meta, true));
  whole.refuses_with_shared_fields = true;
  whole.content_type = meta.content_type;
  whole.etag = meta.etag;
  whole.last_modified = LastModifiedOf(meta);
  whole.body = std::move(body);
  facts.lifetime = p.policy->ttl.ok;
  facts.is_stored_form = true;
  AppendAnswerFields(whole.fields, facts);
  whole.cache_control = CacheControlOf(facts);
  Response response = http::RespondWith(std::move(whole), request);
  response.note = NoteOf(facts.layer, p);
  return response;
}

Response VideoEndpoint::RespondUnfinished(const Prepared& p, const cache::Metadata& meta,
                                          std::shared_ptr<http::BodyStream> stream,
                                          const AnswerFacts& facts) const {
  Response response;
  AppendField(response.fields, "Content-Type", meta.content_type);
  response.fields += RenderLiveHead(p.key, meta, false);
  AppendAnswerFields(response.fields, facts);
  AppendField(response.fields, "Cache-Control", CacheControlOf(facts));
  http::StreamBody body;
  body.stream = std::move(stream);
  response.body = std::move(body);
  response.note = NoteOf(facts.layer, p);
  return response;
}

Response VideoEndpoint::RespondLive(const Request& request, const Prepared& p,
                                    const cache::Answer& answer) const {
  const cache::ProductionRef live = answer.live;
  const std::shared_ptr<const cache::Waiter> waiter = answer.waiter;
  const std::shared_ptr<const cache::StreamHead> head = live->head();
  const AnswerFacts facts = FactsFor(request, p, answer.layer);
  // The streamed form of a video is another representation than the one stored: no validator, no
  // ranges, nothing that a cache could splice. An original that grows is the stored body itself.
  if (!head->has_stored_form()) {
    return RespondUnfinished(p, head->meta, std::make_shared<ProductionStream>(live, waiter),
                             facts);
  }
  http::GrowingBody body;
  body.size = *head->length;
  body.open = [live, waiter](uint64_t first, uint64_t length) {
    return std::make_shared<ProductionStream>(live, waiter, first, length);
  };
  return RespondGrowing(request, p, head->meta, std::move(body), facts);
}

Response VideoEndpoint::RespondAccepted(const Request& request, const Prepared& p,
                                        const cache::Answer& answer) const {
  const cache::Job& job = *answer.job;
  const cache::Job::View view = job.Look();
  const std::string sse = JobEvents::PathOf(job);
  std::string body = "{\"status\":\"";
  body += cache::ToString(view.state);
  body += "\",\"jobId\":\"" + job.id() + "\",\"message\":";
  AppendJsonString(body, "the variant is being made; ask for path again, or follow sse");
  body += ",\"path\":";
  AppendJsonString(body, request.full_target.empty() ? request.target : request.full_target);
  body += ",\"sse\":";
  AppendJsonString(body, BaseOf(request, p.snapshot->delivery.public_url) + sse);
  body += "}\n";

  Response response;
  response.status = 202;
  response.Add("Content-Type", "application/json");
  response.Add("Cache-Control", "no-store");
  response.Add("X-Content-Type-Options", "nosniff");
  response.Add("Retry-After", std::to_string(RetrySecondsOf(job, view)));
  if (http::ParsePrefer(request.GetAll("Prefer")).respond_async) {
    response.Add("Preference-Applied", "respond-async");
  }
  response.SetBody(std::move(body));
  AnswerFacts facts = FactsFor(request, p, answer.layer);
  facts.kv_written = facts.edge_written = false;
  AppendField(response.fields, "X-KV-Cache-Key", p.key);
  AppendField(response.fields, "Via", "1.1 video-resizer");
  AppendField(response.fields, "X-Origin", Printable(p.resolved.origin_name));
  AppendDerivative(response.fields, p.parsed.request.derivative);
  AppendTags(response.fields, TagsOf(p));
  AppendAnswerFields(response.fields, facts);
  response.note = NoteOf(answer.layer, p);
  return response;
}

Response VideoEndpoint::RespondFailure(const Request& request, const Prepared& p,
                                       const Error& error, Layer layer) const {
  // Nobody keeps anything of a debug request, its failure neither.
  const cache::TtlOptions ttl = p.is_debug ? cache::TtlOptions{{}, {}, {}, {}} : p.policy->ttl;
  Response response = ErrorResponse(error, ttl);
  AnswerFacts facts = FactsFor(request, p, layer);
  facts.kv_written = false;
  facts.edge_written = !p.is_debug && !request.is_head() && IsRemembered(error, ttl);
  AppendField(response.fields, "X-KV-Cache-Key", p.key);
  AppendField(response.fields, "Via", "1.1 video-resizer");
  AppendField(response.fields, "X-Origin", Printable(p.resolved.origin_name));
  AppendDerivative(response.fields, p.parsed.request.derivative);
  AppendTags(response.fields, TagsOf(p));
  AddLocation(response, LocationOf(error), request);
  AppendAnswerFields(response.fields, facts);
  std::shared_ptr<RequestNote> note = NoteOf(layer, p);
  note->reason = ReasonOf(error);
  note->detail = error.detail;
  note->is_redirect_within = StaysWithin(*p.snapshot, p.resolved, LocationOf(error));
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
  response.Add("X-Content-Type-Options", "nosniff");
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
    Response response = Refusal(request, refused);
    response.Add("Allow", "GET, HEAD");
    return response;
  }
  if (auto health = Health(request)) return health;
  Result<Prepared> prepared = Prepare(request);
  if (!prepared.ok()) {
    return Refusal(request, prepared.error(), deps_.snapshots.Get()->ttl);
  }
  const Prepared& p = *prepared;
  HitNow hit;
  if (!p.is_debug && !p.parsed.flags.no_read && !p.parsed.flags.debug_view) {
    hit = LookupNow(p.key, p.digest, p.snapshot->kv_enabled && !p.parsed.flags.no_kv_cache,
                    ToUnixMillis(deps_.clock.Now()));
  }
  if (!hit.entity) {
    request.carried = std::make_shared<Prepared>(std::move(*prepared));
    return std::nullopt;
  }
  CountFor(p.parsed.request.source_path);
  if (hit.layer == Layer::kEdge) FollowUp(request, p, hit.entity);
  Remember(request, p);
  return RespondEntity(request, p, std::move(hit.entity), hit.layer);
}

VideoEndpoint::HitNow VideoEndpoint::LookupNow(std::string_view key, const Hash128& digest,
                                               bool may_read_kv, int64_t now_ms) const {
  HitNow hit;
  hit.entity = deps_.orchestrator.LookupEdge(key, digest, now_ms);
  if (hit.entity || !may_read_kv) return hit;
  hit.entity = deps_.orchestrator.LookupRecentRead(key, digest, now_ms);
  hit.layer = Layer::kKv;
  return hit;
}

void VideoEndpoint::Remember(const Request& request, const Prepared& p) {
  if (!p.is_targets_alone || !Known().Offer(request.target, p.snapshot->generation)) return;
  KnownTarget known;
  known.target = request.target;
  known.key = p.key;
  known.digest = p.digest;
  known.policy = p.policy;
  known.parsed = p.parsed;
  Known().Put(std::move(known));
}

std::optional<Response> VideoEndpoint::TryKnown(const Request& request, const Snapshot& config) {
  if (request.method != http::Method::kGet && request.method != http::Method::kHead) {
    return std::nullopt;
  }
  KnownTarget* const known = Known().Find(request.target, config.generation);
  if (known == nullptr) return std::nullopt;
  const auto& trusted = config.delivery.debug_addresses;
  if (!trusted.empty() && AsksForDebug(request) && Contains(trusted, request.client())) {
    return std::nullopt;
  }
  const int64_t now_ms = ToUnixMillis(deps_.clock.Now());
  auto [hit, layer] = LookupNow(known->key, known->digest, config.kv_enabled, now_ms);
  // Where a remembered redirect leads is looked at in full.
  if (!hit || !hit->location.empty()) return std::nullopt;
  if (layer == Layer::kEdge && io::Loop::Current() &&
      deps_.orchestrator.IsCheckDue(*hit, config.freshness, now_ms)) {
    const Result<Prepared> prepared = Prepare(request);
    if (prepared.ok()) CheckSource(request, *prepared, hit);
  }

  CountFor(hit->meta.source_path);
  AnswerFacts facts;
  facts.layer = layer;
  facts.edge_asked = deps_.orchestrator.edge().enabled();
  facts.now_ms = now_ms;
  facts.entity = hit.get();
  facts.parsed = &known->parsed;
  facts.request_id = request.id;
  facts.cache_control = known->policy->cache_control;
  if (!known->head.Holds(hit, facts.now_ms)) {
    std::string fields;
    fields.reserve(1024);
    AppendSharedFields(fields, facts);
    if (hit->head) fields += *hit->head;
    known->head.of = hit;
    known->head.from_ms = facts.now_ms;
    known->head.until_ms = HeadHoldsUntil(hit->meta, facts.now_ms);
    known->head.fields = std::make_shared<const std::string>(std::move(fields));
  }
  http::Representation whole = Represent(*hit);
  whole.shared_fields = known->head.fields;
  whole.cache_control = CacheControlOf(facts);
  if (request.received_at != SteadyTime()) facts.elapsed_ms = MillisSince(request.received_at);
  whole.fields.reserve(240);
  AppendOwnFields(whole.fields, facts);
  return Conclude(request, std::move(whole), std::move(hit), layer);
}

std::vector<std::string> VideoEndpoint::TagsOf(const Prepared& p) {
  return variant::TagsOf(p.parsed.request, p.policy->cache_tags, p.snapshot->variant.tag_prefix);
}

ProductionSpec VideoEndpoint::SpecFor(const Prepared& p, transform::Plan plan) const {
  ProductionSpec spec;
  spec.snapshot = p.snapshot;
  spec.request = p.parsed.request;
  spec.resolved = p.resolved;
  spec.tags = TagsOf(p);
  spec.plan = std::move(plan);
  return spec;
}

BaseFinder VideoEndpoint::BaseFinderFor(const Prepared& p, const cache::Query& query) const {
  // Whoever wants nothing that is held wants nothing made of it either.
  const bool may_use_held = query.join && query.read_edge;
  if (!p.snapshot->delivery.derive_from_cached || p.parsed.request.is_original() || !may_use_held) {
    return nullptr;
  }
  BaseSearch search{deps_.orchestrator,           p.snapshot,   p.parsed.request, p.resolved,
                    deps_.producer.pool.recipe(), query.read_kv};
  return [search = std::move(search)](Context ctx) { return FindBase(std::move(ctx), search); };
}

std::shared_ptr<VideoProducer> VideoEndpoint::ProducerFor(const Prepared& p,
                                                          transform::Plan plan) const {
  return std::make_shared<VideoProducer>(deps_.producer, SpecFor(p, std::move(plan)));
}

void VideoEndpoint::FollowUp(const Request& request, const Prepared& p,
                             const cache::EntityRef& hit) const {
  if (!io::Loop::Current() || !deps_.orchestrator.IsCheckDue(*hit, p.snapshot->freshness)) return;
  CheckSource(request, p, hit);
}

void VideoEndpoint::CheckSource(const Request& request, const Prepared& p,
                                const cache::EntityRef& hit) const {
  Result<transform::Plan> plan = transform::MakePlan(p.parsed.request, p.snapshot->transform);
  if (!plan.ok()) return;
  cache::Query query = QueryFor(request, p);
  query.tags = TagsOf(p);
  deps_.orchestrator.CheckSource(io::Loop::Current()->executor(), hit, std::move(query),
                                 ProducerFor(p, std::move(*plan)));
}

Task<Response> VideoEndpoint::Handle(Context ctx, const Request& request) {
  // TryNow has just said that there is more to do, and left what it found out. Unless a reload in
  // between sent the request to another handler first.
  auto carried = std::static_pointer_cast<Prepared>(std::move(request.carried));
  if (!carried) {
    Result<Prepared> prepared = Prepare(request);
    if (!prepared.ok()) {
      co_return Refusal(request, prepared.error(), deps_.snapshots.Get()->ttl);
    }
    carried = std::make_shared<Prepared>(std::move(*prepared));
  }
  const Prepared& p = *carried;
  if (p.parsed.flags.debug_view) co_return co_await HandleView(ctx, request, p);

  Result<transform::Plan> plan = transform::MakePlan(p.parsed.request, p.snapshot->transform);
  if (!plan.ok()) co_return RespondFailure(request, p, plan.error(), Layer::kTransform);

  cache::Query query = QueryFor(request, p);
  query.growing = GrowingFor(request);
  query.patience = PatienceOf(request, p, query);
  const Layer missed = query.join ? Layer::kTransform : Layer::kBypass;
  ProductionSpec spec = SpecFor(p, std::move(*plan));
  spec.client = http::ClientGroupOf(request.client());
  LimitProductions(query, *p.snapshot, spec.client, deps_.limiter);
  AskForRoom(query, spec, deps_.producer.pool);
  spec.find_base = BaseFinderFor(p, query);
  query.tags = spec.tags;
  if (p.parsed.request.mode == variant::Mode::kFrame) query.expected_bytes = kFrameBytes;
  auto producer = std::make_shared<VideoProducer>(deps_.producer, spec);
  Result<cache::Answer> answer = cache::Answer();
  if (request.is_head()) {
    answer = co_await deps_.orchestrator.Peek(ctx, std::move(query), std::move(producer));
  } else {
    answer = co_await deps_.orchestrator.Fetch(ctx, std::move(query), std::move(producer));
  }
  if (!answer.ok()) co_return RespondFailure(request, p, answer.error(), missed);
  CountFor(p.parsed.request.source_path);
  if (answer->entity) {
    co_return RespondEntity(request, p, std::move(answer->entity), answer->layer,
                            answer->freshness);
  }
  if (answer->live) co_return RespondLive(request, p, *answer);
  if (answer->job) co_return RespondAccepted(request, p, *answer);
  co_return co_await Describe(ctx, request, p, spec, missed);
}

Task<Response> VideoEndpoint::Describe(Context ctx, const Request& request, const Prepared& p,
                                       const ProductionSpec& spec, Layer layer) {
  Result<origin::SourceRef> source = co_await OpenSource(ctx, spec);
  if (!source.ok()) co_return RespondFailure(request, p, source.error(), layer);
  const cache::Metadata meta = DescribeVariant(spec, (*source)->info());
  AnswerFacts facts = FactsFor(request, p, layer);
  facts.kv_written = facts.edge_written = false;
  // Length and validator of an original are its source's; of a transform nobody knows them yet.
  const std::optional<uint64_t> length = (*source)->info().size;
  if (!spec.plan.original || !length || meta.etag.empty()) {
    co_return RespondUnfinished(p, meta, nullptr, facts);
  }
  http::GrowingBody body;
  body.size = *length;
  body.open = [](uint64_t, uint64_t) { return nullptr; };
  co_return RespondGrowing(request, p, meta, std::move(body), facts);
}

Task<Response> VideoEndpoint::HandleView(Context ctx, const Request& request, const Prepared& p) {
  const cache::Explanation held = co_await deps_.orchestrator.Explain(ctx, p.key, p.digest);
  Result<transform::Plan> plan = transform::MakePlan(p.parsed.request, p.snapshot->transform);
  ViewFacts facts;
  facts.request = &p.parsed;
  facts.key = p.key;
  facts.digest = p.digest.ToHex();
  facts.resolved = &p.resolved;
  facts.tags = TagsOf(p);
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
  response.note = NoteOf(Layer::kBypass, p);
  co_return response;
}

void VideoEndpoint::Finished(const Request& request, const Response& response,
                             const http::Sent& sent) {
  log_.Finished(request, response, sent);
}

}  // namespace vr::delivery
