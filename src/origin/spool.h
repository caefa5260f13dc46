// Spool: an HTTP source as a sparse local file plus the knowledge which parts of it are there.
//
// Ensure() fetches what is missing in ranges of whole blocks: parties that want the same bytes
// share one request, neighbours are asked for together, and a sequential reader is read ahead of
// (several readers are told apart). A server that ignores ranges is read once from front to back,
// no further ahead of its readers than a window. Every answer must be of the version the spool was
// opened with: a source that changes fails the spool, bytes never mix.
//
// SpoolCache shares spools: opens of one URL at the same time are one request, a source that is
// open or was lately is revalidated by a conditional request and used again. The bytes of all
// spools together are bounded. Files are unlinked at birth: nothing is left behind. Both classes
// are thread-safe. Lock order: SpoolCache, Spool,
// Breaker.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"
#include "http/client.h"
#include "io/notifier.h"
#include "observe/metrics.h"
#include "origin/breaker.h"
#include "origin/options.h"
#include "origin/source.h"

namespace vr::origin {

/// How much of a refusal's body is read for HttpTarget::explain.
inline constexpr size_t kMaxRefusalBytes = 16 << 10;

/// What is counted about one origin.
struct OriginCounters {
  OriginCounters(Metrics& metrics, const std::string& origin);
  Counter ok, not_found, redirect, error,
      timeout;     ///< video_resizer_origin_requests_total{origin,result}
  Counter bytes;   ///< video_resizer_origin_bytes_total{origin}
  Counter broken;  ///< video_resizer_origin_broken_bodies_total{origin}
  /// Counts a request that failed with `error`.
  void CountFailure(const Error& failure);
};

/// An HTTP source as it is asked for: everything that decides the answer. Immutable.
struct HttpTarget {
  std::string url;              ///< may hold a secret in its query: never logged
  http::FieldList credentials;  ///< Authorization and configured fields, for the url's host only
  std::string origin_name;
  std::string type = "http";  ///< SourceInfo::type
  /// Set: proves each request; redirects are failures then.
  std::shared_ptr<const http::RequestSigner> signer;
  /// Set: the origin says in its bodies why it refused. Makes the error of a refused open.
  std::function<Error(const http::ResponseHead& head, std::string_view body)> explain;
  bool passes_redirects = false;  ///< a redirect is the answer (Error kRedirectReason)
  /// The url comes from the client: see http::ClientRequest::refuse_private_addresses.
  bool refuse_private_addresses = false;
  std::shared_ptr<const AllowedSources> allowed;  ///< set: redirects lead there or nowhere
  bool refuse_documents = true;  ///< HTML and JSON are not sources (SOURCE_UNSUPPORTED)
  FetchOptions fetch;
  std::string via;  ///< of the request that it is opened for; no part of the key
  std::shared_ptr<OriginCounters> counters;
  std::shared_ptr<Breaker> breaker;  ///< null: asked however often it failed
  std::string key;                   ///< same key, same source; see MakeKey()

  /// url and a digest of the credentials.
  /// Whether an answer's body is something else than the source's bytes (RFC 9110 §8.4).
  bool IsCoded(const http::ResponseHead& head) const;
  std::string MakeKey() const;
  http::ClientRequest Request() const;
  BreakerOptions breaker_options() const {
    return {fetch.breaker_failures, fetch.breaker_cooldown};
  }
};
using HttpTargetRef = std::shared_ptr<const HttpTarget>;

/// A part that is being fetched.
struct Fetch {
  uint64_t begin = 0;
  uint64_t end = 0;         ///< as asked; UINT64_MAX when the whole source is being sent
  uint64_t limit = 0;       ///< as promised by the answer's head
  uint64_t at = 0;          ///< next byte to arrive
  bool to_the_end = false;  ///< one answer from front to back
  bool is_paused = false;
  bool is_retryable = true;
  std::optional<Error> error;
  std::shared_ptr<http::Transfer> transfer;
};
using FetchRef = std::shared_ptr<Fetch>;

/// A fact of an error of SpoolCache::Open: the milliseconds that the origin wants to be left alone
/// before it is asked again, "0" when it said nothing.
inline constexpr std::string_view kRetryFact = "retry";

/// The longest Retry-After that is waited for.
inline constexpr std::chrono::seconds kLongestRetryAfter{2};

/// How long to wait after so many failures (1, 2, ...): doubles, ±50 % by chance.
std::chrono::milliseconds BackoffOf(const FetchOptions& fetch, int failures);

/// What a failed transfer without a head says about the source.
Outcome OutcomeOf(const Error& failure);

class SpoolCache;

class Spool : public std::enable_shared_from_this<Spool> {
 public:
  static Result<std::shared_ptr<Spool>> Create(std::weak_ptr<SpoolCache> cache,
                                               http::Client& client,
                                               const std::filesystem::path& dir,
                                               HttpTargetRef target, SourceInfo info);
  ~Spool();

  static io::Task<Result<uint64_t>> Ensure(std::shared_ptr<Spool> self, Context ctx,
                                           uint64_t offset, uint64_t length);

  const HttpTargetRef& target() const { return target_; }
  const SharedFd& file() const { return read_; }
  /// As of now: the size is filled in once the end was seen.
  SourceInfo info() const;
  bool is_complete() const;
  bool has_failed() const;
  /// Worth keeping without a user: versions can be told apart, and what is there can be added to.
  bool is_keepable() const;
  /// Ends what is under way; for when nobody uses it any more.
  void Abandon();
  /// Bytes charged to the cache's budget; afterwards none are.
  uint64_t TakeCharge() { return charged_.exchange(0); }
  void AddCharge(uint64_t bytes) { charged_ += bytes; }

  // For the sinks, on the client's thread.
  FetchRef BeginFirst(uint64_t end, bool to_the_end);
  Result<void> CheckHead(Fetch& fetch, const http::ResponseHead& head);
  Result<http::BodySink::Flow> Write(Fetch& fetch, std::string_view bytes);
  void Done(const FetchRef& fetch, Result<void> result);

 private:
  struct Look;
  struct Cursor {
    uint64_t begin = 0, next = 0;  ///< one reader's run so far
    uint64_t used = 0;             ///< for choosing whom to forget
    int steps = 0;
  };
  Spool(std::weak_ptr<SpoolCache> cache, http::Client& client, HttpTargetRef target,
        SourceInfo info, UniqueFd write, SharedFd read);

  Look LookFor(uint64_t offset, uint64_t length, bool is_first,
               const std::vector<FetchRef>& waited);
  uint64_t ReadAhead(uint64_t offset, uint64_t end) REQUIRES(mutex_);
  uint64_t AvailableAt(uint64_t offset) const REQUIRES(mutex_);
  uint64_t CoveredTo(uint64_t offset) const REQUIRES(mutex_);
  bool IsComplete() const REQUIRES(mutex_);
  void AddExtent(uint64_t begin, uint64_t end) REQUIRES(mutex_);
  void PlanFetches(uint64_t begin, uint64_t end, Look& look) REQUIRES(mutex_);
  Error Changed(std::string_view how);

  const std::weak_ptr<SpoolCache> cache_;
  http::Client& client_;
  const HttpTargetRef target_;
  const SourceInfo opened_;
  const UniqueFd write_;
  const SharedFd read_;
  std::atomic<uint64_t> charged_{0};
  io::Notifier changed_;

  mutable Mutex mutex_;
  std::map<uint64_t, uint64_t> extents_
      GUARDED_BY(mutex_);  ///< begin → end, disjoint, not touching
  std::vector<FetchRef> fetches_ GUARDED_BY(mutex_);
  std::optional<uint64_t> size_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  std::array<Cursor, 4> cursors_ GUARDED_BY(mutex_);
  uint64_t clock_ GUARDED_BY(mutex_) = 0;
  uint64_t wanted_ GUARDED_BY(mutex_) = 0;  ///< furthest byte anybody asked for
};

class SpoolCache : public std::enable_shared_from_this<SpoolCache> {
 public:
  /// Makes the spool directory, and removes what a crash between creating and unlinking may have
  /// left in it.
  /// @param clock outlives the cache
  /// @errors kPermissionDenied, kUnavailable: the directory cannot be used
  static Result<std::shared_ptr<SpoolCache>> Create(const FetchOptions& options,
                                                    http::Client& client, Metrics& metrics,
                                                    const Clock& clock = SystemClock::Get());
  ~SpoolCache();

  /// The breaker of a source: the same one for as long as anybody holds it, so a reload that keeps
  /// the source keeps what is known of it.
  /// @param base the source's URL or the like @param path its template
  /// @param name what metrics and log call it
  std::shared_ptr<Breaker> BreakerOf(const std::string& origin, const std::string& base,
                                     const std::string& path, std::string name);

  /// @errors kNotFound, kUnavailable, kDeadlineExceeded, kPermissionDenied (redirect refused),
  /// kUnsupported
  ///         (SOURCE_UNSUPPORTED), kResourceExhausted (SOURCE_TOO_LARGE, OVERLOADED); fact
  ///         "upstream" says in a word or a status number what the origin did; fact kRetryFact is
  ///         there when another try makes sense
  static io::Task<Result<SourceRef>> Open(std::shared_ptr<SpoolCache> self, Context ctx,
                                          HttpTargetRef target);

  /// Bytes of all spools.
  uint64_t bytes() const { return bytes_; }

  // For Spool and what hands it out.
  Result<void> Charge(Spool& spool, uint64_t bytes);
  void Refund(uint64_t bytes);
  void Release(std::shared_ptr<Spool> spool);

 private:
  friend class OpenSink;
  struct Opening;
  struct Idle {
    std::shared_ptr<Spool> spool;
    SteadyTime since;
  };
  SpoolCache(const FetchOptions& options, http::Client& client, Metrics& metrics,
             const Clock& clock);
  /// A user more for `spool`.
  SourceRef Acquire(std::shared_ptr<Spool> spool) REQUIRES(mutex_);
  Result<std::shared_ptr<Spool>> Make(HttpTargetRef target, SourceInfo info);
  void Finish(const std::shared_ptr<Opening>& opening, Result<SourceRef> result);
  void Reap();

  const FetchOptions options_;
  http::Client& client_;
  Metrics& metrics_;
  const Clock& clock_;
  Gauge gauge_;
  std::atomic<uint64_t> bytes_{0};  ///< given back without the lock: a spool may die under it

  mutable Mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Opening>> opening_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::weak_ptr<Spool>> known_
      GUARDED_BY(mutex_);  ///< newest version by key
  std::unordered_map<Spool*, int> users_ GUARDED_BY(mutex_);
  std::list<Idle> idle_ GUARDED_BY(mutex_);                       ///< oldest first
  std::vector<std::shared_ptr<Spool>> trash_ GUARDED_BY(mutex_);  ///< the reaper closes them
  std::map<std::string, std::weak_ptr<Breaker>> breakers_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::condition_variable_any wake_;
  std::thread reaper_;  ///< closing a large unlinked file takes milliseconds: no loop does it
};

}  // namespace vr::origin
