// Settings of the durable store. Values only; bound to the configuration file by `app`.
#pragma once

#include <cstdint>
#include <string>

namespace vr::kv {

/// What Commit waits for before it says yes. A killed process never loses a committed entry in any
/// of them; they differ in what a power cut may take (docs/formats/store.md §6).
enum class Durability {
  kNone,  ///< nothing is synced: recent entries may be lost or torn (torn ones are found by
          ///< checksum)
  kBody,  ///< the body is on disk before the entry: recent entries may be lost, none is torn
  kFull,  ///< body, its directory and the index log are on disk before Commit answers: nothing is
          ///< lost
};

struct Options {
  /// Directory of the store; made when missing (its parent must exist). One process at a time.
  std::string data_dir = "./var";
  /// Bodies and metadata together, bytes; at or above it nothing new is accepted.
  uint64_t max_bytes = uint64_t{50} << 30;
  Durability durability = Durability::kBody;
  /// Bodies up to this many bytes live in the index instead of in a file of their own.
  uint64_t inline_threshold = 64 << 10;
  /// Bodies up to this many bytes are handed out in memory: read whole, and verified every time.
  /// Larger ones are handed out as an open file.
  uint64_t memory_threshold = 0;
  /// Of the bodies handed out as a file, this many in a hundred are read and verified first; those
  /// of a run that did not end cleanly always are, until they were once.
  uint32_t verify_on_read = 5;
  /// Free bytes that must stay on the file system; 0 = min(512 MiB, 1 % of the file system).
  uint64_t min_free_bytes = 0;
  /// RocksDB's block cache, bytes (index blocks, small bodies).
  uint64_t index_cache_bytes = 32 << 20;
  /// Descriptors of recently read bodies kept open.
  uint32_t open_bodies = 256;
};

}  // namespace vr::kv
