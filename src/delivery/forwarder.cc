#include "delivery/forwarder.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "delivery/bucket_answer.h"
#include "delivery/loop_guard.h"
#include "delivery/tries.h"
#include "http/ascii.h"
#include "http/conditions.h"
#include "http/forwarding.h"
#include "http/url.h"
#include "io/loop.h"
#include "io/timer.h"
#include "origin/breaker.h"
#include "origin/credentials.h"
#include "origin/s3.h"
#include "origin/spool.h"

namespace vr::delivery {

namespace {

std::vector<std::string> TypesOf(const origin::Resolved& resolved) {
  std::vector<std::string> types;
  for (const origin::Location& location : resolved.locations) types.push_back(location.type);
  return types;
}

/// Service Unavailable: the one status that promises that a later try may be served.
constexpr int kBusy = 503;

/// RFC 9110 §9.2.2, more narrowly: only what reads, and carries nothing.
bool IsRepeatable(const ExchangeSpec& spec) {
  return !spec.has_content && (spec.request.method == http::Method::kGet || spec.request.is_head());
}

std::string_view ResultOf(const Result<void>& result) {
  const Code code = result.ok() ? Code::kInternal : result.error().code;
  return result.ok()                       ? "ok"
         : code == Code::kCancelled        ? "cancelled"
         : code == Code::kNotFound         ? "not_found"
         : code == Code::kDeadlineExceeded ? "timeout"
                                           : "error";
}

/// The client's own conditions, or those of a validation or completion instead.
void SetConditions(http::FieldList& fields, const ExchangeSpec& spec) {
  if (!spec.is_validation && !spec.is_completion) return;
  for (const std::string_view name : kConditionFields) http::EraseFields(fields, name);
  if (spec.is_validation) {
    const http::StoredValidators validators = http::ValidatorsOf(spec.held->fields);
    if (!validators.raw_etag.empty()) fields.emplace_back("If-None-Match", validators.raw_etag);
    if (validators.last_modified) {
      fields.emplace_back("If-Modified-Since", validators.last_modified_text);
    }
  }
  if (spec.is_completion) {
    fields.emplace_back("Range", "bytes=" + std::to_string(spec.held->size) + "-");
    fields.emplace_back("If-Range", spec.held->strong_etag());
  }
}

}  // namespace

/// One exchange's way through the sources. What is not constant belongs to whoever starts the next
/// try: the exchange's leader, then the client's thread.
class Forwarder::Journey final : public Course,
                                 public std::enable_shared_from_this<Forwarder::Journey> {
 public:
  Journey(Forwarder& owner, const std::shared_ptr<Exchange>& exchange, SnapshotRef snapshot,
          origin::Resolved resolved, std::shared_ptr<const std::string> body, SteadyTime deadline)
      : owner_(owner),
        deps_(owner.deps_),
        exchange_(exchange),
        snapshot_(std::move(snapshot)),
        resolved_(std::move(resolved)),
        body_(std::move(body)),
        deadline_(deadline),
        loop_(io::Loop::Current()),
        tries_(TypesOf(resolved_),
               IsRepeatable(exchange->spec()) ? snapshot_->passthrough.fetch.retries : 0) {}

  /// Asks the next source. When none is left to be asked, the exchange is over.
  void Go(const std::shared_ptr<Exchange>& exchange);

  void Answered(const http::ResponseHead& head) override;
  bool Dismisses(const http::ResponseHead& head) override;
  bool Ended(Result<void>& result, bool has_answer) override;

 private:
  origin::BreakerOptions breaker_options() const {
    const origin::FetchOptions& fetch = snapshot_->passthrough.fetch;
    return {fetch.breaker_failures, fetch.breaker_cooldown};
  }
  /// Whether somebody still waits after that long.
  bool IsInTime(std::chrono::milliseconds wait) const {
    return !owner_.is_closing_ && deadline_ - std::chrono::steady_clock::now() > wait;
  }
  /// What a source is worth that did not answer: the pause before another try.
  std::optional<std::chrono::milliseconds> RetryAfter(const Error& error) const;
  /// Goes on after a pause. @return false: it cannot
  bool GoLater(const std::shared_ptr<Exchange>& exchange, std::chrono::milliseconds wait);
  /// Tries::Next, counted.
  std::optional<std::chrono::milliseconds> Next(TryEnd end);
  /// Leave to ask the source whose turn it is. @return false: pass it over
  bool Enter();
  http::ClientRequest RequestFor(const ExchangeSpec& spec) const;
  /// A request of our own for an object. Of the client's fields only its conditions go along, and
  /// nothing of its query: that would be another operation of S3.
  http::ClientRequest BucketRequestFor(const ExchangeSpec& spec) const;
  /// What those who wait are told when nothing more is tried. @param last how the last try ended
  Error Verdict(Error last) const;

  Forwarder& owner_;
  const Deps& deps_;
  const std::weak_ptr<Exchange> exchange_;  ///< which owns this
  const SnapshotRef snapshot_;
  const origin::Resolved resolved_;
  const std::shared_ptr<const std::string> body_;
  const SteadyTime deadline_;
  io::Loop* const loop_;  ///< where to pause; null: nowhere

  Tries tries_;
  std::optional<origin::Breaker::Permit> permit_;  ///< of the try that is under way
  std::optional<Error> failure_;                   ///< of the last source that was asked
  /// Set: the answer was dismissed, and the source is to be asked again after this.
  std::optional<std::chrono::milliseconds> dismissed_;
  bool wants_whole_ = false;  ///< a part of another version came: no range any more
  bool asked_whole_ = false;
  std::chrono::milliseconds shortest_wait_ = std::chrono::milliseconds::max();
};

std::optional<std::chrono::milliseconds> Forwarder::Journey::Next(TryEnd end) {
  const int round = tries_.round();
  const auto wait = tries_.Next(std::move(end));
  if (tries_.round() > round) owner_.retried_.Add();
  return wait;
}

bool Forwarder::Journey::Enter() {
  const origin::Location& location = resolved_.locations[tries_.at()];
  const std::shared_ptr<origin::Breaker>& breaker =
      snapshot_->breakers[resolved_.origin_index][location.source_index];
  permit_.reset();
  if (!breaker) return true;
  std::optional<origin::Breaker::Permit> entered = breaker->Enter(breaker_options());
  if (!entered) {
    shortest_wait_ = std::min(shortest_wait_, breaker->WaitFor(breaker_options()));
    return false;
  }
  permit_.emplace(std::move(*entered));
  return true;
}

void Forwarder::Journey::Go(const std::shared_ptr<Exchange>& exchange) {
  for (;;) {
    const origin::Location& location = resolved_.locations[tries_.at()];
    TryEnd skipped;
    if (IsBucket(location) && location.path.empty()) {
      // The bucket's own URL would list it.
      skipped.text = "not found";
      failure_ = Error(Code::kNotFound, "the source was not found", "the bucket itself")
                     .WithReason("NOT_FOUND");
    } else if (Enter()) {
      break;
    } else {
      skipped.text = "circuit open";
      skipped.was_skipped = true;
    }
    const auto wait = Next(std::move(skipped));
    if (wait == std::chrono::milliseconds(0)) continue;
    if (wait && GoLater(exchange, *wait)) return;
    exchange->Finish(
        Verdict(Error(Code::kUnavailable, "the origin failed too often and is left alone for now")
                    .WithReason("OVERLOADED")));
    return;
  }
  const bool is_bucket = IsBucket(resolved_.locations[tries_.at()]);
  const ExchangeSpec& spec = exchange->spec();
  const std::shared_ptr<http::Transfer> transfer =
      deps_.client.Prepare(is_bucket ? BucketRequestFor(spec) : RequestFor(spec), exchange);
  exchange->Bind(transfer, is_bucket);
  transfer->Start();  // from here on, this is the client's thread's
}

Error Forwarder::Journey::Verdict(Error last) const {
  if (tries_.were_all_skipped()) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(shortest_wait_);
    last.facts.emplace_back("retryAfter", std::to_string(std::max<int64_t>(1, seconds.count())));
  } else if (failure_) {
    last = *failure_;
  }
  std::erase_if(last.facts, [](const auto& fact) { return fact.first == "upstream"; });
  last.facts.emplace_back("attempts", tries_.Text());
  return last;
}

void Forwarder::Journey::Answered(const http::ResponseHead& head) {
  if (!permit_) return;
  permit_->End(head.is_server_failure() ? origin::Outcome::kFailure : origin::Outcome::kSuccess);
}

bool Forwarder::Journey::Dismisses(const http::ResponseHead& head) {
  const std::shared_ptr<Exchange> waiting = exchange_.lock();
  const bool is_bucket = IsBucket(resolved_.locations[tries_.at()]);
  if (is_bucket && waiting && !wants_whole_ &&
      !FitsIfRange(head, waiting->spec().request.Get("If-Range").value_or(""))) {
    wants_whole_ = true;
    return true;
  }
  if (!tries_.may_repeat() || !loop_) return false;
  std::optional<std::chrono::seconds> asked = head.retry_after(SystemClock::Get().Now());
  // S3 servers seldom say when; what they refuse so was not begun.
  if (is_bucket && head.is_busy() && !asked) asked = std::chrono::seconds(0);
  if (!(is_bucket ? head.is_busy() : head.status == kBusy)) return false;
  if (!asked || *asked > origin::kLongestRetryAfter) return false;
  const auto backoff = origin::BackoffOf(snapshot_->passthrough.fetch, tries_.round() + 1);
  const auto wait = std::max(std::chrono::milliseconds(*asked), backoff);
  if (!waiting || waiting->had_interims() || !IsInTime(wait)) return false;
  dismissed_ = wait;
  return true;
}

std::optional<std::chrono::milliseconds> Forwarder::Journey::RetryAfter(const Error& error) const {
  // The next try gets a connection of its own.
  if (http::IsKeptConnectionLost(error)) return std::chrono::milliseconds(0);
  if (!http::IsUnreachable(error)) return std::nullopt;
  return origin::BackoffOf(snapshot_->passthrough.fetch, tries_.round() + 1);
}

bool Forwarder::Journey::GoLater(const std::shared_ptr<Exchange>& exchange,
                                 std::chrono::milliseconds wait) {
  if (!loop_ || !IsInTime(wait)) return false;
  auto go = [self = shared_from_this(), exchange, wait]() -> Task<void> {
    co_await io::SleepUntil(std::chrono::steady_clock::now() + wait);
    if (self->owner_.is_closing_) {
      exchange->Finish(Error(Code::kCancelled, "the server is shutting down", "between two tries"));
    } else {
      self->Go(exchange);
    }
  };
  return owner_.pauses_.Spawn(loop_->executor(), go);
}

bool Forwarder::Journey::Ended(Result<void>& result, bool has_answer) {
  deps_.metrics
      .GetCounter("video_resizer_origin_requests_total",
                  "Requests to origins, by origin and result",
                  {{"origin", resolved_.origin_name}, {"result", std::string(ResultOf(result))}})
      .Add();
  if (permit_ && !result.ok()) permit_->End(origin::OutcomeOf(result.error()));
  permit_.reset();
  if (result.ok() || has_answer) return false;
  const std::shared_ptr<Exchange> exchange = exchange_.lock();
  if (!exchange) return false;
  if (wants_whole_ && !asked_whole_) {
    asked_whole_ = true;
    Go(exchange);
    return true;
  }
  TryEnd end;
  end.text = TryText(result.error());
  end.was_sent = exchange->was_sent();
  if (dismissed_)
    end.retry = std::exchange(dismissed_, std::nullopt);
  else if (!exchange->had_interims())
    end.retry = RetryAfter(result.error());
  failure_ = result.error();
  std::optional<std::chrono::milliseconds> wait;
  if (result.error().code != Code::kCancelled) wait = Next(std::move(end));
  if (wait == std::chrono::milliseconds(0) && IsInTime(*wait)) {
    Go(exchange);
    return true;
  }
  if (wait && GoLater(exchange, *wait)) return true;
  result = Verdict(result.error());
  return false;
}

http::ClientRequest Forwarder::Journey::RequestFor(const ExchangeSpec& spec) const {
  const http::Request& request = spec.request;
  const origin::Location& place = resolved_.locations[tries_.at()];
  const origin::SourceOptions& source =
      snapshot_->origins->origin(resolved_.origin_index).sources[place.source_index];
  const origin::FetchOptions& fetch = snapshot_->passthrough.fetch;
  http::ClientRequest out;
  out.url = place.base + "/";
  out.connect_timeout = fetch.connect_timeout;
  out.first_byte_timeout = fetch.first_byte_timeout;
  out.idle_timeout = fetch.idle_timeout;
  out.total_timeout = std::chrono::milliseconds(0);  // a stream may go on for ever
  out.max_redirects = 0;

  http::FieldList fields = http::EndToEndFields(request.fields);
  for (const char* name : {"Host", "Expect"}) http::EraseFields(fields, name);
  SetConditions(fields, spec);
  if (const auto left = request.Get("Max-Forwards");
      left && request.method == http::Method::kOptions) {
    int hops = 0;
    for (const char c : left->substr(0, 6)) hops = c >= '0' && c <= '9' ? hops * 10 + c - '0' : 0;
    http::EraseFields(fields, "Max-Forwards");
    fields.emplace_back("Max-Forwards", std::to_string(std::max(0, hops - 1)));
  }
  http::SetForwardedFields(fields, request);
  http::AppendVia(fields, request.minor_version, deps_.pseudonym);

  origin::Credentials credentials = origin::CredentialsOf(source);
  for (const auto& [name, value] : credentials.fields) http::EraseFields(fields, name);
  fields.insert(fields.end(), credentials.fields.begin(), credentials.fields.end());
  out.fields = std::move(fields);

  http::Forwarded forwarded;
  forwarded.method = request.method_name;
  // The prefix of the source's URL, then the path as it came, or as its template makes it.
  const size_t prefix = place.base.find('/', place.base.find("://") + 3);
  if (prefix != std::string::npos) forwarded.target = place.base.substr(prefix);
  if (source.path.empty()) {
    forwarded.target += request.target;
  } else {
    forwarded.target += '/' + http::PercentEncode(place.path, http::kPathChars);
    if (request.target.size() > request.path.size()) {
      forwarded.target += request.target.substr(request.path.size());
    }
  }
  if (!credentials.query.empty()) {
    forwarded.target += forwarded.target.find('?') == std::string::npos ? '?' : '&';
    forwarded.target += credentials.query;
  }
  forwarded.body = body_;
  forwarded.is_fresh = tries_.round() > 0;
  out.forwarded = std::move(forwarded);
  return out;
}

Forwarder::Forwarder(Deps deps)
    : deps_(std::move(deps)),
      retried_(deps_.metrics.GetCounter("video_resizer_origin_retries_total",
                                        "Rounds in which sources were asked again")) {}

bool Forwarder::Drain(SteadyTime deadline) {
  is_closing_ = true;
  pauses_.Close();
  return pauses_.WaitEmpty(deadline);
}

http::ClientRequest Forwarder::Journey::BucketRequestFor(const ExchangeSpec& spec) const {
  const http::Request& request = spec.request;
  const origin::Location& place = resolved_.locations[tries_.at()];
  const origin::SourceOptions& source =
      snapshot_->origins->origin(resolved_.origin_index).sources[place.source_index];
  origin::HttpTarget target = origin::MakeS3Target(*source.place, place.path, SystemClock::Get());
  target.fetch = snapshot_->passthrough.fetch;
  target.via = KinOf(request);
  http::ClientRequest out = target.Request();
  out.method = request.is_head() ? http::Method::kHead : http::Method::kGet;
  out.total_timeout = std::chrono::milliseconds(0);
  out.max_redirects = 0;  // never followed, signed or not
  for (const std::string_view name : kConditionFields) {
    if (const auto value = request.Get(name)) out.fields.emplace_back(name, *value);
  }
  if (wants_whole_) {
    for (const char* name : {"Range", "If-Range"}) http::EraseFields(out.fields, name);
  }
  SetConditions(out.fields, spec);
  return out;
}

void Forwarder::Start(const std::shared_ptr<Exchange>& exchange, SnapshotRef snapshot,
                      origin::Resolved resolved, std::shared_ptr<const std::string> body,
                      SteadyTime deadline) {
  auto journey = std::make_shared<Journey>(*this, exchange, std::move(snapshot),
                                           std::move(resolved), std::move(body), deadline);
  exchange->Follow(journey);
  journey->Go(exchange);
}

}  // namespace vr::delivery
