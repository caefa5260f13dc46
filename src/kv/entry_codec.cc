#include "kv/entry_codec.h"

#include <algorithm>

#include "base/bytes.h"

namespace vr::kv {
namespace {

constexpr size_t kHeadBytes = 18;
constexpr size_t kEpochOffset = 18;
constexpr size_t kFixedBytes = 74;  // head, epoch, times, hashes, length of metadata
constexpr uint8_t kFlagInline = 1;

Error Broken(std::string_view why) {
  return Error(Code::kCorruption, "a stored entry is damaged", std::string(why));
}

}  // namespace

std::string EncodeEntry(const StoredEntry& entry) {
  const Record& r = entry.record;
  std::string out;
  out.reserve(kFixedBytes + r.metadata.size() + r.source.size() + 64 * r.tags.size() + 8);
  out.push_back(static_cast<char>(kEntryVersion));
  out.push_back(static_cast<char>(entry.head.is_inline ? kFlagInline : 0));
  PutUint(out, entry.head.body_id, 8);
  PutUint(out, r.body_size, 8);
  PutUint(out, entry.epoch, 4);
  PutUint(out, static_cast<uint64_t>(r.created_ms), 8);
  PutUint(out, static_cast<uint64_t>(r.expires_ms), 8);
  PutUint(out, r.digest.high, 8);
  PutUint(out, r.digest.low, 8);
  PutUint(out, r.body_hash.high, 8);
  PutUint(out, r.body_hash.low, 8);
  PutBytes(out, r.metadata);
  PutBytes(out, r.source);
  PutUint(out, r.tags.size(), 4);
  for (const std::string& tag : r.tags) PutBytes(out, tag);
  return out;
}

std::optional<EntryHead> DecodeHead(std::string_view row) {
  if (row.size() < kHeadBytes) return std::nullopt;
  EntryHead head;
  head.version = static_cast<uint8_t>(row[0]);
  head.is_inline = (static_cast<uint8_t>(row[1]) & kFlagInline) != 0;
  head.body_id = GetUint(row, 2, 8);
  head.body_size = GetUint(row, 10, 8);
  return head;
}

std::optional<EntrySummary> DecodeSummary(std::string_view row) {
  const std::optional<EntryHead> head = DecodeHead(row);
  if (!head || head->version != kEntryVersion || row.size() < kFixedBytes) return std::nullopt;
  EntrySummary s;
  s.head = *head;
  s.created_ms = static_cast<int64_t>(GetUint(row, 22, 8));
  s.expires_ms = static_cast<int64_t>(GetUint(row, 30, 8));
  s.digest.high = GetUint(row, 38, 8);
  s.digest.low = GetUint(row, 46, 8);
  s.metadata_size = static_cast<uint32_t>(GetUint(row, 70, 4));
  return s;
}

Result<StoredEntry> DecodeEntry(std::string_view row) {
  const std::optional<EntryHead> head = DecodeHead(row);
  if (!head) return Broken("shorter than its head");
  if (head->version != kEntryVersion) {
    return Error(Code::kUnsupported, "a stored entry has another format",
                 "entry version " + std::to_string(head->version));
  }
  if (row.size() < kFixedBytes) return Broken("shorter than its fixed part");
  StoredEntry e;
  e.head = *head;
  e.epoch = static_cast<uint32_t>(GetUint(row, kEpochOffset, 4));
  Record& r = e.record;
  r.body_size = head->body_size;
  r.created_ms = static_cast<int64_t>(GetUint(row, 22, 8));
  r.expires_ms = static_cast<int64_t>(GetUint(row, 30, 8));
  r.digest = {GetUint(row, 38, 8), GetUint(row, 46, 8)};
  r.body_hash = {GetUint(row, 54, 8), GetUint(row, 62, 8)};
  ByteReader reader(row.substr(70));
  r.metadata = reader.Bytes();
  r.source = reader.Bytes();
  const uint64_t tags = reader.Uint(4);
  if (reader.failed() || tags > kMaxTags) return Broken("its strings end early");
  r.tags.reserve(tags);
  for (uint64_t i = 0; i < tags && !reader.failed(); ++i) r.tags.push_back(reader.Bytes());
  if (reader.failed()) return Broken("its tags end early");
  if (!reader.at_end()) return Broken("bytes follow its end");
  return e;
}

void PatchEpoch(std::string& row, uint32_t epoch) {
  row.replace(kEpochOffset, 4, EncodeU32(epoch));
}

std::string NamedRow(std::string_view name, std::string_view key) {
  std::string row;
  row.reserve(name.size() + 1 + key.size());
  row.append(name).push_back('\0');
  row.append(key);
  return row;
}

std::string ExpiryRow(int64_t expires_ms, std::string_view key) {
  std::string row;
  row.reserve(9 + key.size());
  PutUint(row, static_cast<uint64_t>(expires_ms), 8);
  row.push_back('\0');
  row.append(key);
  return row;
}

std::optional<ExpiryRowParts> ParseExpiryRow(std::string_view row) {
  if (row.size() < 10 || row[8] != '\0') return std::nullopt;
  ExpiryRowParts parts;
  parts.expires_ms = static_cast<int64_t>(GetUint(row, 0, 8));
  parts.key = row.substr(9);
  return parts;
}

std::string BodyIdRow(uint64_t body_id) {
  std::string row;
  PutUint(row, body_id, 8);
  return row;
}

std::string IntentRow(uint64_t id) {
  return BodyIdRow(id);
}

std::optional<uint64_t> ParseIdRow(std::string_view row) {
  if (row.size() != 8) return std::nullopt;
  return GetUint(row, 0, 8);
}

std::string EncodeU32(uint32_t value) {
  std::string out;
  PutUint(out, value, 4);
  return out;
}

std::optional<uint32_t> DecodeU32(std::string_view bytes) {
  if (bytes.size() != 4) return std::nullopt;
  return static_cast<uint32_t>(GetUint(bytes, 0, 4));
}

Result<void> CheckAcceptable(std::string_view key, const Record& record) {
  const auto refuse = [](std::string_view why) {
    return Error(Code::kInvalidArgument, "the store cannot hold this entry", std::string(why));
  };
  if (key.empty() || key.size() > kMaxKeyBytes) return refuse("length of the key");
  if (record.metadata.size() > kMaxMetadataBytes) return refuse("length of the metadata");
  if (record.source.size() > kMaxNameBytes || record.source.find('\0') != std::string::npos) {
    return refuse("length or a NUL in the source");
  }
  if (record.tags.size() > kMaxTags) return refuse("number of tags");
  for (const std::string& tag : record.tags) {
    if (tag.size() > kMaxNameBytes || tag.find('\0') != std::string::npos) {
      return refuse("length or a NUL in a tag");
    }
  }
  if (record.expires_ms < 0) return refuse("expiry before 1970");
  if (record.body_hash.is_zero()) return refuse("no body hash");
  return {};
}

}  // namespace vr::kv
