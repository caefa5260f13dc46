// Settings of the cache room. See docs/configuration.md, section "cache".
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vr::cache {

/// Lifetimes by status class. Zero: do not store.
struct TtlOptions {
  std::chrono::seconds ok{86400};
  std::chrono::seconds redirects{3600};
  std::chrono::seconds client_error{60};
  std::chrono::seconds server_error{10};
};

/// Freshness beyond the TTL (cache contract §7).
struct FreshnessOptions {
  std::chrono::seconds stale_while_revalidate{60};  ///< expired this long: served, refreshed behind
  std::chrono::seconds stale_if_error{86400};  ///< expired this long: served if the origin fails
  /// A fresh entry in use is compared with its source this often, in the background; 0 = never.
  std::chrono::seconds source_check_interval{60};
  /// An entry whose source proved unchanged gets a new TTL once this much of the old one has
  /// passed.
  uint32_t refresh_after_percent = 50;
};

struct EdgeOptions {
  uint64_t max_bytes = 256ull << 20;  ///< memory of all edge entries; 0 switches the edge off
  uint64_t max_object_in_memory = 1ull << 20;  ///< larger bodies are served from an open file
  uint32_t max_open_files = 4096;              ///< edge entries that hold a descriptor
};

/// How long what has ended can be asked for (job_registry.h).
struct JobOptions {
  std::chrono::seconds keep_ended{600};  ///< an ended job can be asked for this long
  size_t max_ended = 1000;               ///< and the oldest goes when there are more
  /// Who was sent away with a 202 and asks again this soon after the failure gets its error; the
  /// production is not begun anew behind its back.
  std::chrono::seconds failure_memory{15};
};

/// Lifetimes that follow use (docs/capacity.md): doubled at a renewal when the entry was used often
/// since the last one, halved when it was not.
struct AdaptiveTtlOptions {
  bool enabled = false;
  double min_factor = 0.25;  ///< of the configured TTL
  double max_factor = 4;
  uint32_t popular_uses = 8;  ///< so many uses within one TTL: popular
};

/// What leaves cache by its age, of its own accord. At most one of tag, origin, source and prefix
/// is set; none: everything that old.
struct PurgeRule {
  std::chrono::seconds older_than{0};  ///< since it was made
  std::string tag, origin, source, prefix;
};

/// Capacity of the durable store (keeper.h).
struct KeeperOptions {
  uint64_t max_bytes = uint64_t{50} << 30;  ///< bodies and metadata; never more
  uint64_t max_entries = 0;                 ///< 0 = no limit
  uint32_t high_watermark = 95;             ///< percent of a limit: beyond, eviction begins
  uint32_t low_watermark = 90;              ///< percent of a limit: and ends here
  std::string eviction = "cost-aware";      ///< a policy's name (capacity/), or "none"
  uint32_t min_uses = 1;  ///< what was asked for less often is not stored in a full store
  std::chrono::seconds max_unused{0};  ///< what was not used this long goes; 0 = stays
  std::vector<PurgeRule> purge_rules;
  std::chrono::seconds purge_interval{3600};  ///< between runs of rules and max_unused
  std::chrono::seconds save_interval{300};    ///< between saves of what was learned
  AdaptiveTtlOptions adaptive_ttl;
  /// Names of all origins, each with its quota in bytes; 0 = none of its own.
  std::map<std::string, uint64_t, std::less<>> origins;
  std::string state_file;  ///< keeps what was learned over restarts; empty = nothing does
};

struct Options {
  bool enable_kv = true;  ///< false: the KV is neither read nor written
  TtlOptions ttl;
  EdgeOptions edge;
  std::string staging_dir = "./var/staging";     ///< bodies that will not be stored, streamed forms
  std::chrono::seconds production_timeout{600};  ///< from the first request of a variant to its end
  uint64_t negative_max_bytes = 8ull << 20;      ///< memory of remembered failures
  std::chrono::seconds cold_range_wait{30};  ///< how long a range of a variant in production waits
  /// A production that nobody has waited for this long is given up, unless it has come at least
  /// `keep_from_percent` far. Percent 0: never given up.
  std::chrono::milliseconds abandon_after{5'000};
  uint32_t keep_from_percent = 25;
  JobOptions jobs;
  /// Memory of entries lately read from the KV, for nodes whose edge is off; 0 = each is read anew.
  uint64_t recent_reads_max_bytes = 16ull << 20;
  uint32_t recent_reads_max_files = 256;  ///< of those, how many hold a descriptor
  uint32_t max_background_stores = 256;   ///< beyond: not stored, counted
  KeeperOptions keeper;
};

}  // namespace vr::cache
