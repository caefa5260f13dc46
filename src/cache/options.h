// Settings of the cache room. See docs/configuration.md, section "cache".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

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
};

}  // namespace vr::cache
