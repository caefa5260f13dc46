#include "origin/opener.h"

#include <algorithm>
#include <charconv>

#include "base/mutex.h"
#include "http/ascii.h"
#include "http/location.h"
#include "http/url.h"
#include "io/timer.h"
#include "origin/credentials.h"
#include "origin/file_source.h"
#include "origin/s3.h"

namespace vr::origin {

namespace {

/// What may stay unencoded in a path. Not '+': some servers take it for a space.
constexpr std::string_view kPathChars = "/!$&'()*,;=:@";

constexpr uint32_t kSmallestBlock = 4 << 10;
constexpr uint32_t kLargestBlock = 64 << 20;

class OpenerImpl final : public Opener {
 public:
  OpenerImpl(FetchOptions fetch, std::vector<OriginOptions> origins, io::Blocking& blocking,
             http::Client& client, Metrics& metrics, std::shared_ptr<SpoolCache> spools,
             Pause pause)
      : fetch_(std::move(fetch)),
        origins_(std::move(origins)),
        blocking_(blocking),
        client_(client),
        metrics_(metrics),
        pause_(std::move(pause)),
        retried_(metrics.GetCounter("video_resizer_origin_retries_total",
                                    "Rounds in which sources were asked again")),
        spools_(std::move(spools)) {
    fetch_.block_bytes = std::clamp<uint32_t>(fetch_.block_bytes, kSmallestBlock, kLargestBlock);
    for (const OriginOptions& origin : origins_) {
      counters_.push_back(std::make_shared<OriginCounters>(metrics_, origin.name));
      std::vector<std::shared_ptr<Breaker>>& breakers = breakers_.emplace_back();
      for (const SourceOptions& source : origin.sources) {
        breakers.push_back(spools_ ? BreakerOf(*spools_, origin, source) : nullptr);
      }
    }
  }

  io::Task<Result<SourceRef>> Open(Context ctx, Resolved resolved) override;

 private:
  /// What is the same for every kind of place that is asked by HTTP. Leaves `key` alone.
  void Place(HttpTarget& target, const Resolved& resolved, const Location& location) const;
  io::Task<Result<SourceRef>> OpenFile(const Resolved& resolved, const Location& location);
  io::Task<Result<SourceRef>> OpenHttp(Context ctx, const Resolved& resolved,
                                       const Location& location);
  io::Task<Result<SourceRef>> OpenS3(Context ctx, const Resolved& resolved,
                                     const Location& location);
  io::Task<Result<SourceRef>> OpenAt(Context ctx, const Resolved& resolved,
                                     const Location& location);
  Result<std::shared_ptr<SpoolCache>> Spools();

  FetchOptions fetch_;  ///< constant after construction
  const std::vector<OriginOptions> origins_;
  io::Blocking& blocking_;
  http::Client& client_;
  Metrics& metrics_;
  const Pause pause_;
  Counter retried_;  ///< video_resizer_origin_retries_total
  std::vector<std::shared_ptr<OriginCounters>> counters_;
  std::vector<std::vector<std::shared_ptr<Breaker>>> breakers_;  ///< by origin and source
  Mutex mutex_;
  std::shared_ptr<SpoolCache> spools_ GUARDED_BY(mutex_);
};

Result<std::shared_ptr<SpoolCache>> OpenerImpl::Spools() {
  MutexLock lock(mutex_);
  if (!spools_) {
    auto made = SpoolCache::Create(fetch_, client_, metrics_);
    if (!made.ok()) {
      // Nothing of this is the origin's fault, and no other location would help.
      Error error = std::move(made).error();
      error.code = Code::kInternal;
      return error;
    }
    spools_ = std::move(*made);
  }
  return spools_;
}

void OpenerImpl::Place(HttpTarget& target, const Resolved& resolved,
                       const Location& location) const {
  target.origin_name = resolved.origin_name;
  target.fetch = fetch_;
  target.via = resolved.via;
  target.counters = counters_[resolved.origin_index];
  target.breaker = breakers_[resolved.origin_index][location.source_index];
}

io::Task<Result<SourceRef>> OpenerImpl::OpenFile(const Resolved& resolved,
                                                 const Location& location) {
  FileRequest request;
  request.root = location.base;
  request.path = location.path;
  request.follow_symlinks = fetch_.follow_symlinks;
  request.max_bytes = fetch_.max_source_bytes;
  request.origin_name = resolved.origin_name;
  auto open = [request = std::move(request)] { return OpenFileSource(request); };
  Result<SourceRef> source = co_await blocking_.Run(io::Lane::kRead, std::move(open));
  OriginCounters& counters = *counters_[resolved.origin_index];
  if (source.ok())
    counters.ok.Add();
  else
    counters.CountFailure(source.error());
  co_return source;
}

io::Task<Result<SourceRef>> OpenerImpl::OpenHttp(Context ctx, const Resolved& resolved,
                                                 const Location& location) {
  const OriginOptions& origin = origins_[resolved.origin_index];
  const SourceOptions& source = origin.sources[location.source_index];
  auto target = std::make_shared<HttpTarget>();
  target->url = location.base + "/" + http::PercentEncode(location.path, kPathChars);
  Credentials credentials = CredentialsOf(source);
  target->credentials = std::move(credentials.fields);
  if (!credentials.query.empty()) target->url += "?" + credentials.query;
  if (!location.query.empty()) target->url += "?" + location.query;
  Place(*target, resolved, location);
  target->passes_redirects = source.redirects == RedirectPolicy::kPass;
  target->refuse_documents = origin.mode == OriginMode::kTransform;
  target->allowed = source.allowed;
  target->refuse_private_addresses = source.allowed != nullptr;
  target->key = target->MakeKey();
  CO_TRY(std::shared_ptr<SpoolCache> spools, Spools());
  Result<SourceRef> opened =
      co_await SpoolCache::Open(std::move(spools), std::move(ctx), std::move(target));
  if (source.allowed && !opened.ok() && opened.error().code == Code::kPermissionDenied) {
    Error error = std::move(opened).error();
    error.reason = kNotAllowedReason;
    error.public_message = "the source is at a place that is not allowed";
    co_return error;
  }
  co_return opened;
}

io::Task<Result<SourceRef>> OpenerImpl::OpenS3(Context ctx, const Resolved& resolved,
                                               const Location& location) {
  const OriginOptions& origin = origins_[resolved.origin_index];
  const SourceOptions& source = origin.sources[location.source_index];
  if (!source.place) co_return Error(Code::kInternal, "internal error", "a bucket without place");
  // The bucket's own URL would list it.
  if (location.path.empty())
    co_return Error(Code::kNotFound, "the source was not found", "the bucket itself");
  auto target =
      std::make_shared<HttpTarget>(MakeS3Target(*source.place, location.path, SystemClock::Get()));
  Place(*target, resolved, location);
  CO_TRY(std::shared_ptr<SpoolCache> spools, Spools());
  Result<SourceRef> opened =
      co_await SpoolCache::Open(std::move(spools), std::move(ctx), std::move(target));
  co_return opened;
}

/// One word, or a status number, on how a try ended.
std::string TryText(const Error& error) {
  for (const auto& [name, value] : error.facts) {
    if (name == "upstream") return value;
  }
  switch (error.code) {
    case Code::kNotFound:
      return "not found";
    case Code::kPermissionDenied:
      return "permission denied";
    case Code::kDeadlineExceeded:
      return "timeout";
    case Code::kUnsupported:
      return "not supported yet";
    default:
      return "unavailable";
  }
}

/// Whether another location could do better.
bool EndsTheSearch(const Error& error) {
  return error.code == Code::kResourceExhausted || error.code == Code::kInternal ||
         error.code == Code::kCancelled || error.reason == "SOURCE_UNSUPPORTED" ||
         error.reason == kRedirectReason || error.reason == kNotAllowedReason;
}

std::optional<std::chrono::milliseconds> RetryOf(const Error& error) {
  for (const auto& [name, value] : error.facts) {
    if (name != kRetryFact) continue;
    int64_t wait = 0;
    std::from_chars(value.data(), value.data() + value.size(), wait);
    return std::chrono::milliseconds(wait);
  }
  return std::nullopt;
}

/// What came of one location so far.
struct Attempt {
  const Location* location = nullptr;
  std::vector<std::string> tries;
  Code last = Code::kUnavailable;
  std::optional<std::chrono::milliseconds> retry;  ///< worth another try after this
};

/// "http: 404, http: 503 (3 tries), http: 503 then timeout".
std::string AttemptsText(const std::vector<Attempt>& attempts) {
  std::string out;
  for (const Attempt& attempt : attempts) AddAttempt(out, attempt.location->type, attempt.tries);
  return out;
}

/// Nobody had it: what to say.
Error NobodyError(const std::vector<Attempt>& attempts, bool is_late, std::string details) {
  const auto count = [&](Code code) {
    return static_cast<size_t>(std::count_if(attempts.begin(), attempts.end(),
                                             [&](const Attempt& a) { return a.last == code; }));
  };
  const size_t failed = attempts.size() - count(Code::kNotFound);
  const size_t timeouts = count(Code::kDeadlineExceeded);
  Error error(Code::kUnavailable, "no source could be read", std::move(details));
  error.reason = "ALL_SOURCES_FAILED";
  if (failed == 0) {
    error.code = Code::kNotFound;
    error.reason = "NOT_FOUND";
    error.public_message = "the source was not found";
  } else if (timeouts > 0 && (timeouts == failed || is_late)) {
    error.code = Code::kDeadlineExceeded;
    error.reason = "ORIGIN_TIMEOUT";
    error.public_message = "the origin did not answer in time";
  } else if (count(Code::kUnsupported) == failed) {
    error.public_message = "this kind of source is not supported yet";
  }
  error.facts.emplace_back("attempts", AttemptsText(attempts));
  return error;
}

io::Task<Result<SourceRef>> OpenerImpl::OpenAt(Context ctx, const Resolved& resolved,
                                               const Location& location) {
  Result<SourceRef> opened = Error(Code::kUnsupported, "this kind of source is not supported yet");
  if (location.type == "file") {
    opened = co_await OpenFile(resolved, location);
  } else if (location.type == "http") {
    opened = co_await OpenHttp(ctx, resolved, location);
  } else if (location.type == "s3") {
    opened = co_await OpenS3(ctx, resolved, location);
  }
  co_return opened;
}

io::Task<Result<SourceRef>> OpenerImpl::Open(Context ctx, Resolved resolved) {
  if (resolved.origin_index >= origins_.size()) {
    co_return Error(Code::kInternal, "internal error", "origin of another generation");
  }
  std::vector<Attempt> attempts;
  for (const Location& location : resolved.locations) {
    if (location.source_index >= origins_[resolved.origin_index].sources.size()) {
      co_return Error(Code::kInternal, "internal error", "source of another generation");
    }
    Attempt attempt;
    attempt.location = &location;
    attempt.retry = std::chrono::milliseconds(0);
    attempts.push_back(std::move(attempt));
  }
  const auto is_late = [&ctx] { return std::chrono::steady_clock::now() >= ctx.deadline; };
  std::string details;
  for (int round = 0;; ++round) {
    for (Attempt& attempt : attempts) {
      if (!attempt.retry) continue;
      if (!attempt.tries.empty() && is_late()) break;
      Result<SourceRef> opened = co_await OpenAt(ctx, resolved, *attempt.location);
      if (opened.ok()) co_return opened;
      Error error = std::move(opened).error();
      attempt.tries.push_back(TryText(error));
      attempt.last = error.code;
      attempt.retry = RetryOf(error);
      details += details.empty() ? "" : "; ";
      details += attempt.location->type + ": " + error.ToLogString();
      if (EndsTheSearch(error)) {
        if (error.code == Code::kResourceExhausted && error.reason.empty())
          error.reason = "OVERLOADED";
        std::erase_if(error.facts, [](const auto& fact) {
          return fact.first == "upstream" || fact.first == kRetryFact;
        });
        if (!error.reason.empty()) error.facts.emplace_back("attempts", AttemptsText(attempts));
        co_return error;
      }
      if (is_late()) break;
    }
    // One pause for all: as long as the most patient of them was asked to be.
    std::chrono::milliseconds wait = BackoffOf(fetch_, round + 1);
    bool is_worth_it = false;
    for (const Attempt& attempt : attempts) {
      if (attempt.tries.empty() || !attempt.retry) continue;
      is_worth_it = true;
      wait = std::max(wait, *attempt.retry);
    }
    if (!is_worth_it || round >= fetch_.retries ||
        std::chrono::steady_clock::now() + wait >= ctx.deadline) {
      Error error = NobodyError(attempts, is_late(), std::move(details));
      co_return error;
    }
    retried_.Add();
    if (pause_) {
      io::Task<void> pause = pause_(wait);
      co_await std::move(pause);
    } else {
      co_await io::SleepUntil(std::chrono::steady_clock::now() + wait);
    }
  }
}

}  // namespace

void AddAttempt(std::string& text, std::string_view type, const std::vector<std::string>& tries) {
  if (tries.empty()) return;
  if (!text.empty()) text += ", ";
  text += type;
  text += ": " + tries.front();
  const bool is_same = std::all_of(tries.begin(), tries.end(),
                                   [&](const std::string& one) { return one == tries.front(); });
  if (is_same && tries.size() > 1) text += " (" + std::to_string(tries.size()) + " tries)";
  for (size_t i = 1; i < tries.size() && !is_same; ++i) text += " then " + tries[i];
}

std::shared_ptr<Breaker> BreakerOf(SpoolCache& spools, const OriginOptions& origin,
                                   const SourceOptions& source) {
  if (source.allowed) return nullptr;
  if (source.type == SourceType::kHttp) {
    const auto parts = http::ResolveUrl({}, source.url);
    return spools.BreakerOf(origin.name, source.url, source.path,
                            parts ? parts->host + ":" + parts->port : source.url);
  }
  const bool is_server =
      source.type == SourceType::kS3 && source.place && source.place->root.empty();
  if (!is_server) return nullptr;
  return spools.BreakerOf(origin.name, S3Identity(*source.place), source.path, source.bucket);
}

std::unique_ptr<Opener> MakeOpener(FetchOptions fetch, std::vector<OriginOptions> origins,
                                   io::Blocking& blocking, http::Client& client, Metrics& metrics,
                                   std::shared_ptr<SpoolCache> spools, Pause pause) {
  return std::make_unique<OpenerImpl>(std::move(fetch), std::move(origins), blocking, client,
                                      metrics, std::move(spools), std::move(pause));
}

}  // namespace vr::origin
