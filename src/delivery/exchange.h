// Exchange: one request that the passthrough cache forwards to an origin, and its answer while it
// arrives.
//
// The body goes to a file as it comes; whoever reads it follows behind a watermark at its own pace
// (cache/production.h does the same for variants). One that is not kept goes to a row of files,
// each of which goes when its last reader is behind it: what was handed to a socket is never
// written to again, not even as a hole. What RFC 9111 wants done with an answer is done here,
// before anybody is told of it: a 304 freshens what was stored, a HEAD updates it, an unsafe
// request invalidates it, a complete body is stored. An answer that is not kept is not hoarded
// either: the transfer pauses when its slowest reader is too far behind, and ends when the last one
// has left. Thread-safe; the sink's calls come from the client's thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/http_store.h"
#include "cache/staging.h"
#include "http/client.h"
#include "http/message.h"
#include "io/notifier.h"

namespace vr::delivery {

/// What keys of passed-through URLs begin with; the URL follows.
inline constexpr std::string_view kPassthroughKeyPrefix = "passthrough:";

/// Request fields that make an answer depend on what the client has already.
inline constexpr std::string_view kConditionFields[] = {
    "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"};

/// What all exchanges share; outlives them.
struct ExchangeDeps {
  cache::HttpStore& store;
  cache::Staging& staging;
  const Clock& clock;
};

class Exchange;

/// Takes an exchange's request to an origin, and on to the next one when need be. The calls come
/// from the client's thread, those of one try after the other.
class Course {
 public:
  virtual ~Course() = default;
  /// The head of a final answer is there.
  virtual void Answered(const http::ResponseHead& head) = 0;
  /// Whether that answer is for nobody, since another try follows: Ended() will hear of it as of a
  /// failure.
  virtual bool Dismisses(const http::ResponseHead& head) = 0;
  /// A try is over. @param result how; may be changed to what those who wait are told
  /// @param has_answer they have an answer already, wherever from
  /// @return another try follows, and they go on waiting
  virtual bool Ended(Result<void>& result, bool has_answer) = 0;
};

/// What an exchange is for.
struct ExchangeSpec {
  std::string key;        ///< of the URL's entry
  http::Request request;  ///< the client's, head only
  http::SharedCacheRules rules;
  uint64_t max_object_bytes = 0;  ///< larger bodies pass through and are not kept
  int64_t disconnected_ms = 0;    ///< how stale at most when the origin is out of reach
  std::string origin;
  std::string source_path;
  std::vector<std::string> tags;
  /// The stored response that the request's conditions ask about, or that may stand in when the
  /// origin fails; null: none.
  cache::StoredRef held;
  bool is_validation = false;  ///< the request carries the validators of `held`
  bool is_completion = false;  ///< it asks for what is missing of `held`, a part from byte 0 on
  bool has_content = false;    ///< the request has a body
  uint64_t place = 0;          ///< see cache::StoredResponse
  /// Told once, when nothing more comes.
  std::function<void(const Exchange&, const Result<void>&)> on_end;
};

class Exchange final : public http::BodySink, public std::enable_shared_from_this<Exchange> {
 public:
  enum class Phase {
    kWaiting,  ///< nothing has come yet
    kBody,     ///< answer() is set; bytes below the watermark can be read
    kStored,   ///< stored() answers instead: validated, or stale since the origin failed
    kDone,     ///< as kBody, and the body is complete
    kFailed,   ///< error() says why; after kBody: the body broke off
  };
  struct View {
    Phase phase = Phase::kWaiting;
    uint64_t watermark = 0;
  };
  /// The head of the origin's answer, as it is passed on. Immutable.
  struct Answer {
    int status = 0;
    std::string reason;
    http::FieldList fields;          ///< end to end, with Date and our Via
    std::optional<uint64_t> length;  ///< of the body
    bool has_body = false;
    http::CachePolicy policy;
    bool is_kept = false;  ///< will be stored when it is complete, as far as the head says
  };
  /// An interim answer that waits to be passed on.
  struct Interim {
    int status = 0;
    std::string lines;
  };

  Exchange(ExchangeDeps deps, ExchangeSpec spec);

  /// Once, before the first try. Without a course there is one try, and its end is the exchange's.
  void Follow(std::shared_ptr<Course> course) { course_ = std::move(course); }
  /// Before the transfer of each try starts. @param is_bucket it goes to an S3 server
  void Bind(std::weak_ptr<http::Transfer> transfer, bool is_bucket = false);
  /// Ends it without a try, or after the last one.
  void Finish(const Result<void>& result);

  // http::BodySink
  void OnConnected() override;
  void OnInterim(const http::ResponseHead& head) override;
  Result<void> OnHead(const http::ResponseHead& head) override;
  Result<Flow> OnData(std::string_view bytes) override;
  void OnDone(Result<void> result) override;

  // For those who wait.
  View Look() const;
  uint64_t ticket() const { return notifier_.ticket(); }
  Task<bool> WaitChange(uint64_t ticket, SteadyTime deadline) {
    return notifier_.WaitChange(ticket, deadline);
  }
  std::shared_ptr<const Answer> answer() const;  ///< set from kBody on
  cache::StoredRef stored() const;               ///< set in kStored
  bool is_validated() const;                     ///< kStored because of a 304
  std::shared_ptr<const Error> error() const;    ///< set in kFailed
  /// Whether the origin may have seen the request.
  bool was_sent() const;
  /// Whether something of an answer may have been passed on already.
  bool had_interims() const;
  std::vector<Interim> TakeInterims();

  // Readers of the body.
  int AddReader();
  /// One that came later: only while everything is still there and going to be stored.
  std::optional<int> TryJoin();
  /// What can be read from `offset` on; nullopt: nothing yet, or the end (Look() says which).
  std::optional<http::FilePiece> PieceAt(uint64_t offset) const;
  void Consumed(int reader, uint64_t offset);
  void RemoveReader(int reader);
  /// Nobody is going to read: ends the transfer unless it is kept or somebody does.
  void Abandon();

  const ExchangeSpec& spec() const { return spec_; }

 private:
  Result<void> TakeHead(const http::ResponseHead& head);
  /// A refusal of an S3 server, whose body is awaited; or who answers in its stead.
  Result<void> TakeRefusal(const http::ResponseHead& head);
  void Settle(const Result<void>& result);
  /// One body's file that may stay small, and so in memory.
  Result<SharedFd> NewFile(const Answer& answer) const;
  struct Segment {
    uint64_t begin = 0;
    SharedFd file;
  };
  /// A 304 to our own validators. @return what answers now
  /// As others may have it: without the fields that may not be stored, selected as its Vary says.
  cache::StoredRef ForStore(const cache::StoredResponse& response) const;
  cache::StoredRef Freshen(const http::ResponseHead& head, const http::ExchangeTimes& times);
  void UpdateByHead(const http::ResponseHead& head, const http::ExchangeTimes& times);
  /// Whether the stored response may answer although the origin failed. See http::MayUseOnError.
  bool MayUseHeldOnError(bool is_disconnected, int64_t disconnected_ms, int64_t now_ms) const;
  void Invalidate(const http::ResponseHead& head);
  /// Whether the answer is the rest of `held`; then it becomes the whole.
  Result<bool> Complete(const http::ResponseHead& head, const http::ExchangeTimes& times,
                        Answer& answer, int fd);
  std::shared_ptr<cache::StoredResponse> NewStored(const Answer& answer) const;
  /// Where a 206 belongs; nullopt: nowhere that could be kept.
  std::optional<cache::StoredPart> PartOf(const Answer& answer) const;
  /// Once, when the body is complete.
  void KeepIfWanted(const Answer& answer);
  bool Keep(const Answer& answer, uint64_t size);
  void Publish(std::shared_ptr<const Answer> answer, uint64_t watermark);
  void FinishStored(cache::StoredRef stored, bool is_validated);
  bool IsTooFarAhead() const REQUIRES(mutex_);
  /// The first byte that somebody still needs.
  uint64_t Slowest() const REQUIRES(mutex_);
  bool IsOver() const REQUIRES(mutex_);
  /// Goes on to the next file when the answer is not kept and this one is full; drops those that
  /// nobody needs.
  Result<void> Rotate();

  const ExchangeDeps deps_;
  const ExchangeSpec spec_;
  const http::StoreRequest asked_;
  const bool is_common_;
  std::shared_ptr<Course> course_;
  std::weak_ptr<http::Transfer> transfer_;  ///< unchanged once there is an answer

  // The client's thread only, or between two tries.
  int64_t request_ms_ = 0;
  uint64_t epoch_ = 0;
  bool is_bucket_ = false;
  std::optional<http::ResponseHead> refusal_;
  std::string refusal_body_;
  uint64_t written_ = 0;
  bool is_stored_ = false;

  mutable Mutex mutex_;
  View view_ GUARDED_BY(mutex_);
  std::shared_ptr<const Answer> answer_ GUARDED_BY(mutex_);
  cache::StoredRef stored_ GUARDED_BY(mutex_);
  bool is_validated_ GUARDED_BY(mutex_) = false;
  bool was_sent_ GUARDED_BY(mutex_) = false;
  bool had_interims_ GUARDED_BY(mutex_) = false;
  bool is_paused_ GUARDED_BY(mutex_) = false;
  bool is_kept_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<const Error> error_ GUARDED_BY(mutex_);
  std::vector<Interim> interims_ GUARDED_BY(mutex_);
  std::map<int, uint64_t> readers_ GUARDED_BY(mutex_);  ///< reader → first byte it still needs
  int next_reader_ GUARDED_BY(mutex_) = 0;
  std::deque<Segment> segments_ GUARDED_BY(mutex_);
  bool is_abandoned_ GUARDED_BY(mutex_) = false;
  io::Notifier notifier_;
};

/// One client's view of an arriving body. Bound to the connection's loop.
class ExchangeStream final : public http::BodyStream {
 public:
  ExchangeStream(std::shared_ptr<Exchange> exchange, int reader)
      : exchange_(std::move(exchange)), reader_(reader) {}
  ~ExchangeStream() override;
  Task<Result<std::optional<http::Piece>>> Next(Context ctx) override;

 private:
  const std::shared_ptr<Exchange> exchange_;
  const int reader_;
  uint64_t sent_ = 0;
};

}  // namespace vr::delivery
