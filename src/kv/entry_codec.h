// The bytes of the index: rows of RocksDB's column families. Byte by byte in docs/formats/store.md.
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kv/kv_store.h"

namespace vr::kv {

inline constexpr uint8_t kEntryVersion = 1;

/// The first 18 bytes of a row in `entry`. They keep their meaning in every version, so that an old
/// program neither sweeps nor miscounts what a newer one stored.
struct EntryHead {
  uint8_t version = kEntryVersion;
  bool is_inline = false;  ///< body in column family `inline`, else in a file
  uint64_t body_id = 0;
  uint64_t body_size = 0;
};

/// What the memory index needs of a row of our version, without decoding strings.
struct EntrySummary {
  EntryHead head;
  int64_t created_ms = 0;
  int64_t expires_ms = 0;
  Hash128 digest;
  uint32_t metadata_size = 0;
};

struct StoredEntry {
  EntryHead head;
  uint32_t epoch = 0;  ///< run of the store in which the body was written or last verified
  Record record;
};

std::string EncodeEntry(const StoredEntry& entry);
/// @errors kUnsupported (another version), kCorruption
Result<StoredEntry> DecodeEntry(std::string_view row);
/// nullopt: shorter than a head.
std::optional<EntryHead> DecodeHead(std::string_view row);
/// nullopt: of another version, or too short.
std::optional<EntrySummary> DecodeSummary(std::string_view row);
/// Sets the epoch of a row of our version in place.
void PatchEpoch(std::string& row, uint32_t epoch);

/// Row keys. `name` (a tag, a source) and therefore the separator contain no NUL; `key` may.
std::string NamedRow(std::string_view name, std::string_view key);
std::string ExpiryRow(int64_t expires_ms, std::string_view key);
struct ExpiryRowParts {
  int64_t expires_ms = 0;
  std::string_view key;
};
std::optional<ExpiryRowParts> ParseExpiryRow(std::string_view row);
std::string BodyIdRow(uint64_t body_id);
std::string IntentRow(uint64_t id);
/// Reads what BodyIdRow and IntentRow wrote.
std::optional<uint64_t> ParseIdRow(std::string_view row);

std::string EncodeU32(uint32_t value);
std::optional<uint32_t> DecodeU32(std::string_view bytes);

/// What a store accepts; beyond it Commit and Touch say kInvalidArgument.
inline constexpr size_t kMaxKeyBytes = 8 << 10;
inline constexpr size_t kMaxMetadataBytes = 1 << 20;
inline constexpr size_t kMaxNameBytes = 32 << 10;  ///< a tag, a source
inline constexpr size_t kMaxTags = 1024;
Result<void> CheckAcceptable(std::string_view key, const Record& record);

}  // namespace vr::kv
