// Fsck: looks at a store that nobody has open, from the first row to the last body, and puts right
// what is wrong if it is told to. What is right and what each finding means: docs/operations.md.
//
// Reads in order and keeps about 24 bytes per entry, whatever the bodies' size.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/files.h"

namespace vr::kv {

struct FsckOptions {
  std::string data_dir;
  bool repair = false;
  bool quick = false;         ///< bodies in files: only that they are there and have the right size
  size_t max_findings = 100;  ///< kept one by one; all are counted
  /// What the store cannot judge, being opaque to it. kUnsupported: of a newer program, kept.
  std::function<Result<void>(std::string_view metadata)> check_metadata;
  /// A row of the journal in words.
  std::function<Result<std::string>(std::string_view intent)> describe_intent;
};

enum class Flaw {
  kEntryDamaged,   ///< the entry cannot be decoded
  kMetadata,       ///< its metadata cannot be read
  kBodyMissing,    ///< no such file, or no such row of `inline`
  kBodySize,       ///< not as many bytes as the entry says
  kBodyChecksum,   ///< other bytes than the entry says
  kBodyShared,     ///< two entries name one body
  kIndexMissing,   ///< an entry that a tag, its source or its expiry does not lead to
  kIndexStale,     ///< a row that leads to no such entry
  kOrphanFile,     ///< a body without entry
  kOrphanInline,   ///< the same in `inline`
  kJournalDamaged  ///< a purge nobody can name; the next start purges everything
};
/// As in reports: "entry-damaged".
std::string_view NameOf(Flaw flaw);

struct Finding {
  Flaw flaw = Flaw::kEntryDamaged;
  std::string where;   ///< key, row or file
  std::string detail;  ///< may be empty
};

struct FsckReport {
  bool was_clean_stop = false;
  uint64_t entries = 0;         ///< of our version, damaged ones included
  uint64_t newer_entries = 0;   ///< of another version: neither judged nor touched
  uint64_t bytes = 0;           ///< bodies and metadata, as the entries say
  uint64_t body_files = 0;      ///< on disk
  uint64_t verified = 0;        ///< bodies whose checksum was compared
  uint64_t verified_bytes = 0;  ///< of those
  uint64_t index_rows = 0;      ///< of tags, sources and expiries
  /// Purges that were interrupted, in words; the next start finishes them. No flaw.
  std::vector<std::string> pending_purges;
  std::map<Flaw, uint64_t> counts;
  std::vector<Finding> findings;  ///< the first max_findings
  uint64_t repaired = 0;          ///< flaws put right

  uint64_t flaws() const;
};

/// Blocks for as long as reading all bodies takes.
/// @errors kNotFound (no store there), kUnavailable (somebody has it open, or the device failed),
///   kUnsupported (another layout), kCorruption (the index itself)
Result<FsckReport> Fsck(const FsckOptions& options, io::Files& files = io::Files::System());

}  // namespace vr::kv
