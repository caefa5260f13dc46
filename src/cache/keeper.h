// KvKeeper: keeps the durable store within its limits, and knows what its entries are worth.
//
// It learns of every entry from a listing that runs in the background at the start, then from the
// orchestrator: what is stored, used, erased. Above the high watermark of a limit (bytes, entries,
// an origin's quota) a task in the background evicts what the policy names, in batches, down to the
// low one. A store that would pass a limit waits for that task, behind the answer that it belongs
// to, or is not made; no request waits. Who reads an evicted body keeps its descriptor.
//
// Uses are noted without a lock (UseLog) and told to the policy in batches. Thread-safe. The store,
// the pool, clock and metrics outlive it; stop the executor of Start(), or Close(), before it ends.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cache/keeper_state.h"
#include "cache/ledger.h"
#include "cache/options.h"
#include "cache/use_log.h"
#include "io/blocking.h"
#include "io/notifier.h"
#include "io/task_group.h"
#include "kv/kv_store.h"
#include "observe/metrics.h"

namespace vr::cache {

class KvKeeper {
 public:
  struct Deps {
    kv::KvStore& kv;
    io::Blocking& blocking;
    const Clock& clock;
    Metrics& metrics;
  };
  /// What the layers above do about what leaves the store. Called from the executor's thread.
  struct Hooks {
    /// `for_good`: nobody wants copies of it either. Else they are good, but no more than copies.
    std::function<void(const std::string& key, bool for_good)> evicted;
    /// Takes out what a rule names of what was made up to then. @return how many
    std::function<Task<Result<uint64_t>>(PurgeRule rule, int64_t made_until_ms)> purge;
  };
  /// A variant that is about to be stored.
  struct Candidate {
    uint64_t id = 0;
    uint64_t bytes = 0;  ///< body and metadata
    double cost_seconds = 0;
    std::string origin;
  };
  /// Room in the store that nobody else gets as long as this lives.
  class Room {
   public:
    Room(KvKeeper& keeper, uint64_t bytes, uint16_t origin)
        : keeper_(&keeper), bytes_(bytes), origin_(origin) {}
    Room(Room&& other) noexcept
        : keeper_(std::exchange(other.keeper_, nullptr)),
          bytes_(other.bytes_),
          origin_(other.origin_) {}
    Room& operator=(Room&&) = delete;
    ~Room() {
      if (keeper_ != nullptr) keeper_->GiveBack(bytes_, origin_);
    }

   private:
    friend class KvKeeper;
    KvKeeper* keeper_;
    const uint64_t bytes_;
    const uint16_t origin_;
  };
  /// What is known of an entry, for people.
  struct View {
    uint32_t uses = 0;
    int64_t used_ms = 0;
    double ttl_factor = 1;
  };

  /// @errors kInvalidArgument (no such policy)
  static Result<std::unique_ptr<KvKeeper>> Create(KeeperOptions options, Deps deps);
  ~KvKeeper();
  KvKeeper(const KvKeeper&) = delete;

  /// Before Start().
  void SetHooks(Hooks hooks) { hooks_ = std::move(hooks); }
  /// Begins to learn what the store holds. Until it knows nothing is evicted, and what finds no
  /// room is not stored.
  void Start(io::Executor executor);
  /// About once a minute: what has to be done now and then.
  void Tick();
  /// Other quotas of the origins there are, and other times of purging, as a new configuration has
  /// them.
  void Reload(const KeeperOptions& options);
  /// Refuses new work and waits (blocking this non-loop thread) for what is under way.
  /// @return false when the deadline came first
  bool Close(SteadyTime deadline);
  /// Writes down what was learned. Blocks.
  Result<void> SaveNow();

  /// It was served. Some nanoseconds, never waits.
  void NoteHit(uint64_t id, int64_t now_ms) { uses_.Note(id, now_ms, false); }
  /// It was asked for and is not in the store.
  void NoteMiss(uint64_t id, int64_t now_ms) { uses_.Note(id, now_ms, true); }

  /// Above the low watermark of a limit the policy is asked whether it is worth its bytes. Waits
  /// for eviction if that is what it takes. @return nullopt: it is not to be stored
  Task<std::optional<Room>> MakeRoom(Candidate candidate);
  /// `record` is in the store under `key`, where there was `room` for it.
  void Stored(Room room, const std::string& key, const kv::Record& record, double cost_seconds,
              const std::string& origin);
  /// They were erased by somebody else.
  void Erased(const std::vector<std::string>& keys);
  /// The store took nothing more.
  void NoteFull() { Wake(); }
  /// Nothing could be written for want of room on the disk.
  void NoteDiskFull();

  /// What is known of an entry; nullopt when it is not.
  std::optional<View> Look(const std::string& key);
  /// By which a TTL that begins now differs from the configured one; 1 unless adaptiveTtl.
  double NextTtlFactor(uint64_t id);
  double TtlFactor(uint64_t id);
  /// Its TTL has begun anew.
  void Renewed(uint64_t id, int64_t now_ms, int64_t expires_ms, double factor);

  bool is_loaded() const { return is_loaded_.load(std::memory_order_acquire); }
  /// Nothing is going on in the background; for tests.
  bool is_idle() const { return tending_.load() == 0 && !is_keeping_house_.load(); }
  size_t entries() const;

 private:
  enum class Reason { kHighWatermark, kQuota, kDiskFull, kUnused, kRule };
  static constexpr size_t kReasons = 5;
  struct Victim {
    LedgerEntry entry;
    Reason reason = Reason::kHighWatermark;
  };
  enum class Answer { kFits, kWait, kRefused, kTooLarge, kNoRoom };
  /// What a waiting store adds to what eviction makes room for.
  class Wanted;

  KvKeeper(KeeperOptions options, Deps deps, Ledger ledger);
  void GiveBack(uint64_t bytes, uint16_t origin) EXCLUDES(mutex_);
  void GiveBackLocked(uint64_t bytes, uint16_t origin) REQUIRES(mutex_);
  /// Has the task in the background look after the limits. @return false: there is none
  bool Wake();
  Task<void> Tend();
  /// Evicts until all limits are kept, or nothing more can be done.
  Task<void> EvictAll();
  Answer Claim(const Candidate& candidate, uint16_t origin, bool is_first) EXCLUDES(mutex_);
  void Absorb() REQUIRES(mutex_);
  std::vector<Victim> ChooseVictims() EXCLUDES(mutex_);
  /// Takes them out of the store. @return false: the store does not do it now
  Task<bool> EraseVictims(std::vector<Victim> victims);
  /// Those that were stored again while they were evicted: whether they are there.
  Task<void> LookAgain(std::vector<std::string> keys);
  void TakeBack(std::vector<Victim> victims) EXCLUDES(mutex_);
  void ShowOrigins() REQUIRES(mutex_);

  Task<void> KeepHouse();
  Task<void> Load();
  /// All entries of the store. @param[out] rows
  Task<Result<void>> List(std::shared_ptr<std::vector<LedgerEntry>> rows);
  /// Finds again what has slipped the ledger: reaped, dropped as damaged.
  Task<void> Reconcile();
  Task<void> PurgeUnused(int64_t now_ms);
  Task<void> PurgeByRules(int64_t now_ms);
  Task<void> ShortenUnused(int64_t now_ms);
  Task<void> Save();
  KeeperState Gather() EXCLUDES(mutex_);
  void Count(const char* result);
  int64_t NowMs() const { return ToUnixMillis(clock_.Now()); }

  const KeeperOptions options_;
  kv::KvStore& kv_;
  io::Blocking& blocking_;
  const Clock& clock_;
  Metrics& metrics_;
  Hooks hooks_;
  std::optional<io::Executor> executor_;
  std::vector<Counter> evictions_;  ///< by Reason
  Counter evicted_bytes_, disk_full_;
  Gauge lost_uses_;
  std::vector<Gauge> origin_bytes_;

  UseLog uses_;
  mutable Mutex mutex_;
  Ledger ledger_ GUARDED_BY(mutex_);
  uint64_t reserved_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t reserved_entries_ GUARDED_BY(mutex_) = 0;
  uint64_t wanted_bytes_ GUARDED_BY(mutex_) = 0;
  std::multiset<uint64_t> wanted_ GUARDED_BY(mutex_);  ///< bytes of each waiting store
  bool is_lowering_ GUARDED_BY(mutex_) = false;
  uint64_t to_free_ GUARDED_BY(mutex_) = 0;  ///< bytes, for a full disk
  SteadyTime next_relief_ GUARDED_BY(mutex_){};
  std::unordered_set<uint64_t> erased_meanwhile_ GUARDED_BY(mutex_);  ///< while a listing runs
  bool is_listing_ GUARDED_BY(mutex_) = false;
  bool is_changed_ GUARDED_BY(mutex_) = false;  ///< since the last save
  std::vector<PurgeRule> rules_ GUARDED_BY(mutex_);
  std::chrono::seconds max_unused_ GUARDED_BY(mutex_){0};

  std::atomic<bool> is_loaded_{false};
  std::atomic<bool> is_closing_{false};
  std::atomic<int> tending_{0};  ///< 0 no, 1 yes, 2 yes and once more
  std::atomic<bool> is_keeping_house_{false};
  int64_t next_purge_ms_ = 0, next_save_ms_ = 0, next_reconcile_ms_ = 0;  ///< of KeepHouse() alone
  io::Notifier tended_;
  io::TaskGroup group_;
};

}  // namespace vr::cache
