#include "delivery/passthrough_endpoint.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "delivery/bucket_answer.h"
#include "delivery/request_log.h"
#include "delivery/status.h"
#include "http/ascii.h"
#include "http/cache_status.h"
#include "http/conditions.h"
#include "http/forwarding.h"
#include "http/range.h"
#include "http/respond.h"
#include "http/status.h"
#include "http/url.h"
#include "io/loop.h"
#include "observe/log.h"

namespace vr::delivery {

namespace {

using http::Request;
using http::Response;

/// How long requests for a URL whose answer could not be shared go to the origin side by side.
constexpr std::chrono::seconds kUnshared{10};
constexpr size_t kMaxUnshared = 10'000;

constexpr std::string_view kAllow = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

template <class Names = std::initializer_list<std::string_view>>
bool HasAny(const Request& request, const Names& names) {
  return std::any_of(std::begin(names), std::end(names),
                     [&](std::string_view name) { return request.Get(name).has_value(); });
}

bool IsRead(const Request& request) {
  return request.method == http::Method::kGet || request.is_head();
}

/// The effective request URI (RFC 9110 §7.1), by which responses are kept: as the origin is told of
/// it, since it may answer by that.
std::string KeyOf(const Request& request) {
  std::string key(kPassthroughKeyPrefix);
  if (HasAny(request, {"X-Forwarded-Host", "X-Forwarded-Proto"})) {
    http::FieldList fields;
    for (const char* name : {"X-Forwarded-Host", "X-Forwarded-Proto"}) {
      if (request.Get(name)) fields.emplace_back(name, request.GetAll(name));
    }
    http::SetForwardedFields(fields, request);
    key += http::LowerCase(http::JoinedValues(fields, "X-Forwarded-Proto")) + "://";
    key += http::LowerCase(http::JoinedValues(fields, "X-Forwarded-Host"));
  } else {
    key += "http://";
    key += http::LowerCase(request.Get("Host").value_or(""));
  }
  key += request.target;
  return key;
}

/// Where an answer came from and by which rules it was stored: after a reload, what another origin
/// said, or what would not be stored now, is not used.
uint64_t PlaceOf(const origin::Resolved& resolved, const Snapshot& config) {
  std::string place = resolved.origin_name + '\0' + resolved.identity;
  place += config.policies[resolved.origin_index].rules.store_set_cookie ? 'c' : '-';
  return Hash64Of(place);
}

/// Fields of an answer that only we know.
void AppendOwnFields(std::string& fields, const Request& request, std::string_view status,
                     std::string_view source, const std::string& upstream,
                     const http::CacheStatus& ours, bool has_id) {
  std::string members = upstream;
  http::AppendCacheStatus(members, ours);
  fields += "X-Cache-Status: ";
  fields += status;
  fields += "\r\nX-Cache-Source: ";
  fields += source;
  fields += "\r\nCache-Status: ";
  fields += members;
  fields += "\r\n";
  if (has_id) return;
  fields += "X-Request-ID: ";
  fields += request.id;
  fields += "\r\n";
}

std::shared_ptr<RequestNote> NoteOf(std::string key, const std::string& origin, bool is_hit) {
  auto note = std::make_shared<RequestNote>();
  note->layer = cache::Layer::kEdge;
  note->has_layer = is_hit;
  note->is_passthrough = !is_hit;
  note->key = std::move(key);
  note->labels = std::make_unique<RequestLabels>();
  note->labels->origin = origin;
  return note;
}

/// The bytes of a stored part that a request asks for; nullopt when they are not all there.
std::optional<http::ByteRange> CoveredRange(const cache::StoredResponse& stored,
                                            std::string_view range) {
  const http::RangeSet set = http::ParseRange(range, stored.part->complete);
  if (set.kind != http::RangeSet::Kind::kOne) return std::nullopt;
  const uint64_t first = stored.part->first;
  if (set.one.first < first || set.one.last >= first + stored.size) return std::nullopt;
  return set.one;
}

http::Validators ValidatorsFor(const cache::StoredResponse& stored) {
  return http::Validators{stored.etag, stored.last_modified};
}

}  // namespace

struct PassthroughEndpoint::Asked {
  SnapshotRef snapshot;
  origin::Resolved resolved;
  std::string key;
  std::string source_path;
  uint64_t place = 0;
  http::CacheDirectives directives;
  int64_t now_ms = 0;
  cache::StoredRef whole;  ///< the newest complete response that the request selects
  cache::StoredRef part;   ///< the newest part
};

PassthroughEndpoint::PassthroughEndpoint(Deps deps)
    : deps_(std::move(deps)),
      forwarder_(Forwarder::Deps{deps_.client, deps_.metrics, deps_.pseudonym}) {
  auto bytes = deps_.metrics.GetGauge("video_resizer_passthrough_bytes",
                                      "Memory of stored passthrough responses");
  auto entries = deps_.metrics.GetGauge("video_resizer_passthrough_entries",
                                        "URLs with stored passthrough responses");
  auto evictions = deps_.metrics.GetGauge("video_resizer_passthrough_evictions",
                                          "URLs evicted from the passthrough cache since start");
  cache::HttpStore& store = deps_.exchange.store;
  deps_.metrics.OnRender([&store, bytes, entries, evictions]() mutable {
    bytes.Set(static_cast<double>(store.bytes()));
    entries.Set(static_cast<double>(store.entries()));
    evictions.Set(static_cast<double>(store.evictions()));
  });
}

PassthroughEndpoint::Asked PassthroughEndpoint::Ask(const Request& request, SnapshotRef snapshot,
                                                    origin::Resolved resolved) const {
  Asked asked;
  asked.key = KeyOf(request);
  asked.place = PlaceOf(resolved, *snapshot);
  asked.snapshot = std::move(snapshot);
  asked.resolved = std::move(resolved);
  asked.directives = http::ParseCacheControl(request.GetAll("Cache-Control"));
  asked.now_ms = ToUnixMillis(deps_.exchange.clock.Now());
  const auto decoded = http::PercentDecode(request.path);
  asked.source_path = decoded.ok() ? *decoded : std::string(request.path);
  asked.source_path.erase(0, asked.source_path.find_first_not_of('/'));
  if (!IsRead(request)) return asked;
  const cache::UrlEntryRef entry = deps_.exchange.store.Find(asked.key);
  if (!entry) return asked;
  for (cache::StoredRef& stored : cache::HttpStore::Select(*entry, request)) {
    if (stored->place != asked.place) continue;
    cache::StoredRef& slot = stored->is_complete() ? asked.whole : asked.part;
    if (!slot) slot = std::move(stored);
  }
  return asked;
}

// ---- answers from what is stored

std::optional<Response> PassthroughEndpoint::TryNow(const Request& request, SnapshotRef snapshot,
                                                    origin::Resolved resolved) {
  if (!IsRead(request)) return std::nullopt;
  const Asked asked = Ask(request, std::move(snapshot), std::move(resolved));
  if (asked.directives.no_store) return std::nullopt;
  if (asked.whole) {
    const http::Reuse reuse = http::JudgeReuse(asked.whole->policy, asked.directives, asked.now_ms);
    if (reuse == http::Reuse::kFresh || reuse == http::Reuse::kStale) {
      return RespondStored(request, asked, asked.whole,
                           reuse == http::Reuse::kFresh ? How::kHit : How::kStale);
    }
  }
  return std::nullopt;
}

Response PassthroughEndpoint::RespondStored(const Request& request, const Asked& asked,
                                            cache::StoredRef stored, How how) const {
  std::string fields;
  fields.reserve(256);
  const int64_t age_ms = stored->policy.AgeMs(asked.now_ms);
  fields += "Age: " + std::to_string(std::max<int64_t>(0, age_ms / 1000)) + "\r\n";
  http::CacheStatus ours;
  ours.cache = "edge";
  ours.hit = how != How::kValidated;
  ours.ttl = (stored->policy.lifetime_ms - age_ms) / 1000;
  if (how == How::kValidated) {
    ours.fwd = "stale";
    ours.fwd_status = 304;
    ours.stored = true;
  }
  AppendOwnFields(fields, request, how == How::kStale ? "STALE" : "HIT", "edge",
                  stored->cache_status, ours, http::HasField(stored->fields, "X-Request-ID"));
  Response response;
  if (stored->part) {
    const auto range = CoveredRange(*stored, request.Get("Range").value_or(""));
    response.status = 206;
    response.fields = std::move(fields);
    if (!stored->content_type.empty()) response.Add("Content-Type", stored->content_type);
    response.Add("Content-Range", http::ContentRange(*range, stored->part->complete));
    response.shared_fields = stored->head;
    std::vector<http::Piece> pieces;
    pieces.push_back(
        http::MemoryPiece{stored->memory, range->first - stored->part->first, range->length()});
    response.body = std::move(pieces);
  } else {
    http::Representation whole;
    whole.status = stored->status;
    whole.shared_fields = stored->head;
    whole.content_type = stored->content_type;
    whole.etag = stored->etag;
    whole.last_modified = stored->last_modified;
    whole.date = FromUnixMillis(stored->policy.date_ms);
    whole.fields = std::move(fields);
    if (stored->file) {
      whole.body = http::FileBody{stored->file, 0, stored->size};
    } else {
      whole.body = stored->memory;
    }
    response = http::RespondWith(std::move(whole), request);
    if (response.status == 304) response.shared_fields = stored->head_not_modified;
    if (response.status == stored->status) response.reason = stored->reason;
  }
  response.has_date = response.shared_fields != nullptr;
  response.note = NoteOf(asked.key, asked.resolved.origin_name, true);
  return response;
}

// ---- the story of what is not answered at once

Task<Response> PassthroughEndpoint::Handle(Context ctx, const Request& request,
                                           SnapshotRef snapshot, origin::Resolved resolved) {
  bool may_join = true;
  for (;;) {
    const Asked asked = Ask(request, snapshot, resolved);
    if (auto refused = AnswerHere(request, asked)) co_return std::move(*refused);
    if (asked.whole && !asked.directives.no_store) {
      const http::Reuse reuse =
          http::JudgeReuse(asked.whole->policy, asked.directives, asked.now_ms);
      if (reuse == http::Reuse::kStaleRevalidate) ValidateBehind(request, asked);
      if (reuse != http::Reuse::kValidate) {
        co_return RespondStored(request, asked, asked.whole,
                                reuse == http::Reuse::kFresh ? How::kHit : How::kStale);
      }
    }
    if (asked.part && !asked.whole && request.method == http::Method::kGet &&
        !asked.directives.no_store &&
        http::JudgeReuse(asked.part->policy, asked.directives, asked.now_ms) ==
            http::Reuse::kFresh) {
      const http::Validators validators = ValidatorsFor(*asked.part);
      const http::ConditionResult conditions = http::EvaluateConditions(request, validators);
      if (conditions.verdict == http::Verdict::kProceed && !conditions.range.empty() &&
          CoveredRange(*asked.part, conditions.range)) {
        co_return RespondStored(request, asked, asked.part, How::kHit);
      }
    }
    if (asked.directives.only_if_cached && IsRead(request)) {
      const Error error =
          Error(Code::kUnavailable, "nothing usable is stored, and only that was asked for")
              .WithReason("ORIGIN_TIMEOUT");
      co_return RespondFailure(request, asked, error);
    }

    Flight flight = StartOrJoin(request, asked, may_join, ctx.deadline);
    co_await WaitForAnswer(ctx, request, flight.exchange, flight.leads);

    const Exchange& exchange = *flight.exchange;
    const Exchange::Phase phase = exchange.Look().phase;
    if (phase == Exchange::Phase::kWaiting) {
      const Error late(Code::kDeadlineExceeded, "the origin did not answer in time");
      co_return RespondFailure(request, asked, late);
    }
    const std::shared_ptr<const Exchange::Answer> answer = exchange.answer();
    if (phase == Exchange::Phase::kFailed && !answer) {
      co_return RespondFailure(request, asked, *exchange.error());
    }
    if (phase == Exchange::Phase::kStored) {
      // What a validation brought is the leader's; the others find what of it is for all in the
      // store.
      cache::StoredRef stored = exchange.stored();
      if (flight.leads || (!exchange.is_validated() && stored->Matches(request))) {
        co_return RespondStored(request, asked, std::move(stored),
                                exchange.is_validated() ? How::kValidated : How::kStale);
      }
    } else if (flight.leads) {
      co_return RespondLive(request, asked, flight.exchange, std::nullopt);
    } else if (answer && answer->is_kept && answer->status != 206 &&
               answer->policy.FreshForMs(asked.now_ms) > 0 && !answer->policy.must_validate) {
      // What will be stored may answer who selects it (RFC 9111 §4) already while it arrives.
      const auto names = http::VaryNames(answer->fields);
      const bool is_selected =
          names && std::all_of(names->begin(), names->end(), [&](const std::string& name) {
            return http::SelectingValue(request, name) ==
                   http::SelectingValue(exchange.spec().request, name);
          });
      const std::optional<int> reader =
          is_selected ? flight.exchange->TryJoin() : std::optional<int>();
      if (reader) co_return RespondLive(request, asked, flight.exchange, reader);
    }
    may_join = false;  // it was not for us: ask for ourselves
  }
}

std::optional<Response> PassthroughEndpoint::AnswerHere(const Request& request,
                                                        const Asked& asked) const {
  if (request.method_name == "TRACE") {
    // It would show the client the credentials that we add for the origin.
    const Error refused =
        Error(Code::kInvalidArgument, "TRACE is not forwarded").WithReason("METHOD_NOT_ALLOWED");
    Response response = RespondFailure(request, asked, refused);
    response.Add("Allow", kAllow);
    return response;
  }
  if (!IsRead(request) && HasBucket(asked.resolved)) {
    const Error refused =
        Error(Code::kInvalidArgument, "this is read only").WithReason("METHOD_NOT_ALLOWED");
    Response response = RespondFailure(request, asked, refused);
    response.Add("Allow", "GET, HEAD");
    return response;
  }
  if (request.method == http::Method::kOptions && request.Get("Max-Forwards") == "0") {
    // RFC 9110 §7.6.2: the request ends here.
    Response response;
    response.status = 204;
    response.Add("Allow", kAllow);
    response.Add("Cache-Control", "no-store");
    response.Add("X-Request-ID", request.id);
    response.note = NoteOf(asked.key, asked.resolved.origin_name, false);
    return response;
  }
  return std::nullopt;
}

PassthroughEndpoint::Flight PassthroughEndpoint::StartOrJoin(const Request& request,
                                                             const Asked& asked, bool may_join,
                                                             SteadyTime deadline) {
  const http::CacheDirectives& cc = asked.directives;
  const bool has_wishes =
      cc.no_store || cc.no_cache || cc.max_age.is_present || cc.min_fresh.is_present;
  const bool is_conditional =
      HasAny(request, {"Range", "If-Match", "If-Unmodified-Since"}) ||
      (!asked.whole && HasAny(request, {"If-None-Match", "If-Modified-Since"}));
  const bool is_common = request.method == http::Method::kGet && !has_wishes && !is_conditional &&
                         request.body.empty() && !request.Get("Authorization");
  ExchangeRef exchange;
  if (is_common && may_join) {
    MutexLock lock(mutex_);
    const auto unshared = unshared_.find(asked.key);
    const bool is_unshared =
        unshared != unshared_.end() && std::chrono::steady_clock::now() < unshared->second;
    if (!is_unshared) {
      if (unshared != unshared_.end()) unshared_.erase(unshared);
      std::weak_ptr<Exchange>& slot = flights_[asked.key];
      if (ExchangeRef running = slot.lock()) {
        const Exchange::Phase phase = running->Look().phase;
        if (phase == Exchange::Phase::kWaiting || phase == Exchange::Phase::kBody) {
          return {std::move(running), false};
        }
      }
      exchange = Prepare(request, asked);
      slot = exchange;
    }
  }
  if (!exchange) exchange = Prepare(request, asked);
  std::shared_ptr<const std::string> body;
  if (HasAny(request, {"Content-Length", "Transfer-Encoding"})) {
    body = std::make_shared<const std::string>(request.body);
  }
  // Not under the lock: an exchange may end at once, and says so to Leave().
  forwarder_.Start(exchange, asked.snapshot, asked.resolved, std::move(body), deadline);
  return {std::move(exchange), true};
}

PassthroughEndpoint::ExchangeRef PassthroughEndpoint::Prepare(const Request& request,
                                                              const Asked& asked) {
  const Snapshot& config = *asked.snapshot;
  ExchangeSpec spec;
  spec.key = asked.key;
  spec.request = http::CloneHead(request);
  spec.rules = config.policies[asked.resolved.origin_index].rules;
  spec.max_object_bytes = config.passthrough.max_object_bytes;
  spec.disconnected_ms = std::chrono::milliseconds(config.freshness.stale_if_error).count();
  spec.origin = asked.resolved.origin_name;
  spec.source_path = asked.source_path;
  spec.tags = config.policies[asked.resolved.origin_index].cache_tags;
  spec.place = asked.place;
  spec.has_content = !request.body.empty();
  if (IsRead(request)) spec.held = asked.whole;
  if (request.method == http::Method::kGet) {
    spec.is_validation = asked.whole && http::ValidatorsOf(asked.whole->fields).any();
    const cache::StoredRef& part = asked.part;
    const bool is_conditional = HasAny(request, kConditionFields);
    if (part && !asked.whole && part->part->first == 0 && !part->strong_etag().empty() &&
        part->size < part->part->complete && !is_conditional &&
        http::JudgeReuse(part->policy, asked.directives, asked.now_ms) == http::Reuse::kFresh) {
      spec.is_completion = true;
      spec.held = part;
    }
  }
  spec.on_end = [this, key = asked.key](const Exchange& exchange, const Result<void>&) {
    Leave(key, &exchange);
  };
  return std::make_shared<Exchange>(deps_.exchange, std::move(spec));
}

Task<void> PassthroughEndpoint::WaitForAnswer(Context ctx, const Request& request,
                                              ExchangeRef exchange, bool passes_interims) {
  for (;;) {
    const uint64_t ticket = exchange->ticket();
    const Exchange::Phase phase = exchange->Look().phase;
    if (passes_interims && request.interim) {
      for (Exchange::Interim& interim : exchange->TakeInterims()) {
        co_await request.interim->SendInterim(interim.status, std::move(interim.lines));
      }
    }
    if (phase != Exchange::Phase::kWaiting) co_return;
    const bool changed = co_await exchange->WaitChange(ticket, ctx.deadline);
    if (!changed) co_return;
  }
}

Response PassthroughEndpoint::RespondLive(const Request& request, const Asked& asked,
                                          const ExchangeRef& exchange,
                                          std::optional<int> joined) const {
  const std::shared_ptr<const Exchange::Answer> answer = exchange->answer();
  const bool is_joined = joined.has_value();
  Response response;
  response.status = answer->status;
  response.reason = answer->reason;
  response.has_date = true;
  http::FieldList fields = answer->fields;
  if (is_joined) {
    // Of those who share it, only the first may have what may not be stored.
    for (const std::string& name : answer->policy.unstored_fields) http::EraseFields(fields, name);
  }
  response.fields = cache::RenderFields(fields);
  for (const auto& [name, value] : fields) {
    const std::string lower = http::LowerCase(name);
    if (lower == "content-type" || lower == "age") response.Add(name, value);
  }
  http::CacheStatus ours;
  ours.cache = "edge";
  const bool is_wished = asked.directives.no_cache || asked.directives.no_store;
  ours.fwd = !IsRead(request) ? "method" : is_wished ? "request" : asked.whole ? "stale" : "miss";
  ours.fwd_status = answer->status;
  ours.collapsed = is_joined;
  if (answer->is_kept) {
    ours.stored = true;
    ours.ttl = answer->policy.FreshForMs(asked.now_ms) / 1000;
  } else {
    ours.detail = answer->policy.why_not;
  }
  AppendOwnFields(response.fields, request, IsRead(request) ? "MISS" : "BYPASS", "origin",
                  http::JoinedValues(answer->fields, "Cache-Status"), ours,
                  http::HasField(answer->fields, "X-Request-ID"));
  response.note = NoteOf(asked.key, asked.resolved.origin_name, false);

  // The conditions that we kept from the origin are still the client's (RFC 9111 §4.3.2).
  if (exchange->spec().is_validation && answer->status == 200) {
    const http::StoredValidators known = http::ValidatorsOf(answer->fields);
    const http::Validators validators{known.etag, known.last_modified};
    if (http::EvaluateConditions(request, validators).verdict == http::Verdict::kNotModified) {
      response.status = 304;
      response.reason.clear();
      exchange->Abandon();
      return response;
    }
  }
  // Of a bucket's failed condition nothing but the head goes on.
  const bool has_no_body = request.is_head() || http::HasNoBody(answer->status);
  if (!answer->has_body && !has_no_body) return response;
  http::StreamBody body;
  body.length = answer->length;
  if (answer->has_body) {
    const int reader = is_joined ? *joined : exchange->AddReader();
    body.stream = std::make_shared<ExchangeStream>(exchange, reader);
  }
  response.body = std::move(body);
  return response;
}

Response PassthroughEndpoint::RespondFailure(const Request& request, const Asked& asked,
                                             const Error& error) const {
  Error told = error;
  if (told.reason.empty()) {
    // §5.2.2.2: who may not serve stale says 504 when the origin is out of reach.
    const bool must_validate = asked.whole && !asked.whole->policy.may_be_stale;
    told.reason = must_validate || error.code == Code::kDeadlineExceeded ? "ORIGIN_TIMEOUT"
                  : error.code == Code::kResourceExhausted               ? "OVERLOADED"
                                                                         : "ALL_SOURCES_FAILED";
    LogWarn("passthrough_failed", {{"key", asked.key}, {"error", error.ToLogString()}});
  }
  cache::TtlOptions never;
  never.ok = never.redirects = never.client_error = never.server_error = std::chrono::seconds(0);
  Response response = ErrorResponse(told, never);
  response.Add("X-Request-ID", request.id);
  response.Add("Via", "1.1 video-resizer");
  auto note = NoteOf(asked.key, asked.resolved.origin_name, false);
  note->reason = told.reason;
  note->detail = error.detail;
  response.note = std::move(note);
  return response;
}

// ---- validation behind an answer

void PassthroughEndpoint::ValidateBehind(const Request& request, const Asked& asked) {
  io::Loop* const loop = io::Loop::Current();
  if (!loop) return;
  {
    MutexLock lock(mutex_);
    if (!validating_.insert(asked.key).second) return;
  }
  // For everybody: without what this client alone wants to know.
  Request neutral = http::CloneHead(request);
  std::erase_if(neutral.fields, [](const http::Field& field) {
    return http::EqualsNoCase(field.name, "Cache-Control") ||
           std::any_of(std::begin(kConditionFields), std::end(kConditionFields),
                       [&](std::string_view name) { return http::EqualsNoCase(field.name, name); });
  });
  neutral.method = http::Method::kGet;
  neutral.method_name = "GET";
  auto clone = std::make_shared<const Request>(std::move(neutral));
  auto copy = std::make_shared<Asked>(asked);
  copy->directives = http::CacheDirectives();
  auto run = [this, clone, copy]() -> Task<void> { return RunValidation(clone, copy); };
  if (!group_.Spawn(loop->executor(), run)) EndValidation(asked.key);
}

void PassthroughEndpoint::EndValidation(const std::string& key) {
  MutexLock lock(mutex_);
  validating_.erase(key);
}

Task<void> PassthroughEndpoint::RunValidation(std::shared_ptr<const Request> request,
                                              std::shared_ptr<const Asked> asked) {
  const Context ctx;
  const Flight flight = StartOrJoin(*request, *asked, true, ctx.deadline);
  co_await WaitForAnswer(ctx, *request, flight.exchange, false);
  EndValidation(asked->key);
  if (flight.leads) flight.exchange->Abandon();
}

bool PassthroughEndpoint::Drain(SteadyTime deadline) {
  group_.Close();
  const bool is_empty = group_.WaitEmpty(deadline);
  return forwarder_.Drain(deadline) && is_empty;
}

void PassthroughEndpoint::Leave(const std::string& key, const Exchange* exchange) {
  const std::shared_ptr<const Exchange::Answer> answer = exchange->answer();
  MutexLock lock(mutex_);
  const auto flight = flights_.find(key);
  if (flight == flights_.end()) return;
  const ExchangeRef registered = flight->second.lock();
  if (registered && registered.get() != exchange) return;
  flights_.erase(flight);
  if (!answer || answer->is_kept) return;
  if (unshared_.size() >= kMaxUnshared) unshared_.clear();
  unshared_[key] = std::chrono::steady_clock::now() + kUnshared;
}

}  // namespace vr::delivery
