// Purge: what an operator takes out of the cache, on every layer at once (cache contract §5).
//
// Hard: the entries are gone. Soft: they are stale at once, still usable while they are revalidated
// or when the origin fails. Either survives a crash: it is noted in the store's journal before the
// first erasure and finished at the next start (purge_journal.h). Pure data; Orchestrator::Purge
// does it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cache/entity.h"
#include "kv/kv_store.h"

namespace vr::cache {

enum class PurgeMode { kHard, kSoft, kDryRun };

/// Exactly one is set. `tag`, `source` and `prefix` are answered by indexes, the others look at
/// every entry.
struct PurgeScope {
  std::optional<std::string> key;  ///< this very key
  std::optional<std::string> tag;
  std::optional<std::string> source;  ///< canonical source path: all its variants
  std::optional<std::string> prefix;  ///< of keys
  std::optional<std::string> origin;  ///< name
  std::optional<int64_t> created_before_ms;
  bool everything = false;

  bool is_valid() const;
  bool Matches(std::string_view entry_key, const Metadata& meta) const;
  /// The same of a stored entry. What cannot be read is in the scope if the index or its key says
  /// so, and in that of every origin: nobody can use it, and nobody can say that it is not meant.
  bool Matches(const kv::Listed& row) const;
};

/// A further layer in memory that purges reach.
class PurgeTarget {
 public:
  virtual ~PurgeTarget() = default;
  /// Takes out what is in the scope, or makes it stale (kSoft), or counts (kDryRun); what is under
  /// way is not kept later. Never waits. Thread-safe. @return entries hit
  virtual uint64_t Purge(const PurgeScope& scope, PurgeMode mode, int64_t now_ms) = 0;
};

struct PurgeReport {
  uint64_t kv_entries = 0;    ///< of the durable store
  uint64_t edge_entries = 0;  ///< of this node's memory, remembered failures included
  uint64_t productions = 0;   ///< in flight: served to their waiters, not stored
};

}  // namespace vr::cache
