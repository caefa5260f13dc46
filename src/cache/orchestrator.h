// Orchestrator: edge, then KV, then a production; each variant is made once, however many ask.
//
// The edge is asked by a plain function (LookupEdge); only what misses there becomes a coroutine. A
// failing cache layer never fails a request that the producer can answer, and never makes it run
// twice. Thread-safe.
//
// Order that matters: a finished entity enters the edge before its production leaves the map of
// flights, and the production stays there until the KV has committed. So there is no gap in which a
// second one starts.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/mutex.h"
#include "cache/edge.h"
#include "cache/entity.h"
#include "cache/inspect.h"
#include "cache/job_registry.h"
#include "cache/keeper.h"
#include "cache/prewarmer.h"
#include "cache/production.h"
#include "cache/purge.h"
#include "cache/purge_journal.h"
#include "cache/staging.h"
#include "io/blocking.h"
#include "io/task_group.h"
#include "kv/kv_store.h"
#include "observe/metrics.h"

namespace vr::cache {

/// Makes the body of one variant that nobody has stored yet. Called at most once per object.
class Producer {
 public:
  virtual ~Producer() = default;
  /// Writes the stored form to `stored` (an empty read-write file) and returns what is known of it;
  /// the orchestrator measures, hashes and stores it. May announce a growing form through
  /// `production`. Its error is what every waiter gets.
  virtual Task<Result<Metadata>> Produce(Context ctx, ProductionRef production,
                                         SharedFd stored) = 0;
  /// Whether the source still is the version that `known` was made of (ETag, Last-Modified, size).
  /// @errors kNotFound (the source is gone), else why the origin could not be asked
  virtual Task<Result<bool>> IsUnchanged(Context ctx, Metadata known) = 0;
};

enum class Layer { kEdge, kKv, kJoined, kTransform, kBypass };
std::string_view ToString(Layer layer);

/// Which bodies that are still growing are of use to a caller.
enum class Growing {
  kAny,
  kStoredForm,  ///< only what will be stored as it is sent, length and validator known: a range
  kNone,        ///< several ranges
};

/// When a caller would rather be told of a production than wait for it.
struct Patience {
  /// This long and no longer, whatever there is to read meanwhile; nullopt: by the threshold only.
  std::optional<std::chrono::milliseconds> most;
  /// A production that is said to take longer than this, or has taken so long without a byte to
  /// read, is not waited for; 0 = every one is.
  std::chrono::milliseconds threshold{0};
};

enum class CancelOutcome { kCancelled, kEnded, kUnknown };

/// One question to the cache. The flags come from the bypass rules (cache contract §6).
struct Query {
  std::string key;
  Hash128 digest;      ///< plan digest; a stored entity with another one is a miss and is replaced
  std::string source;  ///< canonical source path
  std::string origin;  ///< name of the origin
  std::string target;  ///< path and query, as the job of its production shows them
  std::vector<std::string> tags;
  TtlOptions ttl;  ///< of the origin
  FreshnessOptions freshness;
  bool read_edge = true, write_edge = true;
  bool read_kv = true, write_kv = true;
  bool join = true;             ///< false: a production of its own (debug, nocache)
  uint64_t expected_bytes = 0;  ///< of the body, for the store's choice of place; 0 = unknown
  Growing growing = Growing::kAny;
  Patience patience;
  /// Asked once when no layer has anything and this caller leads the production. Its error is the
  /// answer then; who has joined meanwhile tries for itself. Null: always admitted.
  std::function<Result<void>()> admit;
  int refused_leaders = 0;  ///< of ours: whose productions we joined that were not admitted
};

/// Either `entity` (whole), `live` (in phase kStreaming or later) or `job` (not to be waited for;
/// it goes on, whoever leaves) is set.
struct Answer {
  EntityRef entity;
  ProductionRef live;
  Layer layer = Layer::kTransform;
  Freshness freshness = Freshness::kFresh;
  /// With `live`: to be held for as long as it is read.
  std::shared_ptr<const Waiter> waiter;
  JobRef job;
};

/// How a failure is remembered (negative caching): an answer with its own status and body.
struct FailureForm {
  int status = 0;
  std::string content_type;
  std::string body;
  std::string location;  ///< of a redirect
  std::string reason;    ///< API error code
};

/// What each layer holds, for `debug=view`.
struct Explanation {
  struct Held {
    bool asked = false, present = false, fresh = false, same_plan = false;
    int64_t created_at_ms = 0, expires_at_ms = 0;
    uint64_t bytes = 0;
  };
  Held edge, kv;
  bool in_production = false;
};

class Orchestrator {
 public:
  /// Renders the field lines that every answer of an entity carries.
  using HeadRenderer = std::function<std::string(const Entity&)>;
  /// nullopt for failures that say nothing about the source: overload, aborts, our own bugs.
  using FailureRenderer = std::function<std::optional<FailureForm>(const Error&)>;

  Orchestrator(Options options, kv::KvStore* kv, Staging& staging, io::Blocking& blocking,
               const Clock& clock, Metrics& metrics, HeadRenderer render_head,
               FailureRenderer render_failure);
  ~Orchestrator();

  /// A fresh entity of this plan in the edge, or null. The hit path: no suspension, one shard lock.
  EntityRef LookupEdge(std::string_view key, const Hash128& digest);
  EntityRef LookupEdge(std::string_view key, const Hash128& digest, int64_t now_ms);
  /// A fresh entity of this plan that was read from the KV a moment ago and has not changed there
  /// since, or null. Nodes without an edge would read hot entries over and over; with one they are
  /// in the edge. Never waits: two shard locks.
  EntityRef LookupRecentRead(std::string_view key, const Hash128& digest);
  EntityRef LookupRecentRead(std::string_view key, const Hash128& digest, int64_t now_ms);

  /// The whole way. Joins a production of the same key and plan, or starts one that outlives its
  /// caller.
  /// @errors what the producer says; kDeadlineExceeded (reason TRANSFORM_TIMEOUT) when ctx.deadline
  /// came first;
  ///         kResourceExhausted (OVERLOADED) when a range was not there within cold_range_wait
  Task<Result<Answer>> Fetch(Context ctx, Query query, std::shared_ptr<Producer> producer);

  /// The same for who does not want anything made (HEAD): what a layer holds is answered as by
  /// Fetch, and promoted; with what has expired goes what Fetch would do about it.
  /// @return an Answer with neither entity nor live nor job: nobody has made it
  Task<Result<Answer>> Peek(Context ctx, Query query, std::shared_ptr<Producer> producer);

  /// Has what no layer holds made and stored, on nobody's behalf: whoever asks meanwhile joins, and
  /// makes it as urgent as their own. Ends when it is stored, or will not be.
  /// @param compare  what is held is compared with its source, and made again when that is new
  /// @errors as Fetch(); a failure that is remembered is told again
  Task<Result<Warmed>> Warm(Query query, std::shared_ptr<Producer> producer, bool compare);

  /// Whether this hit should be followed by CheckSource: its source has not been looked at for
  /// sourceCheckInterval. Says yes to one caller per interval. Never waits.
  bool IsCheckDue(const Entity& entity, const FreshnessOptions& rules) const;
  bool IsCheckDue(const Entity& entity, const FreshnessOptions& rules, int64_t now_ms) const;
  /// Compares the entity with its source, in the background: unchanged and past
  /// refresh_after_percent of its TTL: touched; changed: made again; gone: dropped. Hits go on
  /// meanwhile.
  void CheckSource(io::Executor executor, EntityRef entity, Query query,
                   std::shared_ptr<Producer> producer);

  /// Takes entries out of every layer, and marks productions that began before, so that nothing of
  /// them is kept. When it answers, nothing of the scope is served any more from this node, nor by
  /// one that is started on the same store, however this one ended. It goes on when its caller
  /// leaves.
  /// @errors kInvalidArgument (scope), or the KV's: then it may be half done, and the next start
  /// does the rest
  Task<Result<PurgeReport>> Purge(Context ctx, PurgeScope scope, PurgeMode mode);
  /// Finishes purges that ended with their process. Before anything is served.
  /// @return how many
  Task<Result<uint64_t>> FinishPurges(Context ctx);

  /// What no layer has is made there instead of on the loop of who asked first, which has hits to
  /// serve. Before the first request.
  void ProduceOn(io::Executor executor) { workshop_ = std::move(executor); }

  /// The store is kept within its limits by `keeper`, which outlives this and is not started yet.
  /// Before the first request.
  void UseKeeper(KvKeeper& keeper);

  /// Purges reach `target` too; it outlives this. Before the first request.
  void AddPurgeTarget(PurgeTarget& target) { purge_targets_.push_back(&target); }

  /// All variants of a source that the KV holds: complete over its pages, and no sibling's.
  Task<Result<VariantPage>> ListVariants(Context ctx, std::string source, std::string cursor,
                                         size_t limit);
  /// nullopt when no layer has it.
  Task<Result<std::optional<EntryView>>> ReadEntry(Context ctx, std::string key);

  Task<Explanation> Explain(Context ctx, std::string key, Hash128 digest);

  /// A fresh result of this plan in edge or KV, to make something else of; null when there is none.
  /// Counts as no use and changes nothing.
  Task<EntityRef> Borrow(Context ctx, std::string key, Hash128 digest);
  /// A fresh result of this plan in the edge, to be looked at. Counts as no use; never waits.
  EntityRef LookAt(std::string_view key, const Hash128& digest);
  /// The fresh results of a source that the KV holds, without their bodies: those of the first
  /// `limit` after `after`, in order of their keys, that `is_wanted`. Counts as no use.
  /// @param is_wanted asked before the metadata is read
  Task<Held> ListHeld(Context ctx, std::string source, std::string after, size_t limit,
                      std::function<bool(std::string_view key, const Hash128& digest)> is_wanted);

  /// The production of this key and plan that is under way, or null.
  ProductionRef InFlight(const std::string& key, const Hash128& digest);

  /// Ends a production: those who wait get kCancelled, and whoever comes next starts afresh.
  CancelOutcome CancelJob(std::string_view id);
  JobRegistry& jobs() { return jobs_; }

  /// Refuses new productions and gives up those that nobody wants, then waits (blocking this
  /// non-loop thread) for the others and for stores.
  /// @return false when the deadline came first
  bool Drain(SteadyTime deadline);

  Edge& edge() { return edge_; }
  size_t flights() const;

 private:
  struct Flight {
    ProductionRef production;
    Query query;
  };
  /// Settles one production, whatever happens to its coroutine.
  class Settler;

  Task<Result<PurgeReport>> RunPurge(Context ctx, PurgeScope scope, PurgeMode mode);
  Task<Result<PurgeReport>> CountPurge(Context ctx, PurgeScope scope);
  bool IsInFlightOf(const Flight& flight, const PurgeScope& scope) const;
  /// Marks productions of the scope and waits for those that are being kept.
  /// @param only_held  only those that have an entity of edge or KV in hands, not those that make
  /// one
  /// @return how many
  Task<Result<uint64_t>> PurgeFlights(Context ctx, PurgeScope scope, bool only_held);
  /// @return how many entries of the store it hit
  Task<Result<uint64_t>> PurgeKv(Context ctx, PurgeIntent intent);
  /// Applies a rule to what was made up to then. @return how many entries of the store it hit
  Task<Result<uint64_t>> PurgeByRule(PurgeRule rule, int64_t made_until_ms);

  ProductionRef JoinOrLead(const Query& query, const std::string& flight, bool* leads);
  /// Same key and same plan: only those may share a production. Bypass of the KV flies apart.
  static std::string FlightOf(const Query& query);
  /// The name of a flight that nobody joins, but that a purge finds.
  std::string ApartFlightOf(const Query& query);
  bool Launch(io::Executor executor, const Query& query, const ProductionRef& production,
              const std::shared_ptr<Producer>& producer, const std::string& flight);
  /// Refreshes a stale entity behind its readers, unless that is under way.
  void RefreshBehind(io::Executor executor, const Query& query,
                     const std::shared_ptr<Producer>& producer);
  Task<void> RunProduction(Query query, ProductionRef production,
                           std::shared_ptr<Producer> producer, std::string flight);
  void Keep(const Query& query, const ProductionRef& production, const EntityRef& entity);
  Task<bool> Revalidate(Context ctx, Query query, Outcome held, Settler& settler,
                        std::shared_ptr<Producer> producer);
  Task<void> Make(Context ctx, Query query, Settler& settler, std::shared_ptr<Producer> producer);
  /// @return whether the KV has it now
  Task<bool> Commit(std::string key, EntityRef whole, std::unique_ptr<kv::NewBody> body);
  /// The KV has refused it after all: answers from the edge must not say otherwise.
  void NotStored(const EntityRef& whole);
  /// The KV has evicted what it holds under `key`. `for_good`: nobody wants copies either.
  void Evicted(const std::string& key, bool for_good);
  /// A full store or disk: what it means for the keeper. @return whether it is that
  bool NoteNoRoom(const Error& error);
  void NoteUse(const Entity& entity, int64_t now_ms) {
    if (keeper_ != nullptr && entity.kv_backed) keeper_->NoteHit(entity.use_id, now_ms);
  }
  void NoteMiss(const Query& query);
  Task<void> RunCheck(EntityRef entity, Query query, std::shared_ptr<Producer> producer);
  /// The same entity, expired.
  std::shared_ptr<Entity> StaleCopyOf(const Entity& entity) const;
  /// Edge, remembered failures and further layers in memory. @return entries hit
  uint64_t PurgeMemory(const PurgeScope& scope, PurgeMode mode);
  /// The same entity with a TTL that begins now, and is as long as its use deserves.
  std::shared_ptr<Entity> Renewed(const Entity& old, const TtlOptions& ttl) const;
  /// How long the TTL is that `entity` has now.
  int64_t TtlMsOf(const Entity& entity, const TtlOptions& ttl) const;
  Task<void> TouchKv(EntityRef entity);
  Task<void> Drop(std::string key);
  /// Of this plan, fresh or stale; null on a miss or error.
  Task<EntityRef> ReadKv(Context ctx, std::string key, Hash128 digest);
  void RememberFailure(const Query& query, const ProductionRef& production, const Error& error);
  int64_t NowMs() const { return ToUnixMillis(clock_.Now()); }
  Task<Result<EntityRef>> Complete(Query query, Metadata meta, SharedFd file, bool kv_backed);
  std::shared_ptr<Entity> EntityFromKv(std::string key, kv::Found found, Metadata meta) const;
  void LeaveFlight(const std::string& flight, const ProductionRef& production);
  ProductionRef FlightLocked(const Query& query, const std::string& flight, bool* leads)
      REQUIRES(mutex_);
  /// As JoinOrLead, for who waits for it: adds a waiter, to be taken over by a Waiter.
  ProductionRef JoinOrLeadWaiting(const Query& query, const std::string& flight, bool* leads);
  /// Gives a production up once nobody has waited for it for a while, and it is not far yet.
  void WatchWaiters(io::Executor executor, const ProductionRef& production,
                    const std::string& flight);
  Task<void> RunWatch(ProductionRef production, std::string flight);
  void AbandonUnwanted();
  /// Whether who is so patient is told of `production` instead of waiting for it.
  /// @param[in,out] deadline brought forward to when that has to be asked again
  static bool IsTooLong(const Production& production, const Production::View& view,
                        const Patience& patience, SteadyTime begun, SteadyTime& deadline);

  const Options options_;
  kv::KvStore* const kv_;  ///< null when the KV is switched off
  Staging& staging_;
  io::Blocking& blocking_;
  const Clock& clock_;
  const HeadRenderer render_head_;
  const FailureRenderer render_failure_;
  Counter stored_, store_failed_, store_skipped_, kv_read_failed_, kv_corrupt_, productions_,
      joins_, stale_, revalidated_, touched_, checks_, changed_, negative_stored_, purged_,
      purge_discarded_, abandoned_;
  Gauge stores_under_way_;

  KvKeeper* keeper_ = nullptr;
  std::optional<io::Executor> workshop_;
  std::vector<PurgeTarget*> purge_targets_;

  Edge edge_;
  JobRegistry jobs_;
  /// Shared with the store's listener, which may be called once more after our end.
  const std::shared_ptr<Edge> recent_reads_;
  Edge negative_;  ///< remembered failures; apart, so that they never displace a variant
  mutable Mutex mutex_;
  std::unordered_map<std::string, Flight> flights_ GUARDED_BY(mutex_);
  std::atomic<uint32_t> storing_{0};
  std::atomic<uint64_t> apart_{0};
  io::TaskGroup group_;
};

}  // namespace vr::cache
