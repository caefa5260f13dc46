#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "http/ascii.h"
#include "http/date.h"
#include "http/location.h"
#include "http/url.h"
#include "origin/file_source.h"
#include "origin/spool.h"

namespace vr::origin {

namespace {

/// One user's hold on a spool.
class SpoolSource final : public Source {
 public:
  SpoolSource(std::shared_ptr<SpoolCache> cache, std::shared_ptr<Spool> spool)
      : cache_(std::move(cache)), spool_(std::move(spool)), info_(spool_->info()) {}
  ~SpoolSource() override { cache_->Release(std::move(spool_)); }
  const SourceInfo& info() const override { return info_; }
  const SharedFd& file() const override { return spool_->file(); }
  bool is_complete() const override { return info_.size && spool_->is_complete(); }
  io::Task<Result<uint64_t>> Ensure(Context ctx, uint64_t offset, uint64_t length) override {
    return Spool::Ensure(spool_, std::move(ctx), offset, length);
  }
  const Spool& spool() const { return *spool_; }

 private:
  const std::shared_ptr<SpoolCache> cache_;
  std::shared_ptr<Spool> spool_;
  const SourceInfo info_;
};

Error Upstream(Code code, std::string message, std::string upstream) {
  Error error(code, std::move(message), "upstream: " + upstream);
  error.facts.emplace_back("upstream", std::move(upstream));
  return error;
}

void AddRetry(Error& error, std::chrono::milliseconds wait) {
  error.facts.emplace_back(kRetryFact, std::to_string(wait.count()));
}

/// A server that is only busy is worth another try, if it does not ask for too much patience.
void AddRetry(Error& error, const http::ResponseHead& head, WallTime now) {
  const auto wait = head.retry_after(now).value_or(std::chrono::seconds(0));
  if (head.is_busy() && wait <= kLongestRetryAfter) AddRetry(error, wait);
}

/// In a word, how a transfer ended that brought no head. Nothing of it names a host.
std::string HowItFailed(const Error& error) {
  switch (error.code) {
    case Code::kDeadlineExceeded:
      return "timeout";
    case Code::kPermissionDenied:
      return error.detail == http::kPrivateAddress ? "address refused" : "redirect refused";
    default:
      break;
  }
  // Only libcurl's own words may name a host.
  if (!http::IsUnreachable(error)) return error.detail;
  return error.detail.find("resolve host") != std::string::npos ? "unknown host" : "unreachable";
}

/// Whether `text` shows what only the origin may see.
bool Leaks(const HttpTarget& target, const std::string& text) {
  const auto holds = [&](std::string_view secret) {
    return secret.size() >= 4 &&
           (text.find(secret) != text.npos || text.find(http::PercentEncode(secret)) != text.npos);
  };
  const size_t query = target.url.find('?');  // of our making: name=secret&name=secret
  std::string_view rest;
  if (query != std::string::npos) rest = std::string_view(target.url).substr(query + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (holds(pair.substr(pair.find('=') + 1))) return true;
  }
  return std::any_of(target.credentials.begin(), target.credentials.end(),
                     [&](const auto& credential) {
                       const std::string_view value = credential.second;
                       return holds(value) || holds(value.substr(value.rfind(' ') + 1));
                     });
}

Error ElsewhereError(const HttpTarget& target, const http::ResponseHead& head) {
  const auto redirect = http::ReadRedirect(target.url, *head.Get("Location"));
  const bool may_name = redirect && (!redirect->is_private || target.fetch.allow_private_addresses);
  if (!redirect || Leaks(target, redirect->url) || (!redirect->is_other_path && !may_name)) {
    return Upstream(Code::kUnavailable, "the origin redirects to a place that is not allowed",
                    "redirect refused");
  }
  Error error = Upstream(Code::kNotFound, "the source is elsewhere", std::to_string(head.status));
  error.reason = kRedirectReason;
  error.facts.emplace_back("status", std::to_string(head.status));
  if (may_name) error.facts.emplace_back("location", redirect->url);
  if (redirect->is_other_path) {
    error.facts.emplace_back("asked", redirect->asked_path);
    error.facts.emplace_back("path", redirect->path);
  }
  return error;
}

/// The media type without parameters, lower case.
std::string MediaType(std::string_view content_type) {
  std::string type(http::Trim(content_type.substr(0, content_type.find(';'))));
  for (char& c : type) c = http::ToLower(c);
  return type;
}

bool IsDocument(std::string_view type) {
  return type == "text/html" || type == "application/xhtml+xml" || type == "application/json" ||
         type == "text/json" || type.ends_with("+json") || type == "application/problem+xml";
}

/// "Strong ETag, or size and time": what tells one version of a source from another.
std::string ValidatorOf(const SourceInfo& info) {
  if (!info.etag.empty() && !info.etag.starts_with("W/")) return info.etag;
  if (info.last_modified_ms == 0 && info.etag.empty()) return {};
  std::string validator = info.etag;
  validator += " m" + std::to_string(info.last_modified_ms);
  if (info.size) validator += " s" + std::to_string(*info.size);
  return validator;
}

}  // namespace

/// Several opens of one URL that wait for one answer's head.
struct SpoolCache::Opening {
  Mutex mutex;
  std::optional<Result<SourceRef>> result GUARDED_BY(mutex);
  io::Notifier changed;
  std::shared_ptr<http::Transfer> transfer;  ///< set before anybody else sees it
};

/// Takes the first answer: decides what kind of source it is, then fills its spool.
class OpenSink final : public http::BodySink {
 public:
  OpenSink(std::shared_ptr<SpoolCache> cache, std::shared_ptr<SpoolCache::Opening> opening,
           HttpTargetRef target, SourceRef candidate, std::optional<Breaker::Permit> permit)
      : cache_(std::move(cache)),
        opening_(std::move(opening)),
        target_(std::move(target)),
        candidate_(std::move(candidate)),
        permit_(std::move(permit)) {}

  Result<void> OnHead(const http::ResponseHead& head) override {
    has_head_ = true;
    if (permit_) permit_->End(head.is_server_failure() ? Outcome::kFailure : Outcome::kSuccess);
    if (target_->explain && IsRefusal(head)) {
      refusal_ = head;
      return {};
    }
    Result<SourceRef> opened = Judge(head);
    if (opened.ok())
      target_->counters->ok.Add();
    else
      target_->counters->CountFailure(opened.error());
    const bool wants_body = fetch_ != nullptr;
    candidate_.reset();
    cache_->Finish(std::exchange(opening_, nullptr), std::move(opened));
    if (!wants_body) return Error(Code::kCancelled, "cancelled", "the head said enough");
    return {};
  }
  Result<Flow> OnData(std::string_view bytes) override {
    if (!refusal_) return spool_->Write(*fetch_, bytes);
    body_ += bytes.substr(0, kMaxRefusalBytes - body_.size());
    if (body_.size() == kMaxRefusalBytes)
      return Error(Code::kCancelled, "cancelled", "the refusal said enough");
    return Flow::kMore;
  }
  void OnDone(Result<void> result) override {
    if (refusal_) {
      Error error = target_->explain(*refusal_, body_);
      AddRetry(error, *refusal_, cache_->clock_.Now());
      target_->counters->CountFailure(error);
      candidate_.reset();
      return cache_->Finish(std::exchange(opening_, nullptr), std::move(error));
    }
    if (fetch_) return spool_->Done(fetch_, std::move(result));
    if (has_head_) return;
    Error error = result.ok() ? Error(Code::kInternal, "internal error", "done without a head")
                              : std::move(result).error();
    if (permit_) permit_->End(OutcomeOf(error));
    if (error.code == Code::kDeadlineExceeded || error.code == Code::kPermissionDenied ||
        error.code == Code::kUnavailable) {
      error.facts.emplace_back("upstream", HowItFailed(error));
    }
    if (http::IsUnreachable(error)) AddRetry(error, std::chrono::milliseconds(0));
    target_->counters->CountFailure(error);
    candidate_.reset();
    cache_->Finish(std::exchange(opening_, nullptr), std::move(error));
  }

 private:
  bool IsCandidate(const SourceInfo& info) const {
    if (!candidate_ || info.validator.empty()) return false;
    const auto& held = static_cast<const SpoolSource&>(*candidate_);
    if (held.spool().has_failed()) return false;
    const SourceInfo& old = held.info();
    return old.validator == info.validator && (!old.size || !info.size || *old.size == *info.size);
  }

  /// "bytes */0": the source is there and empty.
  static bool IsEmpty(const http::ResponseHead& head) {
    const auto range = head.content_range();
    return head.is_range_not_satisfiable() && range && !range->range && range->total == 0u;
  }
  static bool IsRefusal(const http::ResponseHead& head) {
    return !head.is_not_modified() && !head.is_whole() && !head.is_partial() && !IsEmpty(head);
  }

  Result<SourceRef> Judge(const http::ResponseHead& head) {
    if (head.is_not_modified()) {
      if (candidate_ && !static_cast<const SpoolSource&>(*candidate_).spool().has_failed())
        return candidate_;
      return Upstream(Code::kUnavailable, "the origin failed", std::to_string(head.status));
    }
    const auto range = head.content_range();
    const bool is_empty = IsEmpty(head);
    if (head.is_redirect() && target_->passes_redirects) return ElsewhereError(*target_, head);
    if (IsRefusal(head)) {
      const Code code = head.is_gone() ? Code::kNotFound : Code::kUnavailable;
      Error error =
          Upstream(code, code == Code::kNotFound ? "the source was not found" : "the origin failed",
                   std::to_string(head.status));
      AddRetry(error, head, cache_->clock_.Now());
      return error;
    }
    SourceInfo info;
    info.type = target_->type;
    info.origin_name = target_->origin_name;
    info.content_type = head.Get("Content-Type").value_or("");
    info.etag = head.Get("ETag").value_or("");
    info.last_modified_ms = head.last_modified_ms();
    const std::string type = MediaType(info.content_type);
    if (target_->refuse_documents && IsDocument(type) && !is_empty) {
      // What an origin says is repeated to nobody unless it is a name.
      const bool is_name = type.size() <= 64 && std::all_of(type.begin(), type.end(), [](char c) {
                             return c == '/' || http::IsTokenChar(c);
                           });
      Error error =
          Upstream(Code::kUnsupported, "the source is not a video", is_name ? type : "a document");
      error.reason = "SOURCE_UNSUPPORTED";
      return error;
    }
    if (target_->IsCoded(head)) {
      return Upstream(Code::kUnavailable, "the origin's answer is malformed",
                      "content coding nobody asked for");
    }
    uint64_t first_part = UINT64_MAX;
    if (head.is_partial()) {
      if (!range || !range->range || !range->total) {
        return Upstream(Code::kUnavailable, "the origin's answer is malformed",
                        "206 without a usable Content-Range");
      }
      const http::ByteRange got = *range->range;
      if (got.first != 0 || got.last >= target_->fetch.block_bytes ||
          (head.content_length && *head.content_length != got.length())) {
        return Upstream(Code::kUnavailable, "the origin's answer is malformed",
                        "another range than asked for");
      }
      info.size = *range->total;
      first_part = got.last + 1;
    } else {
      info.size = is_empty ? std::optional<uint64_t>(0) : head.content_length;
    }
    if (info.size && *info.size > target_->fetch.max_source_bytes)
      return TooLarge(info.size, target_->fetch.max_source_bytes);
    info.validator = ValidatorOf(info);
    if (IsCandidate(info)) return candidate_;
    TRY(std::shared_ptr<Spool> spool, cache_->Make(target_, std::move(info)));
    if (!is_empty && !(head.is_whole() && head.content_length == 0u)) {
      spool_ = spool;
      fetch_ = spool->BeginFirst(first_part, head.is_whole());
      fetch_->transfer = opening_->transfer;
    }
    MutexLock lock(cache_->mutex_);
    cache_->known_[target_->key] = spool;
    return cache_->Acquire(std::move(spool));
  }

  const std::shared_ptr<SpoolCache> cache_;
  std::shared_ptr<SpoolCache::Opening> opening_;
  const HttpTargetRef target_;
  SourceRef candidate_;  ///< a spool of this URL that may still be right; held so that nobody
                         ///< throws it away
  std::optional<Breaker::Permit> permit_;
  bool has_head_ = false;
  std::optional<http::ResponseHead> refusal_;  ///< its body is awaited
  std::string body_;
  std::shared_ptr<Spool> spool_;
  FetchRef fetch_;
};

Result<std::shared_ptr<SpoolCache>> SpoolCache::Create(const FetchOptions& options,
                                                       http::Client& client, Metrics& metrics,
                                                       const Clock& clock) {
  std::error_code failed;
  std::filesystem::create_directories(options.spool_dir, failed);
  const std::filesystem::directory_iterator entries(options.spool_dir, failed);
  if (failed) {
    return Error(Code::kUnavailable, "the spool directory cannot be used",
                 options.spool_dir.string() + ": " + failed.message());
  }
  for (const auto& entry : entries) {
    if (entry.path().filename().string().starts_with("vr-spool-"))
      std::filesystem::remove(entry.path(), failed);
  }
  if (::access(options.spool_dir.c_str(), W_OK | X_OK) != 0) {
    return ErrnoError(errno, "writing to the spool directory " + options.spool_dir.string());
  }
  std::shared_ptr<SpoolCache> cache(new SpoolCache(options, client, metrics, clock));
  cache->reaper_ = std::thread([self = cache.get()] { self->Reap(); });
  return cache;
}

SpoolCache::SpoolCache(const FetchOptions& options, http::Client& client, Metrics& metrics,
                       const Clock& clock)
    : options_(options),
      client_(client),
      metrics_(metrics),
      clock_(clock),
      gauge_(metrics.GetGauge("video_resizer_spool_bytes",
                              "Bytes of HTTP sources held in spool files")) {}

SpoolCache::~SpoolCache() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  reaper_.join();
}

std::shared_ptr<Breaker> SpoolCache::BreakerOf(const std::string& origin, const std::string& base,
                                               const std::string& path, std::string name) {
  const std::string key = origin + '\n' + base + '\n' + path;
  MutexLock lock(mutex_);
  std::erase_if(breakers_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Breaker>& slot = breakers_[key];
  std::shared_ptr<Breaker> breaker = slot.lock();
  if (!breaker) {
    breaker = std::make_shared<Breaker>(origin, std::move(name), metrics_, clock_);
    slot = breaker;
  }
  return breaker;
}

SourceRef SpoolCache::Acquire(std::shared_ptr<Spool> spool) {
  ++users_[spool.get()];
  idle_.remove_if([&](const Idle& idle) { return idle.spool == spool; });
  return std::make_shared<SpoolSource>(shared_from_this(), std::move(spool));
}

void SpoolCache::Release(std::shared_ptr<Spool> spool) {
  {
    MutexLock lock(mutex_);
    const auto users = users_.find(spool.get());
    if (--users->second > 0) return;
    users_.erase(users);
    const auto known = known_.find(spool->target()->key);
    const bool is_newest = known != known_.end() && known->second.lock() == spool;
    if (is_newest && options_.spool_keep.count() > 0 && spool->is_keepable()) {
      idle_.push_back(Idle{spool, std::chrono::steady_clock::now()});
    } else {
      if (is_newest) known_.erase(known);
      bytes_ -= spool->TakeCharge();
      trash_.push_back(spool);
    }
  }
  wake_.notify_all();
  spool->Abandon();
}

Result<void> SpoolCache::Charge(Spool& spool, uint64_t bytes) {
  bool evicted = false;
  bool fits = false;
  {
    MutexLock lock(mutex_);
    while (bytes_ + bytes > options_.spool_max_bytes && !idle_.empty()) {
      std::shared_ptr<Spool> oldest = std::move(idle_.front().spool);
      idle_.pop_front();
      known_.erase(oldest->target()->key);
      bytes_ -= oldest->TakeCharge();
      trash_.push_back(std::move(oldest));
      evicted = true;
    }
    fits = bytes_ + bytes <= options_.spool_max_bytes;
    if (fits) {
      bytes_ += bytes;
      spool.AddCharge(bytes);
      gauge_.Set(static_cast<double>(bytes_));
    }
  }
  if (evicted) wake_.notify_all();
  if (fits) return {};
  Error error(Code::kResourceExhausted, "the server is busy",
              "all spools together are at their limit");
  error.reason = "OVERLOADED";
  return error;
}

void SpoolCache::Refund(uint64_t bytes) {
  bytes_ -= bytes;
  gauge_.Set(static_cast<double>(bytes_));
}

Result<std::shared_ptr<Spool>> SpoolCache::Make(HttpTargetRef target, SourceInfo info) {
  Result<std::shared_ptr<Spool>> spool = Spool::Create(
      weak_from_this(), client_, options_.spool_dir, std::move(target), std::move(info));
  if (!spool.ok() && spool.error().code != Code::kResourceExhausted)
    spool.error().code = Code::kInternal;
  return spool;
}

void SpoolCache::Finish(const std::shared_ptr<Opening>& opening, Result<SourceRef> result) {
  {
    MutexLock lock(mutex_);
    for (auto it = opening_.begin(); it != opening_.end(); ++it) {
      if (it->second != opening) continue;
      opening_.erase(it);
      break;
    }
  }
  {
    MutexLock lock(opening->mutex);
    opening->result.emplace(std::move(result));
  }
  opening->changed.NotifyAll();
}

io::Task<Result<SourceRef>> SpoolCache::Open(std::shared_ptr<SpoolCache> self, Context ctx,
                                             HttpTargetRef target) {
  std::shared_ptr<Opening> opening;
  bool is_leader = false;
  {
    MutexLock lock(self->mutex_);
    const auto flying = self->opening_.find(target->key);
    if (flying != self->opening_.end()) {
      opening = flying->second;
    } else {
      std::optional<Breaker::Permit> permit =
          target->breaker ? target->breaker->Enter(target->breaker_options()) : std::nullopt;
      if (target->breaker && !permit) {
        Error error =
            Upstream(Code::kUnavailable, "the source is not asked for now", "circuit open");
        co_return error;
      }
      is_leader = true;
      opening = std::make_shared<Opening>();
      self->opening_[target->key] = opening;
      SourceRef candidate;
      http::ClientRequest request = target->Request();
      request.range = http::ByteRange{0, target->fetch.block_bytes - 1};
      // It may become the whole source at the pace of its readers: bounded by what they wait, and
      // by idle_timeout.
      request.total_timeout = std::chrono::hours(24);
      const auto known = self->known_.find(target->key);
      if (known != self->known_.end()) {
        std::shared_ptr<Spool> spool = known->second.lock();
        if (spool && !spool->has_failed()) {
          candidate = self->Acquire(std::move(spool));
          const SourceInfo& info = candidate->info();
          if (!info.etag.empty()) {
            request.fields.emplace_back("If-None-Match", info.etag);
          } else if (info.last_modified_ms != 0) {
            request.fields.emplace_back("If-Modified-Since",
                                        http::FormatDate(FromUnixMillis(info.last_modified_ms)));
          }
        }
      }
      auto sink = std::make_shared<OpenSink>(self, opening, target, std::move(candidate),
                                             std::move(permit));
      opening->transfer = self->client_.Prepare(std::move(request), std::move(sink));
    }
  }
  if (is_leader) opening->transfer->Start();
  for (;;) {
    const uint64_t ticket = opening->changed.ticket();
    {
      MutexLock lock(opening->mutex);
      if (opening->result) {
        Result<SourceRef> result = *opening->result;
        co_return result;
      }
    }
    const bool changed = co_await opening->changed.WaitChange(ticket, ctx.deadline);
    if (!changed) {
      Error error =
          Upstream(Code::kDeadlineExceeded, "the origin did not answer in time", "timeout");
      co_return error;
    }
  }
}

/// Closes what was thrown away, and throws away what nobody came back for.
void SpoolCache::Reap() {
  ::pthread_setname_np(::pthread_self(), "spool-reaper");
  std::vector<std::shared_ptr<Spool>> trash;
  for (;;) {
    trash.clear();  // closes, without the lock
    mutex_.lock();
    const SteadyTime now = std::chrono::steady_clock::now();
    while (!idle_.empty() && now - idle_.front().since >= options_.spool_keep) {
      known_.erase(idle_.front().spool->target()->key);
      bytes_ -= idle_.front().spool->TakeCharge();
      trash_.push_back(std::move(idle_.front().spool));
      idle_.pop_front();
    }
    if (trash_.empty() && !stopping_) {
      if (idle_.empty())
        wake_.wait(mutex_);
      else
        wake_.wait_until(mutex_, idle_.front().since + options_.spool_keep);
    }
    trash.swap(trash_);
    const bool stop = stopping_;
    mutex_.unlock();
    if (stop) return;
  }
}

}  // namespace vr::origin
