#include "kv/entry_rows.h"

namespace vr::kv {

std::vector<std::pair<Table, std::string>> FindingRows(std::string_view key, const Record& record) {
  std::vector<std::pair<Table, std::string>> rows;
  rows.reserve(record.tags.size() + 2);
  for (const std::string& tag : record.tags) rows.emplace_back(Table::kTag, NamedRow(tag, key));
  if (!record.source.empty()) rows.emplace_back(Table::kSource, NamedRow(record.source, key));
  if (record.expires_ms != 0) {
    rows.emplace_back(Table::kExpiry, ExpiryRow(record.expires_ms, key));
  }
  return rows;
}

void AddRows(IndexDb::Batch& batch, std::string_view key, const StoredEntry& entry) {
  batch.Put(Table::kEntry, key, EncodeEntry(entry));
  for (const auto& [table, row] : FindingRows(key, entry.record)) batch.Put(table, row, {});
}

void RemoveRows(IndexDb::Batch& batch, std::string_view key, std::string_view row) {
  batch.Delete(Table::kEntry, key);
  if (const std::optional<EntryHead> head = DecodeHead(row); head && head->is_inline) {
    batch.Delete(Table::kInline, BodyIdRow(head->body_id));
  }
  Result<StoredEntry> entry = DecodeEntry(row);
  if (!entry.ok()) return;
  for (const auto& [table, found] : FindingRows(key, entry->record)) batch.Delete(table, found);
}

}  // namespace vr::kv
