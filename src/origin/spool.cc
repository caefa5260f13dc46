#include "origin/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "base/hash.h"
#include "http/ascii.h"
#include "io/timer.h"
#include "observe/log.h"
#include "origin/allowed_sources.h"
#include "origin/file_source.h"

namespace vr::origin {

namespace {

using std::chrono::milliseconds;

/// Requests of one spool under way at once for one caller's range.
constexpr size_t kMaxParallel = 4;
/// How far an answer that cannot be asked for in parts may run ahead of its readers.
constexpr uint64_t kLead = 64ull << 20;
/// Two reads this far apart may still be one reader's: demuxers skip a little.
constexpr uint64_t kSkip = 256 << 10;

uint64_t AddClipped(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/// Passes one range's answer to its spool.
class RangeSink final : public http::BodySink {
 public:
  RangeSink(std::shared_ptr<Spool> spool, FetchRef fetch)
      : spool_(std::move(spool)), fetch_(std::move(fetch)) {}
  Result<void> OnHead(const http::ResponseHead& head) override {
    has_head_ = true;
    Result<void> checked = spool_->CheckHead(*fetch_, head);
    if (!checked.ok()) Note(head.is_server_failure() ? Outcome::kFailure : Outcome::kSuccess);
    if (checked.ok() || !spool_->target()->explain || head.is_partial() || head.is_whole())
      return checked;
    refused_ = std::move(checked).error();
    head_ = head;
    return {};
  }
  Result<Flow> OnData(std::string_view bytes) override {
    if (!refused_) return spool_->Write(*fetch_, bytes);
    body_ += bytes.substr(0, kMaxRefusalBytes - body_.size());
    if (body_.size() == kMaxRefusalBytes) return *refused_;
    return Flow::kMore;
  }
  void OnDone(Result<void> result) override {
    if (refused_) {
      refused_->detail += "; " + spool_->target()->explain(head_, body_).detail;
      result = std::move(*refused_);
    }
    if (!has_head_ && !result.ok()) spool_->target()->counters->CountFailure(result.error());
    Note(result.ok() ? Outcome::kSuccess : OutcomeOf(result.error()));
    spool_->Done(fetch_, std::move(result));
  }

 private:
  /// The first call counts.
  void Note(Outcome outcome) {
    const HttpTarget& target = *spool_->target();
    if (target.breaker && !std::exchange(is_noted_, true))
      target.breaker->Note(outcome, target.breaker_options());
  }

  const std::shared_ptr<Spool> spool_;
  const FetchRef fetch_;
  bool has_head_ = false;
  std::optional<Error> refused_;  ///< by the head; the body may say more
  http::ResponseHead head_;
  std::string body_;
  bool is_noted_ = false;
};

Error WithDefaultReason(Error error) {
  if (!error.reason.empty()) return error;
  switch (error.code) {
    case Code::kDeadlineExceeded:
      error.reason = "ORIGIN_TIMEOUT";
      break;
    case Code::kUnavailable:
    case Code::kPermissionDenied:
      error.reason = "ALL_SOURCES_FAILED";
      break;
    default:
      break;
  }
  return error;
}

}  // namespace

OriginCounters::OriginCounters(Metrics& metrics, const std::string& origin)
    : ok(metrics.GetCounter("video_resizer_origin_requests_total",
                            "Requests to origins, by origin and result",
                            {{"origin", origin}, {"result", "ok"}})),
      not_found(metrics.GetCounter("video_resizer_origin_requests_total", "",
                                   {{"origin", origin}, {"result", "not_found"}})),
      redirect(metrics.GetCounter("video_resizer_origin_requests_total", "",
                                  {{"origin", origin}, {"result", "redirect"}})),
      error(metrics.GetCounter("video_resizer_origin_requests_total", "",
                               {{"origin", origin}, {"result", "error"}})),
      timeout(metrics.GetCounter("video_resizer_origin_requests_total", "",
                                 {{"origin", origin}, {"result", "timeout"}})),
      bytes(metrics.GetCounter("video_resizer_origin_bytes_total",
                               "Body bytes read from origins over the network",
                               {{"origin", origin}})),
      broken(metrics.GetCounter("video_resizer_origin_broken_bodies_total",
                                "Answers of origins that began well and broke off",
                                {{"origin", origin}})) {}

void OriginCounters::CountFailure(const Error& failure) {
  if (failure.code == Code::kCancelled) return;
  if (failure.reason == kRedirectReason)
    redirect.Add();
  else if (failure.code == Code::kNotFound)
    not_found.Add();
  else if (failure.code == Code::kDeadlineExceeded)
    timeout.Add();
  else
    error.Add();
}

milliseconds BackoffOf(const FetchOptions& fetch, int failures) {
  const int64_t base = fetch.retry_backoff.count() << std::clamp(failures - 1, 0, 10);
  if (base <= 0) return milliseconds(0);
  thread_local std::minstd_rand random{std::random_device{}()};
  return milliseconds(base / 2 + static_cast<int64_t>(random() % static_cast<uint64_t>(base)));
}

Outcome OutcomeOf(const Error& failure) {
  const bool is_away = failure.code == Code::kDeadlineExceeded || http::IsUnreachable(failure);
  return is_away ? Outcome::kFailure : Outcome::kUnknown;
}

bool HttpTarget::IsCoded(const http::ResponseHead& head) const {
  // Some S3 servers keep the name of the upload's framing, which is not there any more.
  const std::string_view coding = http::Trim(head.Get("Content-Encoding").value_or(""));
  return head.is_coded() && !(type == "s3" && http::EqualsNoCase(coding, "aws-chunked"));
}

std::string HttpTarget::MakeKey() const {
  Hasher digest;
  for (const auto& [name, value] : credentials) {
    digest.Update(std::to_string(name.size()) + ":" + name + std::to_string(value.size()) + ":" +
                  value);
  }
  return url + "\n" + digest.Finish().ToHex() + (refuse_documents ? "v" : "d") +
         (passes_redirects ? "p" : "") + (refuse_private_addresses ? "u" : "");
}

http::ClientRequest HttpTarget::Request() const {
  http::ClientRequest request;
  request.url = url;
  request.via = via;
  request.credentials = credentials;
  request.signer = signer;
  request.connect_timeout = fetch.connect_timeout;
  request.first_byte_timeout = fetch.first_byte_timeout;
  request.idle_timeout = fetch.idle_timeout;
  request.total_timeout = fetch.total_timeout;
  request.max_redirects = passes_redirects || signer ? 0 : fetch.max_redirects;
  request.allow_private_redirects = fetch.allow_private_addresses;
  request.refuse_private_addresses = refuse_private_addresses && !fetch.allow_private_addresses;
  if (allowed) {
    request.may_follow = [allowed = allowed](const std::string& to) {
      return allowed->AllowUrl(to);
    };
  }
  return request;
}

/// What one look at the state says: an answer, or what to start, to resume and to wait for.
struct Spool::Look {
  std::optional<Result<uint64_t>> answer;
  std::optional<Error> broken;  ///< a fetch that was waited for failed; may be tried again
  bool is_ours = false;         ///< it was cancelled by us, not failed by the origin
  std::vector<FetchRef> start, wait;
  std::shared_ptr<http::Transfer> resume;
};

Result<std::shared_ptr<Spool>> Spool::Create(std::weak_ptr<SpoolCache> cache, http::Client& client,
                                             const std::filesystem::path& dir, HttpTargetRef target,
                                             SourceInfo info) {
  static std::atomic<uint64_t> serial{0};
  const std::string path =
      (dir / ("vr-spool-" + std::to_string(::getpid()) + "-" + std::to_string(++serial))).string();
  UniqueFd write(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (!write) return ErrnoError(errno, "creating a spool file");
  UniqueFd read(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int why = errno;
  ::unlink(path.c_str());
  if (!read) return ErrnoError(why, "opening a spool file");
  auto file = std::make_shared<UniqueFd>(std::move(read));
  return std::shared_ptr<Spool>(new Spool(std::move(cache), client, std::move(target),
                                          std::move(info), std::move(write), std::move(file)));
}

Spool::Spool(std::weak_ptr<SpoolCache> cache, http::Client& client, HttpTargetRef target,
             SourceInfo info, UniqueFd write, SharedFd read)
    : cache_(std::move(cache)),
      client_(client),
      target_(std::move(target)),
      opened_(std::move(info)),
      write_(std::move(write)),
      read_(std::move(read)),
      size_(opened_.size) {}

Spool::~Spool() {
  if (auto cache = cache_.lock()) cache->Refund(TakeCharge());
}

SourceInfo Spool::info() const {
  SourceInfo info = opened_;
  MutexLock lock(mutex_);
  info.size = size_;
  return info;
}

bool Spool::is_complete() const {
  MutexLock lock(mutex_);
  return IsComplete();
}

bool Spool::has_failed() const {
  MutexLock lock(mutex_);
  return failure_.has_value();
}

bool Spool::is_keepable() const {
  MutexLock lock(mutex_);
  if (failure_ || opened_.validator.empty()) return false;
  // What comes in one answer from front to back cannot be added to once that answer was given up.
  const bool whole_only =
      std::any_of(fetches_.begin(), fetches_.end(), [](const auto& f) { return f->to_the_end; });
  return IsComplete() || !whole_only;
}

bool Spool::IsComplete() const {
  if (!size_) return false;
  if (*size_ == 0) return true;
  return extents_.size() == 1 && extents_.begin()->first == 0 && extents_.begin()->second >= *size_;
}

uint64_t Spool::AvailableAt(uint64_t offset) const {
  auto it = extents_.upper_bound(offset);
  if (it == extents_.begin()) return 0;
  --it;
  return it->second > offset ? it->second - offset : 0;
}

uint64_t Spool::CoveredTo(uint64_t offset) const {
  for (;;) {
    uint64_t next = offset + AvailableAt(offset);
    for (const FetchRef& f : fetches_) {
      if (f->begin <= next && next < f->limit) next = f->limit;
    }
    if (next == offset) return offset;
    offset = next;
  }
}

void Spool::AddExtent(uint64_t begin, uint64_t end) {
  auto it = extents_.upper_bound(begin);
  if (it != extents_.begin() && std::prev(it)->second >= begin) {
    --it;
    begin = it->first;
    end = std::max(end, it->second);
    it = extents_.erase(it);
  }
  while (it != extents_.end() && it->first <= end) {
    end = std::max(end, it->second);
    it = extents_.erase(it);
  }
  extents_.emplace(begin, end);
}

/// How far beyond `end` the reader that now asks for [offset, end) should be read ahead of: as much
/// as it has read in one go, from its second step on.
uint64_t Spool::ReadAhead(uint64_t offset, uint64_t end) {
  ++clock_;
  Cursor* mine = nullptr;
  for (Cursor& c : cursors_) {
    if (c.steps > 0 && offset >= c.begin && offset <= AddClipped(c.next, kSkip) &&
        AddClipped(offset, kSkip) >= c.next) {
      mine = &c;
      break;
    }
  }
  if (mine == nullptr) {
    mine = &*std::min_element(cursors_.begin(), cursors_.end(),
                              [](const Cursor& a, const Cursor& b) { return a.used < b.used; });
    *mine = Cursor{offset, end, clock_, 1};
    return 0;
  }
  mine->used = clock_;
  mine->next = std::max(mine->next, end);
  ++mine->steps;
  const uint64_t run = mine->next - mine->begin;
  if (run < target_->fetch.block_bytes) return 0;
  return std::min<uint64_t>(run, target_->fetch.read_ahead_bytes);
}

/// Plans requests for what of [begin, end) is neither there nor on its way, and lists what to wait
/// for.
void Spool::PlanFetches(uint64_t begin, uint64_t end, Look& look) {
  const uint64_t largest =
      std::max<uint64_t>(target_->fetch.block_bytes, target_->fetch.read_ahead_bytes);
  size_t busy = 0;
  for (uint64_t at = begin; at < end;) {
    if (const uint64_t there = AvailableAt(at); there > 0) {
      at += there;
      continue;
    }
    const auto flying = std::find_if(fetches_.begin(), fetches_.end(), [&](const FetchRef& f) {
      return f->begin <= at && at < f->limit;
    });
    if (flying != fetches_.end()) {
      if (++busy > kMaxParallel) return;
      look.wait.push_back(*flying);
      at = (*flying)->limit;
      continue;
    }
    if (++busy > kMaxParallel) return;
    uint64_t stop = std::min(end, AddClipped(at, largest));
    const auto next = extents_.lower_bound(at);
    if (next != extents_.end()) stop = std::min(stop, next->first);
    for (const FetchRef& f : fetches_) {
      if (f->begin > at) stop = std::min(stop, f->begin);
    }
    auto fetch = std::make_shared<Fetch>();
    fetch->begin = fetch->at = at;
    fetch->end = fetch->limit = stop;
    http::ClientRequest request = target_->Request();
    request.range = http::ByteRange{at, stop - 1};
    if (!opened_.etag.empty() && !opened_.etag.starts_with("W/")) {
      request.fields.emplace_back("If-Range", opened_.etag);
    }
    fetch->transfer =
        client_.Prepare(std::move(request), std::make_shared<RangeSink>(shared_from_this(), fetch));
    fetches_.push_back(fetch);
    look.start.push_back(fetch);
    look.wait.push_back(fetch);
    at = stop;
  }
}

Spool::Look Spool::LookFor(uint64_t offset, uint64_t length, bool is_first,
                           const std::vector<FetchRef>& waited) {
  Look look;
  MutexLock lock(mutex_);
  if (failure_) {
    look.answer = *failure_;
    return look;
  }
  uint64_t end = AddClipped(offset, length);
  if (size_) {
    if (offset >= *size_) {
      look.answer = 0;
      return look;
    }
    end = std::min(end, *size_);
  }
  const uint64_t available = AvailableAt(offset);
  const bool is_there = AddClipped(offset, available) >= end;
  for (const FetchRef& f : waited) {
    if (is_there || !f->error) continue;
    if (!f->is_retryable) {
      look.answer = *f->error;
      return look;
    }
    look.broken = *f->error;
    look.is_ours = f->error->code == Code::kCancelled;
    return look;
  }
  if (is_there) look.answer = available;

  const auto whole = std::find_if(fetches_.begin(), fetches_.end(),
                                  [](const FetchRef& f) { return f->to_the_end; });
  if (whole != fetches_.end()) {
    wanted_ = std::max(wanted_, end);
    if ((*whole)->is_paused && (*whole)->at < AddClipped(wanted_, kLead)) {
      (*whole)->is_paused = false;
      look.resume = (*whole)->transfer;
    }
    look.wait.push_back(*whole);
    return look;
  }
  if (!size_) {  // its only answer is over and told no end: cannot be
    look.answer =
        Error(Code::kInternal, "internal error", "spool without size and without transfer");
    return look;
  }
  const uint64_t size = *size_;
  const uint64_t block = target_->fetch.block_bytes;
  const uint64_t ahead = is_first ? ReadAhead(offset, end) : 0;
  const auto rounded = [&](uint64_t to) {
    return std::min(AddClipped(to, block - 1) / block * block, size);
  };
  const uint64_t covered = CoveredTo(offset);
  if (!is_there) {
    uint64_t from = offset / block * block;
    const auto after = extents_.upper_bound(offset);
    if (after != extents_.begin())
      from = std::max(from, std::min(std::prev(after)->second, offset));
    PlanFetches(from, covered < end ? rounded(AddClipped(end, ahead)) : end, look);
    // Only what covers the asked part is waited for.
    std::erase_if(look.wait, [&](const FetchRef& f) { return f->begin >= end; });
  }
  // Ahead in whole windows: the next one is asked for when half of one is left.
  if (ahead > 0 && covered >= end && covered < size && covered - end < ahead / 2) {
    Look further;
    PlanFetches(covered, rounded(covered + ahead), further);
    look.start.insert(look.start.end(), further.start.begin(), further.start.end());
  }
  return look;
}

io::Task<Result<uint64_t>> Spool::Ensure(std::shared_ptr<Spool> self, Context ctx, uint64_t offset,
                                         uint64_t length) {
  std::vector<FetchRef> waited;
  bool is_first = true;
  int failures = 0;
  for (;;) {
    const uint64_t ticket = self->changed_.ticket();
    Look look = self->LookFor(offset, length, is_first, waited);
    is_first = false;
    for (const FetchRef& fetch : look.start) fetch->transfer->Start();
    if (look.resume) look.resume->Resume();
    if (look.answer) {
      if (!look.answer->ok()) co_return WithDefaultReason(std::move(*look.answer).error());
      co_return std::move(*look.answer);
    }
    if (look.broken) {
      waited.clear();
      if (look.is_ours) continue;
      const FetchOptions& fetch = self->target_->fetch;
      if (++failures > fetch.retries) co_return WithDefaultReason(std::move(*look.broken));
      const SteadyTime then = std::chrono::steady_clock::now() + BackoffOf(fetch, failures);
      const SteadyTime until = std::min(then, ctx.deadline);
      co_await io::SleepUntil(until);
      continue;
    }
    waited = std::move(look.wait);
    const bool changed = co_await self->changed_.WaitChange(ticket, ctx.deadline);
    if (!changed) {
      co_return Error(Code::kDeadlineExceeded, "the origin did not answer in time",
                      "waiting for a part of the source")
          .WithReason("ORIGIN_TIMEOUT");
    }
  }
}

FetchRef Spool::BeginFirst(uint64_t end, bool to_the_end) {
  auto fetch = std::make_shared<Fetch>();
  fetch->end = fetch->limit = end;
  fetch->to_the_end = to_the_end;
  MutexLock lock(mutex_);
  fetches_.push_back(fetch);
  return fetch;
}

Error Spool::Changed(std::string_view how) {
  Error error(Code::kCorruption, "the source changed while it was read", std::string(how));
  error.reason = "ALL_SOURCES_FAILED";
  return error;
}

Result<void> Spool::CheckHead(Fetch& fetch, const http::ResponseHead& head) {
  OriginCounters& counters = *target_->counters;
  const auto refuse = [&](Error error, bool may_retry) -> Error {
    MutexLock lock(mutex_);
    fetch.is_retryable = may_retry;
    return error;
  };
  if (head.is_gone() || head.is_precondition_failed() || head.is_range_not_satisfiable()) {
    (head.is_gone() ? counters.not_found : counters.error).Add();
    return refuse(Changed("a range of it was refused with " + std::to_string(head.status)), false);
  }
  if (!head.is_partial() && !head.is_whole()) {
    counters.error.Add();
    return refuse(Error(Code::kUnavailable, "the origin failed",
                        "a range was answered with " + std::to_string(head.status)),
                  head.is_transient());
  }
  counters.ok.Add();
  const std::string_view etag = head.Get("ETag").value_or("");
  const bool same_etag = !etag.empty() && etag == opened_.etag;
  if (!etag.empty() && !opened_.etag.empty() && !same_etag)
    return refuse(Changed("other ETag"), false);
  const int64_t modified = head.last_modified_ms();
  if (!same_etag && modified != 0 && opened_.last_modified_ms != 0 &&
      modified != opened_.last_modified_ms) {
    return refuse(Changed("other Last-Modified"), false);
  }
  const uint64_t size = *opened_.size;
  if (head.is_whole()) {
    // Either If-Range did not hold, or a server that knew ranges before does not now.
    if (same_etag && head.content_length == size) {
      return refuse(
          Error(Code::kUnavailable, "the origin failed", "a range was answered with the whole"),
          true);
    }
    return refuse(Changed("a range was answered with the whole"), false);
  }
  if (target_->IsCoded(head)) {
    return refuse(Error(Code::kUnavailable, "the origin's answer is malformed",
                        "content coding nobody asked for"),
                  false);
  }
  const auto range = head.content_range();
  if (!range || !range->range) {
    return refuse(Error(Code::kUnavailable, "the origin's answer is malformed",
                        "206 without a usable Content-Range"),
                  false);
  }
  if (range->total && *range->total != size) return refuse(Changed("other size"), false);
  const http::ByteRange got = *range->range;
  if (got.first != fetch.begin || got.last >= fetch.end ||
      (head.content_length && *head.content_length != got.length())) {
    return refuse(Error(Code::kUnavailable, "the origin's answer is malformed",
                        "another range than asked for"),
                  false);
  }
  MutexLock lock(mutex_);
  fetch.limit = got.last + 1;
  return {};
}

Result<http::BodySink::Flow> Spool::Write(Fetch& fetch, std::string_view bytes) {
  const uint64_t begin = fetch.at;
  if (bytes.size() > fetch.limit - begin) {
    MutexLock lock(mutex_);
    fetch.is_retryable = false;
    return Error(Code::kUnavailable, "the origin's answer is malformed", "more bytes than it said");
  }
  const uint64_t end = begin + bytes.size();
  const uint64_t most = target_->fetch.max_source_bytes;
  if (end > most) {
    Error error = TooLarge(std::nullopt, most);
    MutexLock lock(mutex_);
    fetch.is_retryable = false;
    return error;
  }
  if (auto cache = cache_.lock()) {
    Result<void> charged = cache->Charge(*this, bytes.size());
    // May pass: others let go of theirs.
    if (!charged.ok()) return std::move(charged).error();
  }
  for (uint64_t at = begin; at < end;) {
    const ssize_t n =
        ::pwrite(write_.get(), bytes.data() + (at - begin), end - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      Error error = ErrnoError(errno, "writing a spool");
      error.reason = "OVERLOADED";
      MutexLock lock(mutex_);
      fetch.is_retryable = false;
      return error;
    }
    at += static_cast<uint64_t>(n);
  }
  target_->counters->bytes.Add(static_cast<double>(bytes.size()));
  auto flow = http::BodySink::Flow::kMore;
  {
    MutexLock lock(mutex_);
    AddExtent(begin, end);
    fetch.at = end;
    if (fetch.to_the_end && end >= AddClipped(wanted_, kLead)) {
      fetch.is_paused = true;
      flow = http::BodySink::Flow::kPause;
    }
  }
  changed_.NotifyAll();
  return flow;
}

void Spool::Done(const FetchRef& fetch, Result<void> result) {
  {
    MutexLock lock(mutex_);
    std::erase(fetches_, fetch);
    if (fetch->to_the_end && !result.ok() && IsComplete())
      result = Result<void>();  // cut off after its last byte
    if (result.ok()) {
      if (fetch->to_the_end) {
        size_ = fetch->at;
      } else if (fetch->at < fetch->limit) {
        result = Error(Code::kUnavailable, "the origin's answer broke off",
                       "fewer bytes than its range has");
      }
    }
    if (!result.ok()) {
      fetch->error = result.error();
      const bool is_final = fetch->to_the_end || result.error().code == Code::kCorruption;
      if (is_final && !failure_) failure_ = result.error();
    }
  }
  changed_.NotifyAll();
  if (result.ok() || result.error().code == Code::kCancelled) return;
  target_->counters->broken.Add();
  LogWarn("origin_read_failed",
          {{"origin", target_->origin_name}, {"error", result.error().ToLogString()}});
}

void Spool::Abandon() {
  std::vector<FetchRef> fetches;
  {
    MutexLock lock(mutex_);
    fetches = fetches_;
  }
  for (const FetchRef& fetch : fetches) fetch->transfer->Cancel();
}

}  // namespace vr::origin
