// Snapshot: one generation of the configuration that requests depend on. A request takes one at its
// start and keeps it; a reload publishes another. Immutable.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cache/options.h"
#include "delivery/options.h"
#include "http/caching.h"
#include "origin/allowed_sources.h"
#include "origin/breaker.h"
#include "origin/options.h"
#include "origin/origin_table.h"
#include "origin/source.h"
#include "transform/options.h"
#include "variant/options.h"

namespace vr::delivery {

/// What an origin says about its variants, defaults filled in.
struct OriginPolicy {
  cache::TtlOptions ttl;
  std::vector<std::string> cache_tags;
  std::string cache_control;  ///< of good answers, verbatim; empty: what is left of their TTL
  variant::Quality quality;
  variant::Level compression = variant::Level::kAuto;
  http::SharedCacheRules rules;  ///< of a passthrough origin
};

struct AccessPolicy;

/// How requests are passed through.
struct PassthroughPolicy {
  origin::FetchOptions fetch;
  uint64_t max_object_bytes = 1ull << 30;  ///< larger bodies are not kept
};

/// A number that no other call in this process gives.
inline uint64_t NextGeneration() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

struct Snapshot {
  Snapshot() = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  const uint64_t generation = NextGeneration();
  variant::Options variant;
  Options delivery;
  transform::Options transform;
  cache::TtlOptions ttl;
  cache::FreshnessOptions freshness;
  std::vector<OriginPolicy> policies;  ///< by origin index
  std::shared_ptr<const origin::OriginTable> origins;
  std::shared_ptr<origin::Opener> opener;
  /// Of the sources, by origin index and place in its `sources`; null: asked however often it
  /// failed.
  std::vector<std::vector<std::shared_ptr<origin::Breaker>>> breakers;
  bool kv_enabled = true;
  PassthroughPolicy passthrough;
  bool has_passthrough = false;  ///< an origin has that mode
  /// `variant`, with the limits of media URLs.
  variant::Options media_variant;
  /// Which absolute URLs media URLs may name; null: none. They belong to the origin that is the
  /// last of `policies`, whose matcher matches nothing.
  std::shared_ptr<const origin::AllowedSources> allowed_sources;
  std::shared_ptr<const AccessPolicy> access;  ///< null: everybody may ask everything
};
using SnapshotRef = std::shared_ptr<const Snapshot>;

/// Where the current snapshot is found. Thread-safe.
class SnapshotHolder {
 public:
  explicit SnapshotHolder(SnapshotRef first)
      : has_access_policy_(first && first->access), current_(std::move(first)) {}
  SnapshotRef Get() const {
    MutexLock lock(mutex_);
    return current_;
  }
  void Set(SnapshotRef next) {
    MutexLock lock(mutex_);
    has_access_policy_ = next->access != nullptr;
    current_.swap(next);
  }

  /// Whether the current one has rules of access: asked by every request, so without a lock.
  bool has_access_policy() const { return has_access_policy_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> has_access_policy_;
  mutable Mutex mutex_;
  SnapshotRef current_ GUARDED_BY(mutex_);
};

}  // namespace vr::delivery
