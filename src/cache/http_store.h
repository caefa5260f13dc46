// HttpStore: the passthrough cache's memory: responses of origins as RFC 9111 lets a shared cache
// keep them. One entry per URL, holding its variants (Vary) and parts (206).
//
// It decides nothing about HTTP: what may be stored and used is judged by http/caching.h. What was
// asked of an origin before a purge, or before an unsafe request to the same URL, is never stored
// after it. Thread-safe; never waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "cache/options.h"
#include "cache/purge.h"
#include "cache/sieve.h"
#include "http/caching.h"
#include "http/message.h"

namespace vr::cache {

/// Bytes [first, first + size of the body) of a representation of `complete` bytes.
struct StoredPart {
  uint64_t first = 0;
  uint64_t complete = 0;
};

/// One response. Immutable once stored.
struct StoredResponse {
  int status = 0;
  std::string reason;
  http::FieldList fields;  ///< end to end, with Date and our Via; without what may not be stored
  http::CachePolicy policy;
  /// The request's values of the fields that Vary names, sorted by name; nullopt = was absent.
  std::vector<std::pair<std::string, std::optional<std::string>>> selecting;
  std::optional<StoredPart> part;  ///< of a 206
  uint64_t place = 0;              ///< which source and rules it came by: another one's is not ours
  /// The body: exactly one is set when size > 0.
  std::shared_ptr<const std::string> memory;
  SharedFd file;
  uint64_t size = 0;
  std::string origin;
  std::string source_path;  ///< decoded path, for purges
  std::vector<std::string> tags;

  // Made by Seal().
  std::string etag;
  std::optional<WallTime> last_modified;
  std::string content_type;
  std::string cache_status;                              ///< of the caches behind us
  std::shared_ptr<const std::string> head;               ///< lines of 200, 206 and the like
  std::shared_ptr<const std::string> head_not_modified;  ///< lines of a 304

  bool is_complete() const { return !part; }
  /// The entity-tag when it is strong: what parts may be combined by (RFC 9111 §3.4).
  std::string_view strong_etag() const;
  bool Matches(const http::Request& request) const;
};
using StoredRef = std::shared_ptr<const StoredResponse>;

/// A part that is the whole becomes one: 200, no range.
void MakeWhole(StoredResponse& response);
/// The request's values of what Vary names now.
void SetSelecting(StoredResponse& response, const http::Request& request);
/// Fills in what follows from the fields. After that the response can be stored and served.
StoredRef Seal(std::shared_ptr<StoredResponse> response);
/// "Name: value" lines of everything but those that are written per answer (Age, Cache-Status,
/// Content-Type, our own X-Cache-*).
std::string RenderFields(const http::FieldList& fields);

/// Everything stored of one URL, newest first. Immutable.
struct UrlEntry {
  std::string key;
  std::vector<StoredRef> responses;
};
using UrlEntryRef = std::shared_ptr<const UrlEntry>;
uint64_t ChargeOf(const UrlEntry& entry);
uint32_t FilesOf(const UrlEntry& entry);

class HttpStore final : public PurgeTarget {
 public:
  explicit HttpStore(EdgeOptions options) : urls_(options) {}

  /// null when nothing of that URL is stored.
  UrlEntryRef Find(std::string_view key) { return urls_.Find(key); }
  /// Those that `request` selects (RFC 9111 §4.1), the most recent by Date first.
  static std::vector<StoredRef> Select(const UrlEntry& entry, const http::Request& request);

  /// What a response must be stored with: taken before its request is sent.
  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  /// Stores, in the place of what `request` selected so far. Parts of one representation are joined
  /// as far as they touch; a whole takes the place of its parts.
  /// @return false when it is not kept: a purge or an invalidation came since `epoch`, or too large
  bool Put(const std::string& key, StoredRef response, const http::Request& request,
           uint64_t epoch);
  /// Puts `updated` in the place of `old`, if that is still there and nothing came since `epoch`.
  bool Replace(const std::string& key, const StoredRef& old, StoredRef updated, uint64_t epoch);
  void Remove(const std::string& key, const StoredRef& old);
  /// RFC 9111 §4.4: nothing of this URL is used any more, nor stored of what is under way.
  void Invalidate(const std::string& key);

  /// @return entries (URLs) hit
  uint64_t Purge(const PurgeScope& scope, PurgeMode mode, int64_t now_ms) override;

  bool enabled() const { return urls_.enabled(); }
  /// Parts are kept in memory only.
  uint64_t max_part_bytes() const { return urls_.options().max_object_in_memory; }
  /// Larger bodies are kept as files: one in memory takes a quarter of a shard at most, so that it
  /// is held at all and does not drive out all of its neighbours.
  uint64_t max_object_in_memory() const {
    return std::min(urls_.options().max_object_in_memory, urls_.max_item_bytes() / 4);
  }
  uint64_t bytes() const { return urls_.bytes(); }
  uint64_t entries() const { return urls_.entries(); }
  uint64_t evictions() const { return urls_.evictions(); }

 private:
  /// A purge, for those whose exchange began before it.
  struct Event {
    uint64_t epoch = 0;  ///< the first epoch after it
    PurgeScope scope;
  };
  void Note(PurgeScope scope) REQUIRES(mutex_);
  /// Puts it in, without the oldest responses if it is too large with them.
  bool Insert(std::shared_ptr<UrlEntry> entry);
  bool IsOutdated(const std::string& key, const StoredResponse& response, uint64_t epoch) const
      REQUIRES(mutex_);

  std::atomic<uint64_t> epoch_{1};
  Mutex mutex_;  ///< of changes; look-ups go by the map's own locks
  std::deque<Event> events_ GUARDED_BY(mutex_);
  /// The same for single keys: the first epoch after their last invalidation.
  std::unordered_map<std::string, uint64_t> invalidated_ GUARDED_BY(mutex_);
  uint64_t forgotten_ GUARDED_BY(mutex_) = 0;  ///< events before this epoch are not known any more
  Sieve<UrlEntry> urls_;
};

}  // namespace vr::cache
