#include "admin/admin_handler.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "http/codes.h"
#include "http/respond.h"
#include "http/url.h"
#include "io/timer.h"
#include "observe/log.h"

namespace vr::admin {

namespace {

using Json = nlohmann::ordered_json;
using http::Request;
using http::Response;

constexpr size_t kDefaultLimit = 100;
constexpr int64_t kDefaultHours = 24;
constexpr size_t kMaxLimit = 1000;
constexpr size_t kMostPrewarmed = 10'000;
constexpr std::string_view kJobPrefix = "/admin/jobs/";
constexpr std::string_view kPrewarm = "/admin/prewarm";
constexpr std::string_view kPrewarmPrefix = "/admin/prewarm/";
constexpr std::string_view kWebhook = "/admin/prewarm/webhook";

/// What a route answers.
std::string_view AllowedAt(std::string_view path) {
  if (path == "/admin/purge" || path == kWebhook) return "POST";
  if (path == kPrewarm) return "GET, HEAD, POST";
  if (path.starts_with(kPrewarmPrefix)) return "GET, HEAD, DELETE";
  if (path.starts_with(kJobPrefix)) return "DELETE";
  return "GET, HEAD";
}

/// Of those that some route answers.
std::string_view NameOf(http::Method method) {
  switch (method) {
    case http::Method::kGet:
      return "GET";
    case http::Method::kHead:
      return "HEAD";
    case http::Method::kPost:
      return "POST";
    case http::Method::kDelete:
      return "DELETE";
    default:
      return "none";
  }
}

bool IsPrewarm(std::string_view path) {
  return path == kPrewarm || path.starts_with(kPrewarmPrefix);
}
/// Listing and removing 100,000 entries takes seconds; a proxy in front gives up earlier than this.
constexpr std::chrono::minutes kPurgeTime{10};

Response Text(int status, std::string_view type, std::string body) {
  Response response;
  response.status = status;
  response.Add("Content-Type", type);
  response.Add("Cache-Control", "no-store");
  response.Add("X-Content-Type-Options", "nosniff");
  response.SetBody(std::move(body));
  return response;
}

Response JsonAnswer(const Json& body) {
  return Text(http::kOk, "application/json",
              body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Response Refusal(int status, std::string_view code, std::string_view message) {
  Response response = http::ErrorResponse(status, code, message);
  response.Add("Cache-Control", "no-store");
  return response;
}

Response FailureOf(const Error& error) {
  if (error.code == Code::kInvalidArgument) {
    return Refusal(http::kBadRequest, "INVALID_PARAMETER", error.public_message);
  }
  if (error.code == Code::kDeadlineExceeded || error.code == Code::kUnavailable) {
    LogWarn("admin_failed", {{"error", error.ToLogString()}});
    return Refusal(http::kServiceUnavailable, "UNAVAILABLE", error.public_message);
  }
  LogError("admin_failed", {{"error", error.ToLogString()}});
  return Refusal(http::kInternalServerError, "INTERNAL", "internal error");
}

Json ViewOf(const cache::EntryView& view) {
  Json j;
  j["key"] = view.key;
  j["layers"]["edge"] = view.in_edge;
  j["layers"]["KV"] = view.in_kv;
  if (view.use) {
    j["use"]["count"] = view.use->uses;
    j["use"]["lastAt"] = view.use->last_ms;
    j["use"]["ttlFactor"] = view.use->ttl_factor;
  }
  j["metadata"] = Json::parse(view.metadata_json, nullptr, false);
  return j;
}

Json ViewOf(const cache::Prewarmer::View& view) {
  Json j;
  j["id"] = view.id;
  j["cause"] = cache::ToString(view.cause);
  j["state"] = view.ended_ms != 0 ? "ended" : view.running > 0 ? "running" : "waiting";
  j["createdAt"] = view.created_ms;
  if (view.ended_ms != 0) j["endedAt"] = view.ended_ms;
  j["total"] = view.total;
  j["queued"] = view.queued;
  j["running"] = view.running;
  j["made"] = view.made;
  j["held"] = view.held;
  j["joined"] = view.joined;
  j["failed"] = view.failed;
  j["cancelled"] = view.cancelled;
  Json failures = Json::array();
  for (const cache::Prewarmer::Failure& failure : view.failures) {
    failures.push_back(
        Json{{"target", failure.target}, {"code", failure.code}, {"message", failure.message}});
  }
  if (!failures.empty()) j["failures"] = std::move(failures);
  return j;
}

Json ViewOf(const cache::JobRow& row) {
  const cache::Job::View& view = row.view;
  Json j;
  j["id"] = row.names.id;
  j["key"] = row.names.key;
  j["path"] = row.names.target;
  j["state"] = cache::ToString(view.state);
  j["percent"] = view.percent;
  j["origin"] = row.names.origin;
  if (!view.has_ended()) {
    j["priority"] = cache::ToString(row.interest);
    j["waiters"] = row.waiters;
  }
  j["seconds"] = row.seconds;
  if (view.estimated_seconds > 0) j["estimatedSeconds"] = view.estimated_seconds;
  j["createdAt"] = view.created_ms;
  if (view.started_ms != 0) j["startedAt"] = view.started_ms;
  if (view.ended_ms != 0) j["endedAt"] = view.ended_ms;
  if (view.error) {
    j["error"]["code"] = view.error->reason.empty() ? ToString(view.error->code)
                                                    : std::string_view(view.error->reason);
    j["error"]["message"] = view.error->public_message;
    j["error"]["detail"] = view.error->detail;
  }
  return j;
}

Response Accepted(const Json& body) {
  return Text(http::kAccepted, "application/json",
              body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Error BadBody(std::string message) {
  return Error(Code::kInvalidArgument, std::move(message)).WithReason("INVALID_PARAMETER");
}

/// Why an order was not taken.
Response Refused(const Error& error) {
  if (error.code == Code::kResourceExhausted) {
    Response refused = Refusal(http::kServiceUnavailable, "OVERLOADED", error.public_message);
    refused.Add("Retry-After", "60");
    return refused;
  }
  if (error.code == Code::kUnavailable) return FailureOf(error);
  return Refusal(http::kBadRequest, error.reason.empty() ? "INVALID_PARAMETER" : error.reason,
                 error.public_message);
}

/// A list of texts that are not empty.
bool ReadTexts(const Json& value, std::vector<std::string>& out) {
  if (!value.is_array()) return false;
  for (const Json& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) return false;
    out.push_back(item.get<std::string>());
  }
  return true;
}

std::string Parameter(const http::QueryPairs& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

bool IsAuthorized(std::string_view authorization, std::string_view token) {
  constexpr std::string_view kScheme = "Bearer ";
  if (token.empty() || !authorization.starts_with(kScheme)) return false;
  const std::string_view given = authorization.substr(kScheme.size());
  // Every byte of the token is looked at, whatever was given.
  size_t differences = given.size() ^ token.size();
  for (size_t i = 0; i < token.size(); ++i) {
    const char c = given.empty() ? '\0' : given[i % given.size()];
    differences |= static_cast<size_t>(static_cast<unsigned char>(c ^ token[i]));
  }
  return differences == 0;
}

Result<PurgeRequest> ParsePurge(std::string_view json) {
  const auto bad = [](std::string message) {
    return Error(Code::kInvalidArgument, std::move(message)).WithReason("INVALID_PARAMETER");
  };
  const Json j = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (j.is_discarded() || !j.is_object()) return bad("the body must be a JSON object");
  PurgeRequest request;
  bool is_dry = false;
  for (const auto& [name, value] : j.items()) {
    cache::PurgeScope& scope = request.scope;
    const auto text = [&](std::optional<std::string>& out) {
      if (!value.is_string() || value.get_ref<const std::string&>().empty()) return false;
      out = value.get<std::string>();
      return true;
    };
    bool is_good = true;
    if (name == "key") {
      is_good = text(scope.key);
    } else if (name == "tag") {
      is_good = text(scope.tag);
    } else if (name == "source") {
      is_good = text(scope.source);
    } else if (name == "prefix") {
      is_good = text(scope.prefix);
    } else if (name == "origin") {
      is_good = text(scope.origin);
    } else if (name == "createdBefore") {
      is_good = value.is_number_integer();
      if (is_good) scope.created_before_ms = value.get<int64_t>();
    } else if (name == "everything") {
      is_good = value.is_boolean() && value.get<bool>();
      scope.everything = is_good;
    } else if (name == "mode") {
      is_good = value == "hard" || value == "soft";
      if (value == "soft" && request.mode == cache::PurgeMode::kHard) {
        request.mode = cache::PurgeMode::kSoft;
      }
    } else if (name == "dryRun") {
      is_good = value.is_boolean();
      is_dry = is_good && value.get<bool>();
    } else {
      return bad("\"" + name +
                 "\" is unknown; allowed: key, tag, source, prefix, origin (strings), "
                 "createdBefore (ms since "
                 "1970), everything (true), mode (hard, soft), dryRun (boolean)");
    }
    if (!is_good) {
      return bad("\"" + name + "\" has an impossible value: " +
                 value.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
  }
  if (is_dry) request.mode = cache::PurgeMode::kDryRun;
  if (!request.scope.is_valid()) {
    return bad("name exactly one of key, tag, source, prefix, origin, createdBefore, everything");
  }
  return request;
}

Result<std::vector<std::string>> ParsePrewarm(std::string_view json) {
  const Json j = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (j.is_discarded() || !j.is_object()) return BadBody("the body must be a JSON object");
  std::vector<std::string> sources, derivatives, targets;
  for (const auto& [name, value] : j.items()) {
    std::vector<std::string>* const list = name == "sources"       ? &sources
                                           : name == "derivatives" ? &derivatives
                                           : name == "targets"     ? &targets
                                                                   : nullptr;
    if (list == nullptr) {
      return BadBody("\"" + name + "\" is unknown; allowed: sources, derivatives, targets");
    }
    if (!ReadTexts(value, *list)) return BadBody("\"" + name + "\" must be a list of texts");
  }
  if (sources.empty() != derivatives.empty()) {
    return BadBody("\"sources\" and \"derivatives\" go together");
  }
  if (sources.size() * derivatives.size() + targets.size() > kMostPrewarmed) {
    return BadBody("at most " + std::to_string(kMostPrewarmed) + " variants in one order");
  }
  for (std::string& source : sources) {
    if (source.find_first_of("?#") != source.npos) {
      return BadBody("\"" + source + "\" is no path: ? and # are written %3F and %23");
    }
    if (!source.starts_with('/')) source.insert(0, 1, '/');
    for (const std::string& derivative : derivatives) {
      targets.push_back(source + "?derivative=" + http::PercentEncode(derivative));
    }
  }
  if (targets.empty()) return BadBody("nothing to do: name sources and derivatives, or targets");
  return targets;
}

Result<std::vector<Upload>> ParseNotification(std::string_view json, size_t& ignored) {
  ignored = 0;
  const Json j = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (j.is_discarded() || !j.is_object()) return BadBody("the body must be a JSON object");
  std::vector<Upload> uploads;
  if (!j.contains("Records")) {
    // What S3 sends when notifications are switched on.
    if (!j.contains("Event")) return BadBody("\"Records\" is missing: no notification of S3");
    ++ignored;
    return uploads;
  }
  const Json& records = j["Records"];
  if (!records.is_array()) return BadBody("\"Records\" must be a list");
  for (const Json& record : records) {
    const auto text = [&record](const char* pointer) {
      const Json::json_pointer at(pointer);
      if (!record.is_object() || !record.contains(at) || !record[at].is_string()) {
        return std::string();
      }
      return record[at].get<std::string>();
    };
    const std::string event = text("/eventName");
    Result<std::string> key = http::QueryDecode(text("/s3/object/key"));
    if (!key.ok() || key->empty()) return BadBody("a record has no s3.object.key");
    // With "s3:" in front from some that are not S3.
    if (event.find("ObjectCreated:") == event.npos) {
      ++ignored;
      continue;
    }
    uploads.push_back(Upload{text("/s3/bucket/name"), std::move(*key)});
  }
  return uploads;
}

std::optional<Response> AdminHandler::TryNow(const Request& request) {
  const bool is_purge = request.path == "/admin/purge";
  const bool is_job = request.path.starts_with(kJobPrefix);
  const bool is_prewarm = IsPrewarm(request.path);
  const std::string_view allowed = AllowedAt(request.path);
  if (allowed.find(NameOf(request.method)) == allowed.npos) {
    Response refused = Refusal(http::kMethodNotAllowed, "METHOD_NOT_ALLOWED",
                               "answered here: " + std::string(allowed));
    refused.Add("Allow", allowed);
    return refused;
  }
  if (request.path == "/metrics") {
    return Text(http::kOk, "text/plain; version=0.0.4; charset=utf-8", metrics_.Render());
  }
  if (request.path == "/healthz") return Text(http::kOk, "text/plain; charset=utf-8", "ok\n");
  if (request.path == "/readyz") {
    const std::optional<std::string> why = not_ready_();
    if (!why) return Text(http::kOk, "text/plain; charset=utf-8", "ok\n");
    return Text(http::kServiceUnavailable, "text/plain; charset=utf-8",
                "not ready: " + *why + "\n");
  }
  if (!is_purge && !is_job && !is_prewarm && request.path != "/admin/variants" &&
      request.path != "/admin/entry" && request.path != "/admin/jobs" &&
      request.path != "/admin/analytics") {
    return Refusal(http::kNotFound, "NOT_FOUND", "no such admin route");
  }
  if (token_.empty()) {
    return Refusal(http::kForbidden, "ADMIN_CLOSED",
                   "no admin token is configured: these routes are closed");
  }
  if (!IsAuthorized(request.Get("Authorization").value_or(""), token_)) {
    Response refused = Refusal(http::kUnauthorized, "UNAUTHORIZED", "a bearer token is needed");
    refused.Add("WWW-Authenticate", "Bearer");
    return refused;
  }
  if (is_prewarm && prewarmer_ == nullptr) {
    return Refusal(http::kServiceUnavailable, "UNAVAILABLE", "prewarming is not available here");
  }
  if (is_prewarm && request.method != http::Method::kPost) return PrewarmAnswer(request);
  if (is_job) return CancelJob(request.path.substr(kJobPrefix.size()));
  if (request.path == "/admin/jobs") return Jobs();
  return std::nullopt;
}

Response AdminHandler::PrewarmAnswer(const Request& request) {
  if (request.path == kPrewarm) {
    Json orders = Json::array();
    for (const cache::Prewarmer::View& view : prewarmer_->List()) orders.push_back(ViewOf(view));
    Json j;
    j["orders"] = std::move(orders);
    return JsonAnswer(j);
  }
  const std::string_view id = request.path.substr(kPrewarmPrefix.size());
  if (request.method == http::Method::kDelete) prewarmer_->Cancel(id);
  const std::optional<cache::Prewarmer::View> view = prewarmer_->Find(id);
  if (!view) {
    return Refusal(http::kNotFound, "NOT_FOUND", "no order has this id, or it ended long ago");
  }
  return JsonAnswer(ViewOf(*view));
}

Task<Response> AdminHandler::OrderPrewarm(const Request& request) {
  Result<std::vector<std::string>> targets = ParsePrewarm(request.body);
  if (!targets.ok()) co_return FailureOf(targets.error());
  const Result<cache::Prewarmer::View> taken =
      co_await prewarmer_->SubmitSlowly(cache::Prewarmer::Cause::kOrder, std::move(*targets));
  if (!taken.ok()) co_return Refused(taken.error());
  co_return Accepted(ViewOf(*taken));
}

Task<Response> AdminHandler::TakeNotification(const Request& request) {
  size_t ignored = 0;
  const Result<std::vector<Upload>> uploads = ParseNotification(request.body, ignored);
  if (!uploads.ok()) co_return FailureOf(uploads.error());
  Json orders = Json::array();
  for (const Upload& upload : *uploads) {
    // Each is some targets to look at; the loop has others to serve.
    co_await io::SleepUntil(std::chrono::steady_clock::now());
    const Result<std::optional<cache::Prewarmer::View>> taken =
        prewarmer_->Uploaded(upload.bucket, upload.key);
    // Whoever sends it tries again, with all of its records: what is made by then is held.
    if (!taken.ok()) co_return Refused(taken.error());
    if (*taken) {
      orders.push_back(ViewOf(**taken));
    } else {
      ++ignored;
    }
  }
  Json j;
  j["orders"] = std::move(orders);
  j["ignored"] = ignored;
  co_return Accepted(j);
}

Task<Response> AdminHandler::Handle(Context ctx, const Request& request) {
  ctx.deadline = std::min(ctx.deadline, std::chrono::steady_clock::now() + kPurgeTime);
  if (request.path == "/admin/purge") co_return co_await Purge(ctx, request);
  if (request.path == "/admin/analytics") co_return co_await Report(ctx, request);
  if (request.path == "/admin/variants") co_return co_await Variants(ctx, request);
  if (request.path == kPrewarm) co_return co_await OrderPrewarm(request);
  if (request.path == kWebhook) co_return co_await TakeNotification(request);
  co_return co_await Entry(ctx, request);
}

Task<Response> AdminHandler::Purge(Context ctx, const Request& request) {
  Result<PurgeRequest> asked = ParsePurge(request.body);
  if (!asked.ok()) co_return FailureOf(asked.error());
  Result<cache::PurgeReport> report =
      co_await orchestrator_.Purge(ctx, std::move(asked->scope), asked->mode);
  if (!report.ok()) co_return FailureOf(report.error());
  Json j;
  j["mode"] = asked->mode == cache::PurgeMode::kHard   ? "hard"
              : asked->mode == cache::PurgeMode::kSoft ? "soft"
                                                       : "dry-run";
  j["purged"]["KV"] = report->kv_entries;
  j["purged"]["edge"] = report->edge_entries;
  j["purged"]["productions"] = report->productions;
  co_return JsonAnswer(j);
}

Task<Response> AdminHandler::Variants(Context ctx, const Request& request) {
  Result<http::QueryPairs> query = http::SplitQuery(request.query);
  if (!query.ok()) co_return FailureOf(query.error());
  std::string source = Parameter(*query, "source");
  if (source.empty()) {
    co_return Refusal(http::kBadRequest, "INVALID_PARAMETER",
                      "\"source\" is missing: the path of a source");
  }
  while (source.starts_with('/')) source.erase(0, 1);
  size_t limit = kDefaultLimit;
  if (const std::string text = Parameter(*query, "limit"); !text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (error != std::errc() || end != text.data() + text.size() || limit < 1 ||
        limit > kMaxLimit) {
      co_return Refusal(http::kBadRequest, "INVALID_PARAMETER", "\"limit\" must be 1-1000");
    }
  }
  std::string cursor = Parameter(*query, "cursor");
  Result<cache::VariantPage> page =
      co_await orchestrator_.ListVariants(ctx, source, std::move(cursor), limit);
  if (!page.ok()) co_return FailureOf(page.error());
  Json j;
  j["source"] = source;
  Json variants = Json::array();
  for (const cache::EntryView& view : page->variants) variants.push_back(ViewOf(view));
  j["variants"] = std::move(variants);
  if (!page->cursor.empty()) j["cursor"] = page->cursor;
  co_return JsonAnswer(j);
}

Task<Response> AdminHandler::Entry(Context ctx, const Request& request) {
  Result<http::QueryPairs> query = http::SplitQuery(request.query);
  if (!query.ok()) co_return FailureOf(query.error());
  std::string key = Parameter(*query, "key");
  if (key.empty()) {
    co_return Refusal(http::kBadRequest, "INVALID_PARAMETER",
                      "\"key\" is missing: see X-KV-Cache-Key");
  }
  Result<std::optional<cache::EntryView>> entry =
      co_await orchestrator_.ReadEntry(ctx, std::move(key));
  if (!entry.ok()) co_return FailureOf(entry.error());
  if (!*entry) co_return Refusal(http::kNotFound, "NOT_FOUND", "no layer holds this key");
  Json j = ViewOf(**entry);
  j["layers"]["inProduction"] = (*entry)->in_production;
  co_return JsonAnswer(j);
}

Task<Response> AdminHandler::Report(Context ctx, const Request& request) {
  (void)ctx;
  if (!analytics_) {
    co_return Refusal(http::kNotFound, "NOT_FOUND", "analytics.enabled is false");
  }
  Result<http::QueryPairs> query = http::SplitQuery(request.query);
  if (!query.ok()) co_return FailureOf(query.error());
  int64_t hours = kDefaultHours;
  const int64_t most = analytics_->analytics.max_hours();
  for (const auto& [name, value] : *query) {
    if (name != "hours") {
      co_return Refusal(http::kBadRequest, "INVALID_PARAMETER",
                        "\"" + name + "\" is unknown; allowed: hours");
    }
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, hours);
    if (error != std::errc() || at != end || hours < 1 || hours > most) {
      co_return Refusal(http::kBadRequest, "INVALID_PARAMETER",
                        "\"hours\" must be 1-" + std::to_string(most));
    }
  }
  auto render = [this, hours]() -> Result<std::string> {
    const analytics::Summary summary = analytics_->analytics.Summarise(hours);
    return analytics::RenderReport(summary, analytics_->storage(), hours) + "\n";
  };
  Result<std::string> report =
      co_await analytics_->blocking.Run(io::Lane::kRead, std::move(render));
  if (!report.ok()) co_return FailureOf(report.error());
  co_return Text(http::kOk, "application/json", std::move(*report));
}

Response AdminHandler::Jobs() {
  Json j;
  Json jobs = Json::array();
  for (const cache::JobRow& row : orchestrator_.jobs().List()) jobs.push_back(ViewOf(row));
  j["jobs"] = std::move(jobs);
  return JsonAnswer(j);
}

Response AdminHandler::CancelJob(std::string_view id) {
  switch (orchestrator_.CancelJob(id)) {
    case cache::CancelOutcome::kUnknown:
      return Refusal(http::kNotFound, "NOT_FOUND", "no job has this id, or it ended long ago");
    case cache::CancelOutcome::kEnded:
      return Refusal(http::kConflict, "ALREADY_ENDED", "this job has ended, or is being stored");
    case cache::CancelOutcome::kCancelled:
      break;
  }
  Json j;
  j["id"] = id;
  j["state"] = cache::ToString(cache::JobState::kCancelled);
  return JsonAnswer(j);
}

void AdminHandler::Finished(const Request& request, const Response& response,
                            const http::Sent& sent) {
  // What changes something leaves a line; probes and scrapes do not.
  const bool is_order = IsPrewarm(request.path) && request.method != http::Method::kGet;
  if (request.path == "/admin/purge" || request.path.starts_with(kJobPrefix) || is_order) {
    LogInfo(
        "admin_request",
        {{"target", request.target}, {"status", response.status}, {"peer", request.peer_address}});
  } else {
    LogDebug("admin_request",
             {{"target", request.target}, {"status", response.status}, {"bytes", sent.body_bytes}});
  }
}

}  // namespace vr::admin
