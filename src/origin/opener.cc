#include "origin/opener.h"

#include <algorithm>

#include "base/mutex.h"
#include "http/ascii.h"
#include "http/url.h"
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
             http::Client& client, Metrics& metrics, std::shared_ptr<SpoolCache> spools)
      : fetch_(std::move(fetch)),
        origins_(std::move(origins)),
        blocking_(blocking),
        client_(client),
        metrics_(metrics),
        spools_(std::move(spools)) {
    fetch_.block_bytes = std::clamp<uint32_t>(fetch_.block_bytes, kSmallestBlock, kLargestBlock);
    for (const OriginOptions& origin : origins_) {
      counters_.push_back(std::make_shared<OriginCounters>(metrics_, origin.name));
    }
  }

  io::Task<Result<SourceRef>> Open(Context ctx, Resolved resolved) override;

 private:
  io::Task<Result<SourceRef>> OpenFile(const Resolved& resolved, const Location& location);
  io::Task<Result<SourceRef>> OpenHttp(Context ctx, const Resolved& resolved,
                                       const Location& location);
  io::Task<Result<SourceRef>> OpenS3(Context ctx, const Resolved& resolved,
                                     const Location& location);
  Result<std::shared_ptr<SpoolCache>> Spools();

  FetchOptions fetch_;  ///< constant after construction
  const std::vector<OriginOptions> origins_;
  io::Blocking& blocking_;
  http::Client& client_;
  Metrics& metrics_;
  std::vector<std::shared_ptr<OriginCounters>> counters_;
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
  target->origin_name = resolved.origin_name;
  target->passes_redirects = source.redirects == RedirectPolicy::kPass;
  target->refuse_documents = origin.mode == OriginMode::kTransform;
  target->fetch = fetch_;
  target->counters = counters_[resolved.origin_index];
  target->key = target->MakeKey();
  CO_TRY(std::shared_ptr<SpoolCache> spools, Spools());
  Result<SourceRef> opened =
      co_await SpoolCache::Open(std::move(spools), std::move(ctx), std::move(target));
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
  target->origin_name = resolved.origin_name;
  target->fetch = fetch_;
  target->counters = counters_[resolved.origin_index];
  CO_TRY(std::shared_ptr<SpoolCache> spools, Spools());
  Result<SourceRef> opened =
      co_await SpoolCache::Open(std::move(spools), std::move(ctx), std::move(target));
  co_return opened;
}

/// One word, or a status number, on how an attempt ended.
std::string AttemptText(const Error& error) {
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
         error.reason == kRedirectReason;
}

io::Task<Result<SourceRef>> OpenerImpl::Open(Context ctx, Resolved resolved) {
  if (resolved.origin_index >= origins_.size()) {
    co_return Error(Code::kInternal, "internal error", "origin of another generation");
  }
  std::string attempts, details;
  size_t not_found = 0, timeouts = 0, unsupported = 0;
  for (const Location& location : resolved.locations) {
    if (location.source_index >= origins_[resolved.origin_index].sources.size()) {
      co_return Error(Code::kInternal, "internal error", "source of another generation");
    }
    Result<SourceRef> opened =
        Error(Code::kUnsupported, "this kind of source is not supported yet");
    if (location.type == "file") {
      opened = co_await OpenFile(resolved, location);
    } else if (location.type == "http") {
      opened = co_await OpenHttp(ctx, resolved, location);
    } else if (location.type == "s3") {
      opened = co_await OpenS3(ctx, resolved, location);
    }
    if (opened.ok()) co_return opened;
    Error error = std::move(opened).error();
    attempts += (attempts.empty() ? "" : ", ") + location.type + ": " + AttemptText(error);
    details += (details.empty() ? "" : "; ") + location.type + ": " + error.ToLogString();
    if (EndsTheSearch(error)) {
      if (error.code == Code::kResourceExhausted && error.reason.empty())
        error.reason = "OVERLOADED";
      std::erase_if(error.facts, [](const auto& fact) { return fact.first == "upstream"; });
      if (!error.reason.empty()) error.facts.emplace_back("attempts", attempts);
      co_return error;
    }
    not_found += error.code == Code::kNotFound;
    timeouts += error.code == Code::kDeadlineExceeded;
    unsupported += error.code == Code::kUnsupported;
    if (std::chrono::steady_clock::now() >= ctx.deadline) break;
  }
  const size_t failed = resolved.locations.size() - not_found;
  Error error(Code::kUnavailable, "no source could be read", std::move(details));
  error.reason = "ALL_SOURCES_FAILED";
  if (failed == 0) {
    error.code = Code::kNotFound;
    error.reason = "NOT_FOUND";
    error.public_message = "the source was not found";
  } else if (timeouts > 0 &&
             (timeouts == failed || std::chrono::steady_clock::now() >= ctx.deadline)) {
    error.code = Code::kDeadlineExceeded;
    error.reason = "ORIGIN_TIMEOUT";
    error.public_message = "the origin did not answer in time";
  } else if (unsupported == failed) {
    error.public_message = "this kind of source is not supported yet";
  }
  error.facts.emplace_back("attempts", std::move(attempts));
  co_return error;
}

}  // namespace

std::unique_ptr<Opener> MakeOpener(FetchOptions fetch, std::vector<OriginOptions> origins,
                                   io::Blocking& blocking, http::Client& client, Metrics& metrics,
                                   std::shared_ptr<SpoolCache> spools) {
  return std::make_unique<OpenerImpl>(std::move(fetch), std::move(origins), blocking, client,
                                      metrics, std::move(spools));
}

}  // namespace vr::origin
