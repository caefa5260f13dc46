#include "delivery/access.h"

#include <algorithm>
#include <charconv>

#include "delivery/bucket_answer.h"
#include "delivery/cf_resized.h"
#include "delivery/job_events.h"
#include "delivery/refusal.h"
#include "delivery/request_log.h"
#include "delivery/router.h"
#include "delivery/status.h"
#include "http/ascii.h"

namespace vr::delivery {

using http::Request;
using http::Response;

namespace {

/// Freshness of caches in front that Cache-Control does not speak of.
constexpr std::string_view kTargetedFields[] = {"CDN-Cache-Control", "Surrogate-Control"};

bool IsUnder(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

/// Ours, and nobody's media.
bool IsService(std::string_view path) {
  return path == "/healthz" || path == "/readyz" || JobEvents::IsMine(path);
}

std::optional<int64_t> Seconds(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"') text = text.substr(1, text.size() - 2);
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && at == end) return INT64_MAX;
  if (error != std::errc() || at != end) return std::nullopt;
  return value;
}

/// Calls f(line with its CRLF, name, value) for each of `lines`.
template <class F>
void ForEachLine(std::string_view lines, F&& f) {
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end == lines.npos ? end : end + 1);
    lines.remove_prefix(line.size());
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
    f(line, line.substr(0, colon), http::Trim(value));
  }
}

/// Takes Cache-Control, and what overrides it, out of `lines`.
/// @param[in,out] values  joined values of Cache-Control
std::string WithoutLifetime(std::string_view lines, std::string& values, int64_t& age) {
  std::string rest;
  rest.reserve(lines.size());
  ForEachLine(lines, [&](std::string_view line, std::string_view name, std::string_view value) {
    if (http::EqualsNoCase(name, "Cache-Control")) {
      if (!values.empty()) values += ", ";
      values += value;
      return;
    }
    for (const std::string_view targeted : kTargetedFields) {
      if (http::EqualsNoCase(name, targeted)) return;
    }
    if (http::EqualsNoCase(name, "Age")) age = std::max<int64_t>(Seconds(value).value_or(0), 0);
    rest += line;
  });
  return rest;
}

}  // namespace

Result<std::shared_ptr<const AccessPolicy>> MakeAccessPolicy(const AccessOptions& access,
                                                             const CorsOptions& cors) {
  std::vector<http::AddressBlock> proxies;
  for (const std::string& text : access.trusted_proxies) {
    const auto block = http::ParseAddressBlock(text);
    if (!block) return Error(Code::kInvalidArgument, "no address block: " + text);
    proxies.push_back(*block);
  }
  if (access.signing_required && access.signing_keys.empty()) {
    return Error(Code::kInvalidArgument, "signatures are required and no key is configured");
  }
  std::shared_ptr<const AccessPolicy> policy = std::make_shared<AccessPolicy>(
      AccessPolicy{access.signing_required, access.signing_keys, std::move(proxies),
                   access.proxy_header, access.productions, Cors(cors)});
  const bool is_idle = !policy->has_signing() && policy->trusted_proxies.empty() &&
                       policy->productions.per_minute == 0 && policy->cors.is_off();
  if (is_idle) policy.reset();
  return policy;
}

/// A request whose signature held, as the next handler sees it. Its views reach into the request
/// that was received, which lives longer.
struct AccessGate::Admitted {
  struct Delete {  ///< a type to know it by, see AdmittedOf
    void operator()(Admitted* admitted) const { delete admitted; }
  };
  Request request;
  std::string target;
  std::optional<int64_t> expires;
  std::string key_id;

  Admitted(const Request& from, http::VerifiedUrl verified)
      : expires(verified.expires), key_id(std::move(verified.key_id)) {
    target.reserve(from.path.size() + 1 + verified.query.size());
    target = from.path;
    if (!verified.query.empty()) target += '?' + verified.query;
    http::CopyCircumstances(from, request);
    request.method_name = from.method_name;
    request.target = target;
    request.path = request.target.substr(0, from.path.size());
    if (!verified.query.empty()) request.query = request.target.substr(from.path.size() + 1);
    request.full_target = from.target;
    request.fields = from.fields;
    request.body = from.body;
    request.interim = from.interim;
  }
};

AccessGate::Admitted* AccessGate::AdmittedOf(const Request& request) {
  if (std::get_deleter<Admitted::Delete>(request.carried) == nullptr) return nullptr;
  return static_cast<Admitted*>(request.carried.get());
}

bool AccessGate::IsAdmins(const Request& request) const {
  return admin_ && (IsUnder(request.path, "/admin") || IsUnder(request.path, "/client/v4"));
}

int64_t AccessGate::NowSeconds() const {
  return ToUnixMillis(clock_.Now()) / 1000;
}

void AccessGate::Complete(const Request& request, const AccessPolicy& policy,
                          Response& response) const {
  const Admitted* const admitted = AdmittedOf(request);
  if (admitted) {
    SignLocation(response, policy.keys, admitted->key_id, admitted->expires);
    if (admitted->expires) {
      CapLifetime(response, std::chrono::seconds(*admitted->expires - NowSeconds()));
    }
  }
  policy.cors.Apply(request, response);
}

std::optional<Response> AccessGate::TryNow(const Request& request) {
  if (IsAdmins(request)) return admin_->TryNow(request);
  if (!snapshots_.has_access_policy()) return next_.TryNow(request);
  return TryGuarded(request);
}

std::optional<Response> AccessGate::TryGuarded(const Request& request) {
  const SnapshotRef snapshot = snapshots_.Get();
  if (!snapshot->access) return next_.TryNow(request);
  const AccessPolicy& policy = *snapshot->access;
  if (!policy.trusted_proxies.empty()) {
    request.client_address =
        http::ClientAddressOf(request, policy.trusted_proxies, policy.proxy_header);
  }
  if (policy.cors.is_on() && Cors::IsPreflight(request)) {
    // A passthrough origin answers for itself; a bucket cannot.
    const auto passed = MatchPassthrough(*snapshot, request);
    if (!passed || HasBucket(*passed)) return policy.cors.AnswerPreflight(request);
  }
  const bool is_checked = policy.has_signing() && !IsService(request.path) &&
                          (policy.signing_required || http::HasSignature(request.query));
  std::optional<Response> answer;
  if (is_checked) {
    Result<http::VerifiedUrl> verified =
        http::VerifyUrl(request.path, request.query, policy.keys, NowSeconds());
    if (!verified.ok()) {
      answer = Refusal(request, verified.error());
      if (IsMediaUrl(*snapshot, request)) AddCfResized(*answer);
      policy.cors.Apply(request, *answer);
      return answer;
    }
    auto admitted = std::make_unique<Admitted>(request, std::move(*verified));
    const Request& seen = admitted->request;
    request.carried = std::shared_ptr<Admitted>(admitted.release(), Admitted::Delete());
    answer = next_.TryNow(seen);
  } else {
    answer = next_.TryNow(request);
  }
  if (answer) Complete(request, policy, *answer);
  return answer;
}

Task<Response> AccessGate::Handle(Context ctx, const Request& request) {
  if (IsAdmins(request)) return admin_->Handle(std::move(ctx), request);
  if (!AdmittedOf(request) && !snapshots_.has_access_policy()) {
    return next_.Handle(std::move(ctx), request);
  }
  return HandleGuarded(std::move(ctx), request, snapshots_.Get());
}

Task<Response> AccessGate::HandleGuarded(Context ctx, const Request& request,
                                         SnapshotRef snapshot) {
  const Admitted* const admitted = AdmittedOf(request);
  const Request& seen = admitted ? admitted->request : request;
  Response response = co_await next_.Handle(std::move(ctx), seen);
  static const AccessPolicy kNone{false, {}, {}, {}, {}, Cors(CorsOptions{.allow_origins = {}})};
  Complete(request, snapshot->access ? *snapshot->access : kNone, response);
  co_return response;
}

void AccessGate::Finished(const Request& request, const Response& response,
                          const http::Sent& sent) {
  if (IsAdmins(request)) return admin_->Finished(request, response, sent);
  const Admitted* const admitted = AdmittedOf(request);
  next_.Finished(admitted ? admitted->request : request, response, sent);
}

void LimitProductions(cache::Query& query, const Snapshot& snapshot, const std::string& client,
                      RateLimiter* limiter) {
  if (!limiter || !snapshot.access || snapshot.access->productions.per_minute == 0) return;
  query.admit = [limiter, client, limit = snapshot.access->productions]() -> Result<void> {
    const auto wait = limiter->Take(client, limit, std::chrono::steady_clock::now());
    if (!wait) return {};
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*wait);
    return Error(Code::kResourceExhausted,
                 "this client has asked for too many new variants, try again later",
                 "productions of " + client)
        .WithReason("OVERLOADED")
        .WithFact("limit", "productions_per_client")
        .WithFact("retryAfter", std::to_string(seconds.count()));
  };
}

std::string CappedCacheControl(std::string_view value, std::chrono::seconds age,
                               std::chrono::seconds remaining) {
  const int64_t most = std::max<int64_t>(age.count(), 0) + std::max<int64_t>(remaining.count(), 0);
  std::string out;
  bool has_lifetime = false;
  bool is_checked_anyway = false;  // no-store, no-cache
  bool must_revalidate = false;
  const auto add = [&](std::string_view directive) {
    if (!out.empty()) out += ", ";
    out += directive;
  };
  while (!value.empty()) {
    // A comma within quotes separates nothing: no-cache="a, b".
    bool is_quoted = false;
    size_t end = 0;
    for (; end < value.size() && (is_quoted || value[end] != ','); ++end) {
      if (value[end] == '"') is_quoted = !is_quoted;
    }
    const std::string_view directive = http::Trim(value.substr(0, end));
    value.remove_prefix(std::min(value.size(), end + 1));
    if (directive.empty()) continue;
    const size_t equals = directive.find('=');
    const std::string_view name = http::Trim(directive.substr(0, equals));
    const auto is = [&](std::string_view other) { return http::EqualsNoCase(name, other); };
    if (is("max-age") || is("s-maxage")) {
      const auto said = equals == directive.npos
                            ? std::nullopt
                            : Seconds(http::Trim(directive.substr(equals + 1)));
      has_lifetime = has_lifetime || is("max-age");
      add(std::string(name) + '=' + std::to_string(std::clamp<int64_t>(said.value_or(0), 0, most)));
    } else if (is("stale-while-revalidate") || is("stale-if-error") || is("immutable")) {
      continue;
    } else {
      is_checked_anyway =
          is_checked_anyway || is("no-store") || (is("no-cache") && equals == directive.npos);
      must_revalidate = must_revalidate || is("must-revalidate");
      add(directive);
    }
  }
  if (is_checked_anyway) return out;
  if (!has_lifetime) add("no-cache");
  if (has_lifetime && !must_revalidate) add("must-revalidate");
  return out;
}

void SignLocation(Response& response, const http::SigningKeys& keys, std::string_view key_id,
                  std::optional<int64_t> expires) {
  const auto* note = dynamic_cast<const RequestNote*>(response.note.get());
  const auto key = keys.find(key_id);
  if (!note || !note->is_redirect_within || key == keys.end()) return;
  std::string fields;
  fields.reserve(response.fields.size() + 128);
  ForEachLine(response.fields,
              [&](std::string_view line, std::string_view name, std::string_view value) {
                if (http::EqualsNoCase(name, "Location")) {
                  const auto made = http::SignTarget(value, key_id, key->second, expires);
                  if (made.ok()) {
                    fields += "Location: " + *made + "\r\n";
                    return;
                  }
                }
                fields += line;
              });
  response.fields = std::move(fields);
}

void CapLifetime(Response& response, std::chrono::seconds remaining) {
  std::string values;
  int64_t age = 0;
  response.fields = WithoutLifetime(response.fields, values, age);
  if (response.shared_fields) {
    std::string rest = WithoutLifetime(*response.shared_fields, values, age);
    if (rest.size() != response.shared_fields->size()) {
      response.shared_fields = std::make_shared<const std::string>(std::move(rest));
    }
  }
  response.Add("Cache-Control", CappedCacheControl(values, std::chrono::seconds(age), remaining));
}

}  // namespace vr::delivery
