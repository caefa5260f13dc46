// KvStore: the durable store of variants, as dumb as it can be. Bytes and indexes in, bytes out;
// HTTP meaning, freshness, single-flight and eviction live in `cache`, once, for every backend.
//
// A body is written into a file of the store (`NewBody`, its descriptor may be handed to another
// process), then Commit() makes body, metadata and indexes visible as one. Nothing uncommitted
// survives a crash. Every backend passes kv/testing/kv_store_conformance.h. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/result.h"
#include "io/task.h"
#include "kv/journal.h"

namespace vr::kv {

/// `reason` of a kResourceExhausted that more room on the disk would mend.
inline constexpr std::string_view kDiskFullReason = "DISK_FULL";

/// Everything stored beside a body. `metadata` is opaque here.
struct Record {
  std::string metadata;
  std::vector<std::string> tags;
  std::string source;      ///< canonical source path, for listing all variants of a source
  int64_t created_ms = 0;  ///< ms since the epoch
  int64_t expires_ms = 0;  ///< ms since the epoch; 0 = never
  Hash128 digest;          ///< plan digest
  uint64_t body_size = 0;  ///< bytes
  Hash128 body_hash;       ///< XXH3-128 of the body
};

/// A body as stored: small ones in memory, large ones as an open file (whole file = body).
struct Body {
  std::shared_ptr<const std::string> memory;
  SharedFd file;
  uint64_t size = 0;
};

struct Found {
  Record record;
  Body body;
};

/// A body being written. Dropped without Commit: its bytes are removed. Move it by unique_ptr.
class NewBody {
 public:
  virtual ~NewBody() = default;
  /// Read-write descriptor of an empty regular file; the caller writes by any means, from any
  /// process.
  virtual const SharedFd& file() const = 0;
};

struct Usage {
  uint64_t entries = 0;
  uint64_t bytes = 0;  ///< bodies and metadata
  /// No entry was created later than this, ms since the epoch; 0 = never held one. Does not go
  /// back while the store is open, whatever the clock does.
  int64_t newest_ms = 0;
};

/// One row of a listing.
struct Listed {
  std::string key;
  Record record;
  /// false: damaged, or written by a newer program. The index says it belongs here; `record` is
  /// empty.
  bool is_readable = true;
};
struct Page {
  std::vector<Listed> rows;  ///< ordered by key
  std::string cursor;        ///< pass to the next call; empty = end
};

class KvStore {
 public:
  virtual ~KvStore() = default;

  /// @param size_hint expected bytes, 0 = unknown
  /// @errors kResourceExhausted (disk full, too many files), kUnavailable
  virtual io::Task<Result<std::unique_ptr<NewBody>>> Create(Context ctx, uint64_t size_hint) = 0;
  /// Makes the entry visible, replacing an older one under `key`. record.body_size and body_hash
  /// must be set; the size is checked against the file. After success the NewBody's descriptor
  /// stays readable.
  /// @errors kResourceExhausted, kUnavailable, kCorruption (size differs)
  virtual io::Task<Result<void>> Commit(Context ctx, std::string key, Record record,
                                        std::unique_ptr<NewBody> body) = 0;
  /// nullopt = no such entry. A record of unknown version or a body of wrong size or checksum is a
  /// miss: it is dropped and counted, never returned.
  virtual io::Task<Result<std::optional<Found>>> Get(Context ctx, std::string key) = 0;
  /// Replaces metadata and expiry only; the body cannot be touched. Metadata describes one body: an
  /// entry that has another one by now is left alone.
  /// @return false when there is no entry with that body
  virtual io::Task<Result<bool>> Touch(Context ctx, std::string key, Hash128 body_hash,
                                       std::string metadata, int64_t expires_ms) = 0;
  /// @return whether there was an entry.
  virtual io::Task<Result<bool>> Erase(Context ctx, std::string key) = 0;
  /// Erases many, in any order; each as a whole. After an error some are erased.
  /// @return how many there were
  virtual io::Task<Result<size_t>> EraseMany(Context ctx, std::vector<std::string> keys) = 0;
  /// Makes entries that expire later than `at_ms`, or never, expire then; nothing else of them
  /// changes. After an error some are changed. @return how many were
  virtual io::Task<Result<size_t>> ExpireMany(Context ctx, std::vector<std::string> keys,
                                              int64_t at_ms) = 0;
  virtual io::Task<Result<Page>> ListByPrefix(Context ctx, std::string prefix, std::string cursor,
                                              size_t limit) = 0;
  virtual io::Task<Result<Page>> ListByTag(Context ctx, std::string tag, std::string cursor,
                                           size_t limit) = 0;
  virtual io::Task<Result<Page>> ListBySource(Context ctx, std::string source, std::string cursor,
                                              size_t limit) = 0;
  /// Memory only, never waits.
  virtual Usage usage() const = 0;
  /// A number that changes whenever body, metadata or expiry of `key` do: who has read the entry
  /// since can tell that it still is what it was. nullopt: there is none, or the store cannot say
  /// without reading. Memory only, never waits.
  virtual std::optional<uint64_t> Version(std::string_view /*key*/) const { return std::nullopt; }
  /// Whether no Version() means that there is no such entry.
  virtual bool tells_versions() const { return false; }
  /// Calls `listen` with the key of each entry that has changed or gone, on any thread; it must
  /// neither wait nor call back. Before the first entry is read, once. Stores that have no
  /// Version() never call it.
  virtual void OnChange(std::function<void(std::string_view key)> /*listen*/) {}
  /// Intentions kept beside the entries. Lives as long as the store.
  virtual Journal& journal() = 0;
};

}  // namespace vr::kv
