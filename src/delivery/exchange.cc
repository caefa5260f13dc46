#include "delivery/exchange.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "delivery/bucket_answer.h"
#include "http/ascii.h"
#include "http/date.h"
#include "http/forwarding.h"
#include "http/location.h"
#include "http/status.h"
#include "io/files.h"
#include "observe/log.h"
#include "origin/spool.h"

namespace vr::delivery {

namespace {

/// How far an answer that is not kept may be ahead of its slowest reader.
constexpr uint64_t kMaxAhead = 8 << 20;
/// The size of a file of an answer that is not kept.
constexpr uint64_t kSegment = 4 << 20;

/// What we call ourselves in Via of answers.
constexpr std::string_view kName = "video-resizer";

http::StoreRequest StoreRequestOf(const http::Request& request) {
  http::StoreRequest out;
  out.method = request.method;
  out.has_authorization = request.Get("Authorization").has_value();
  out.no_store = http::ParseCacheControl(request.GetAll("Cache-Control")).no_store;
  return out;
}

/// Whether what it is told is what everybody is told: an answer to somebody's credentials, or one
/// that may not be stored, says nothing against what is stored for all.
bool IsCommon(const http::StoreRequest& asked) {
  return !asked.has_authorization && !asked.no_store;
}

/// The key of the URL that a Location or Content-Location names; nullopt when it is another host's.
std::optional<std::string> KeyOfReference(const std::string& key, std::string_view reference) {
  const std::string base = key.substr(kPassthroughKeyPrefix.size());
  const auto url = http::ResolveUrl(base, std::string(reference));
  if (!url) return std::nullopt;
  // The host decides, not by which scheme it was reached.
  const size_t start = base.find("://") + 3;
  const size_t path = std::min(base.find('/', start), base.size());
  const size_t other_start = url->url.find("://") + 3;
  const size_t other_path = std::min(url->url.find('/', other_start), url->url.size());
  if (!http::EqualsNoCase(url->url.substr(other_start, other_path - other_start),
                          base.substr(start, path - start))) {
    return std::nullopt;
  }
  return std::string(kPassthroughKeyPrefix) + base.substr(0, path) + url->url.substr(other_path);
}

/// With Date (RFC 9110 §6.6.1: a recipient with a clock adds what is missing) and our Via.
http::FieldList Received(const http::ResponseHead& head, int64_t now_ms) {
  http::FieldList fields = http::EndToEndFields(head.fields);
  const auto date = http::FirstValue(fields, "Date");
  if (!date || !http::ParseDate(*date)) {
    http::EraseFields(fields, "Date");
    fields.emplace_back("Date", http::FormatDate(FromUnixMillis(now_ms)));
  }
  http::AppendVia(fields, 1, kName);
  return fields;
}

}  // namespace

Exchange::Exchange(ExchangeDeps deps, ExchangeSpec spec)
    : deps_(deps),
      spec_(std::move(spec)),
      asked_(StoreRequestOf(spec_.request)),
      is_common_(IsCommon(asked_)) {}

void Exchange::Bind(std::weak_ptr<http::Transfer> transfer, bool is_bucket) {
  transfer_ = std::move(transfer);
  is_bucket_ = is_bucket;
  refusal_.reset();
  refusal_body_.clear();
  request_ms_ = ToUnixMillis(deps_.clock.Now());
  epoch_ = deps_.store.epoch();
  MutexLock lock(mutex_);
  was_sent_ = false;
}

// ---- the client's side

void Exchange::OnConnected() {
  MutexLock lock(mutex_);
  was_sent_ = true;
}

void Exchange::OnInterim(const http::ResponseHead& head) {
  // 100 is about our own request, 101 cannot be: Upgrade is not forwarded.
  if (head.status <= 101) return;
  Interim interim{head.status, cache::RenderFields(http::EndToEndFields(head.fields))};
  {
    MutexLock lock(mutex_);
    interims_.push_back(std::move(interim));
    had_interims_ = true;
  }
  notifier_.NotifyAll();
}

Result<void> Exchange::OnHead(const http::ResponseHead& head) {
  if (course_) course_->Answered(head);
  if (!is_bucket_) return TakeHead(head);
  if (IsBucketRefusal(head)) return TakeRefusal(head);
  return TakeHead(CleanBucketHead(head));
}

Result<void> Exchange::TakeRefusal(const http::ResponseHead& head) {
  if (!head.is_gone() && MayUseHeldOnError(false, 0, ToUnixMillis(deps_.clock.Now()))) {
    FinishStored(spec_.held, false);
    return Error(Code::kCancelled, "a stored response answers", "stale-if-error");
  }
  // Whether it is followed by another try or not: its body says why.
  if (course_) std::ignore = course_->Dismisses(head);
  refusal_ = head;
  return {};
}

Result<void> Exchange::TakeHead(const http::ResponseHead& head) {
  const http::ExchangeTimes times{request_ms_, ToUnixMillis(deps_.clock.Now())};
  const http::Request& request = spec_.request;
  if (!http::IsSafeMethod(request.method_name)) Invalidate(head);
  if (head.is_not_modified() && spec_.is_validation) {
    FinishStored(Freshen(head, times), true);
    return {};
  }
  if (http::IsServerFailure(head.status) && MayUseHeldOnError(false, 0, times.response_ms)) {
    FinishStored(spec_.held, false);
    return Error(Code::kCancelled, "a stored response answers", "stale-if-error");
  }
  if (course_ && course_->Dismisses(head)) {
    return Error(Code::kUnavailable, "the origin is busy", "asked again")
        .WithFact("upstream", std::to_string(head.status));
  }
  if (request.is_head()) UpdateByHead(head, times);

  auto answer = std::make_shared<Answer>();
  answer->status = head.status;
  answer->reason = head.reason;
  answer->fields = Received(head, times.response_ms);
  answer->policy = http::PolicyOf(asked_, head.status, answer->fields, times, spec_.rules);
  answer->length = head.content_length;
  answer->has_body =
      !request.is_head() && !http::HasNoBody(head.status) && (!is_bucket_ || HasBucketBody(head));
  SharedFd file;
  if (answer->has_body) {
    TRY(file, NewFile(*answer));
    MutexLock lock(mutex_);
    segments_.push_back(Segment{0, file});
  }
  bool is_whole = false;
  if (spec_.is_completion && head.is_partial()) {
    TRY(is_whole, Complete(head, times, *answer, file->get()));
  }
  // A request with a body is about more than its URL.
  const bool is_of_the_url = request.method == http::Method::kPost || !spec_.has_content;
  bool may_keep = answer->policy.may_store && deps_.store.enabled() && !request.is_head() &&
                  is_of_the_url && answer->length.value_or(0) <= spec_.max_object_bytes;
  if (answer->status == 206) may_keep = may_keep && PartOf(*answer).has_value();
  if (request.method == http::Method::kPost) {
    // RFC 9110 §9.3.3: the answer to a POST may stand for the URL that it names as its own.
    const auto location = http::FirstValue(answer->fields, "Content-Location");
    may_keep = may_keep && head.is_success() && location &&
               KeyOfReference(spec_.key, *location) == spec_.key;
  }
  answer->is_kept = may_keep;
  // What was stored is not what the origin has now, and the new one may not be stored.
  if (spec_.held && is_common_ && !may_keep && !request.is_head() &&
      (head.is_success() || head.is_gone())) {
    deps_.store.Remove(spec_.key, spec_.held);
  }
  Publish(std::move(answer), is_whole ? spec_.held->size : 0);
  return {};
}

Result<http::BodySink::Flow> Exchange::OnData(std::string_view bytes) {
  if (refusal_) {
    refusal_body_ += bytes.substr(0, origin::kMaxRefusalBytes - refusal_body_.size());
    if (refusal_body_.size() < origin::kMaxRefusalBytes) return Flow::kMore;
    return Error(Code::kCancelled, "cancelled", "the refusal said enough");
  }
  const std::shared_ptr<const Answer> answer = this->answer();
  if (!answer || !answer->has_body) return Flow::kMore;  // of what a stored response answers for
  CHECK_OK(Rotate());
  Segment last;
  {
    MutexLock lock(mutex_);
    last = segments_.back();
  }
  CHECK_OK(io::Files::System().WriteAt(last.file->get(), bytes, written_ - last.begin));
  written_ += bytes.size();
  // Stored before anybody can have the last byte: who asks after it finds it.
  if (written_ == answer->length) KeepIfWanted(*answer);
  Flow flow = Flow::kMore;
  {
    MutexLock lock(mutex_);
    view_.watermark = written_;
    if (written_ > spec_.max_object_bytes) is_kept_ = false;
    if (IsOver()) return Error(Code::kCancelled, "nobody waits any more", "answer is not kept");
    is_paused_ = !is_kept_ && IsTooFarAhead();
    if (is_paused_) flow = Flow::kPause;
  }
  notifier_.NotifyAll();
  return flow;
}

Result<void> Exchange::Rotate() {
  {
    MutexLock lock(mutex_);
    if (is_kept_ || written_ - segments_.back().begin < kSegment) return {};
    const uint64_t slowest = Slowest();
    while (segments_.size() > 1 && segments_[1].begin <= slowest) segments_.pop_front();
  }
  TRY(SharedFd next, deps_.staging.NewFile());
  MutexLock lock(mutex_);
  segments_.push_back(Segment{written_, std::move(next)});
  return {};
}

void Exchange::OnDone(Result<void> result) {
  if (refusal_) {
    Error refused = BucketRefusal(*refusal_, refusal_body_);
    const bool is_missing = refused.code == Code::kNotFound;
    if (is_missing && spec_.held && is_common_ && !spec_.request.is_head()) {
      deps_.store.Remove(spec_.key, spec_.held);
    }
    result = std::move(refused);
  }
  const bool has_answer = Look().phase != Phase::kWaiting;
  if (course_ && course_->Ended(result, has_answer)) return;
  Finish(result);
}

void Exchange::Finish(const Result<void>& result) {
  Settle(result);
  if (spec_.on_end) spec_.on_end(*this, result);
}

void Exchange::Settle(const Result<void>& result) {
  std::shared_ptr<const Answer> answer;
  Phase phase = Phase::kWaiting;
  {
    MutexLock lock(mutex_);
    phase = view_.phase;
    answer = answer_;
  }
  if (phase == Phase::kStored) return;
  // A refusal is an answer; whether a stored one may stand in for it was asked before.
  if (phase == Phase::kWaiting && !result.ok() && !refusal_ &&
      MayUseHeldOnError(true, spec_.disconnected_ms, ToUnixMillis(deps_.clock.Now()))) {
    return FinishStored(spec_.held, false);
  }
  if (result.ok() && phase == Phase::kBody) KeepIfWanted(*answer);
  {
    MutexLock lock(mutex_);
    view_.phase = result.ok() ? Phase::kDone : Phase::kFailed;
    if (!result.ok()) error_ = std::make_shared<const Error>(result.error());
  }
  notifier_.NotifyAll();
}

// ---- what RFC 9111 wants done

bool Exchange::MayUseHeldOnError(bool is_disconnected, int64_t disconnected_ms,
                                 int64_t now_ms) const {
  if (!spec_.held || !spec_.held->is_complete()) return false;
  const auto directives = http::ParseCacheControl(spec_.request.GetAll("Cache-Control"));
  return http::MayUseOnError(spec_.held->policy, directives, is_disconnected, disconnected_ms,
                             now_ms);
}

void Exchange::Invalidate(const http::ResponseHead& head) {
  if (head.status < 200 || head.status >= 400) return;
  deps_.store.Invalidate(spec_.key);
  for (const char* name : {"Location", "Content-Location"}) {
    const auto reference = head.Get(name);
    if (!reference) continue;
    if (const auto key = KeyOfReference(spec_.key, *reference)) deps_.store.Invalidate(*key);
  }
  epoch_ = deps_.store.epoch();  // what this very answer says came after that
}

cache::StoredRef Exchange::ForStore(const cache::StoredResponse& response) const {
  auto stored = std::make_shared<cache::StoredResponse>(response);
  for (const std::string& name : stored->policy.unstored_fields) {
    http::EraseFields(stored->fields, name);
  }
  cache::SetSelecting(*stored, spec_.request);
  return cache::Seal(std::move(stored));
}

cache::StoredRef Exchange::Freshen(const http::ResponseHead& head,
                                   const http::ExchangeTimes& times) {
  const cache::StoredRef& held = spec_.held;
  // §4.3.4: a strong validator names what it updates; another one updates nothing that we have.
  const std::string_view etag = head.Get("ETag").value_or("");
  if (!etag.empty() && !etag.starts_with("W/") && !held->strong_etag().empty() &&
      etag != held->strong_etag()) {
    return held;
  }
  http::FieldList update = http::EndToEndFields(head.fields);
  if (http::HasField(update, "Via")) http::AppendVia(update, 1, kName);
  if (!http::HasField(update, "Date")) {
    update.emplace_back("Date", http::FormatDate(FromUnixMillis(times.response_ms)));
  }
  auto fresh = std::make_shared<cache::StoredResponse>(*held);
  fresh->fields = http::UpdatedFields(held->fields, update);
  fresh->policy = http::PolicyOf(asked_, held->status, fresh->fields, times, spec_.rules);
  if (fresh->policy.may_store) {
    deps_.store.Replace(spec_.key, held, ForStore(*fresh), epoch_);
  } else if (is_common_) {
    deps_.store.Remove(spec_.key, held);
  }
  // Who asked may have all of it.
  return cache::Seal(std::move(fresh));
}

void Exchange::UpdateByHead(const http::ResponseHead& head, const http::ExchangeTimes& times) {
  // §4.3.5. Other statuses say nothing of what a GET would give.
  if (!head.is_whole() || !is_common_) return;
  const cache::UrlEntryRef entry = deps_.store.Find(spec_.key);
  if (!entry) return;
  for (const cache::StoredRef& stored : cache::HttpStore::Select(*entry, spec_.request)) {
    if (!stored->is_complete() || stored->status != head.status) continue;
    const auto agrees = [&](const char* name) {
      const auto told = head.Get(name);
      return !told || told == http::FirstValue(stored->fields, name);
    };
    auto updated = std::make_shared<cache::StoredResponse>(*stored);
    const bool is_same = agrees("ETag") && agrees("Last-Modified") &&
                         head.content_length.value_or(stored->size) == stored->size;
    if (is_same) {
      updated->fields = http::UpdatedFields(stored->fields, Received(head, times.response_ms));
      http::StoreRequest as_get = asked_;
      as_get.method = http::Method::kGet;
      updated->policy = http::PolicyOf(as_get, stored->status, updated->fields, times, spec_.rules);
    } else {
      updated->policy.lifetime_ms = 0;
      updated->policy.must_validate = true;
    }
    if (is_same && !updated->policy.may_store) {
      deps_.store.Remove(spec_.key, stored);
    } else {
      deps_.store.Replace(spec_.key, stored, ForStore(*updated), epoch_);
    }
    return;
  }
}

Result<bool> Exchange::Complete(const http::ResponseHead& head, const http::ExchangeTimes& times,
                                Answer& answer, int fd) {
  const cache::StoredResponse& held = *spec_.held;
  const auto range = head.content_range();
  const bool fits = range && range->range && range->range->first == held.size && range->total &&
                    *range->total == held.part->complete &&
                    range->range->last + 1 == *range->total &&
                    head.Get("ETag") == std::optional<std::string_view>(held.strong_etag());
  if (!fits) {
    deps_.store.Remove(spec_.key, spec_.held);
    return Error(Code::kUnavailable, "the origin's answer is malformed",
                 "the part asked for does not continue the stored one");
  }
  answer.status = 200;
  answer.reason.clear();
  answer.fields = http::UpdatedFields(held.fields, answer.fields);
  http::EraseFields(answer.fields, "Content-Range");
  answer.length = held.part->complete;
  // What the rest leaves unsaid, the part has said.
  answer.policy = http::PolicyOf(asked_, answer.status, answer.fields, times, spec_.rules);
  CHECK_OK(io::Files::System().WriteAt(fd, *held.memory, 0));
  written_ = held.size;
  return true;
}

std::optional<cache::StoredPart> Exchange::PartOf(const Answer& answer) const {
  const auto value = http::FirstValue(answer.fields, "Content-Range");
  if (!value) return std::nullopt;
  const auto range = http::ParseContentRange(*value);
  if (!range || !range->range || !range->total) return std::nullopt;
  // Parts are kept in memory only, and only when their length is what they say.
  if (!answer.length || *answer.length != range->range->length() ||
      *answer.length > deps_.store.max_object_in_memory()) {
    return std::nullopt;
  }
  return cache::StoredPart{range->range->first, *range->total};
}

std::shared_ptr<cache::StoredResponse> Exchange::NewStored(const Answer& answer) const {
  auto stored = std::make_shared<cache::StoredResponse>();
  stored->status = answer.status;
  stored->reason = answer.reason;
  stored->fields = answer.fields;
  stored->policy = answer.policy;
  stored->place = spec_.place;
  stored->origin = spec_.origin;
  stored->source_path = spec_.source_path;
  stored->tags = spec_.tags;
  const std::string own_tags = http::JoinedValues(answer.fields, "Cache-Tag");
  for (std::string_view rest = own_tags; !rest.empty();) {
    const std::string_view tag = http::NextElement(rest);
    if (!tag.empty()) stored->tags.emplace_back(tag);
  }
  return stored;
}

void Exchange::KeepIfWanted(const Answer& answer) {
  if (is_stored_) return;
  {
    MutexLock lock(mutex_);
    if (!is_kept_) return;
  }
  is_stored_ = true;
  Keep(answer, written_);
}

bool Exchange::Keep(const Answer& answer, uint64_t size) {
  std::shared_ptr<cache::StoredResponse> stored = NewStored(answer);
  if (answer.status == 206) stored->part = PartOf(answer);
  stored->size = size;
  cache::MakeWhole(*stored);
  SharedFd file;
  {
    MutexLock lock(mutex_);
    if (!segments_.empty()) file = segments_.front().file;
  }
  if (size > 0 && size <= deps_.store.max_object_in_memory()) {
    Result<std::string> body = io::ReadAt(file->get(), 0, size);
    if (!body.ok()) {
      LogWarn("passthrough_not_stored",
              {{"key", spec_.key}, {"error", body.error().ToLogString()}});
      return false;
    }
    stored->memory = std::make_shared<const std::string>(std::move(*body));
  } else if (size > 0) {
    stored->file = file;
  }
  return deps_.store.Put(spec_.key, ForStore(*stored), spec_.request, epoch_);
}

Result<SharedFd> Exchange::NewFile(const Answer& answer) const {
  if (answer.length && *answer.length <= deps_.store.max_object_in_memory()) {
    TRY(UniqueFd memory, io::MemoryFile("passthrough"));
    return std::make_shared<const UniqueFd>(std::move(memory));
  }
  return deps_.staging.NewFile();
}

void Exchange::Publish(std::shared_ptr<const Answer> answer, uint64_t watermark) {
  {
    MutexLock lock(mutex_);
    is_kept_ = answer->is_kept;
    answer_ = std::move(answer);
    view_.phase = Phase::kBody;
    view_.watermark = watermark;
  }
  notifier_.NotifyAll();
}

void Exchange::FinishStored(cache::StoredRef stored, bool is_validated) {
  {
    MutexLock lock(mutex_);
    stored_ = std::move(stored);
    is_validated_ = is_validated;
    view_.phase = Phase::kStored;
  }
  notifier_.NotifyAll();
}

// ---- those who wait

Exchange::View Exchange::Look() const {
  MutexLock lock(mutex_);
  return view_;
}
std::shared_ptr<const Exchange::Answer> Exchange::answer() const {
  MutexLock lock(mutex_);
  return answer_;
}
cache::StoredRef Exchange::stored() const {
  MutexLock lock(mutex_);
  return stored_;
}
bool Exchange::is_validated() const {
  MutexLock lock(mutex_);
  return is_validated_;
}
std::shared_ptr<const Error> Exchange::error() const {
  MutexLock lock(mutex_);
  return error_;
}
bool Exchange::was_sent() const {
  MutexLock lock(mutex_);
  return was_sent_;
}
bool Exchange::had_interims() const {
  MutexLock lock(mutex_);
  return had_interims_;
}
std::vector<Exchange::Interim> Exchange::TakeInterims() {
  MutexLock lock(mutex_);
  return std::exchange(interims_, {});
}

int Exchange::AddReader() {
  MutexLock lock(mutex_);
  readers_.emplace(next_reader_, 0);
  return next_reader_++;
}

std::optional<int> Exchange::TryJoin() {
  MutexLock lock(mutex_);
  const bool is_whole = is_kept_ && (view_.phase == Phase::kBody || view_.phase == Phase::kDone);
  if (!is_whole) return std::nullopt;
  readers_.emplace(next_reader_, 0);
  return next_reader_++;
}

std::optional<http::FilePiece> Exchange::PieceAt(uint64_t offset) const {
  MutexLock lock(mutex_);
  if (view_.watermark <= offset) return std::nullopt;
  auto segment = segments_.end();
  uint64_t end = view_.watermark;
  while ((--segment)->begin > offset) end = segment->begin;
  return http::FilePiece{segment->file, offset - segment->begin, end - offset};
}

uint64_t Exchange::Slowest() const {
  if (readers_.empty()) return 0;
  uint64_t slowest = view_.watermark;
  for (const auto& [reader, offset] : readers_) slowest = std::min(slowest, offset);
  return slowest;
}

bool Exchange::IsTooFarAhead() const {
  return view_.watermark - Slowest() > kMaxAhead;
}

bool Exchange::IsOver() const {
  const bool has_had_its_readers = next_reader_ > 0 || is_abandoned_;
  return !is_kept_ && readers_.empty() && has_had_its_readers && view_.phase == Phase::kBody;
}

void Exchange::Consumed(int reader, uint64_t offset) {
  bool may_resume = false;
  {
    MutexLock lock(mutex_);
    readers_[reader] = offset;
    may_resume = is_paused_ && !IsTooFarAhead();
    if (may_resume) is_paused_ = false;
  }
  if (!may_resume) return;
  if (const auto transfer = transfer_.lock()) transfer->Resume();
}

void Exchange::RemoveReader(int reader) {
  bool may_resume = false;
  bool is_over = false;
  {
    MutexLock lock(mutex_);
    readers_.erase(reader);
    is_over = IsOver();
    may_resume = is_paused_ && !readers_.empty() && !IsTooFarAhead();
    if (may_resume) is_paused_ = false;
  }
  const auto transfer = transfer_.lock();
  if (!transfer) return;
  if (is_over) transfer->Cancel();
  if (may_resume) transfer->Resume();
}

void Exchange::Abandon() {
  bool is_over = false;
  {
    MutexLock lock(mutex_);
    is_abandoned_ = true;
    is_over = IsOver();
  }
  if (!is_over) return;
  if (const auto transfer = transfer_.lock()) transfer->Cancel();
}

// ---- one reader

ExchangeStream::~ExchangeStream() {
  exchange_->RemoveReader(reader_);
}

Task<Result<std::optional<http::Piece>>> ExchangeStream::Next(Context ctx) {
  exchange_->Consumed(reader_, sent_);
  for (;;) {
    const uint64_t ticket = exchange_->ticket();
    const Exchange::View view = exchange_->Look();
    if (view.phase == Exchange::Phase::kFailed) co_return Error(*exchange_->error());
    if (std::optional<http::FilePiece> piece = exchange_->PieceAt(sent_)) {
      sent_ += piece->length;
      co_return std::optional<http::Piece>(std::move(*piece));
    }
    if (view.phase == Exchange::Phase::kDone) co_return std::optional<http::Piece>();
    const bool changed = co_await exchange_->WaitChange(ticket, ctx.deadline);
    if (!changed) co_return Error(Code::kDeadlineExceeded, "the origin did not go on in time");
  }
}

}  // namespace vr::delivery
