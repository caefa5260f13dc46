// Which rows of the index one entry consists of (docs/formats/store.md §3). Pure but for the batch.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/entry_codec.h"
#include "kv/index_db.h"

namespace vr::kv {

/// The rows by which an entry is found: in `tag`, `source` and `expiry`. They have no value.
std::vector<std::pair<Table, std::string>> FindingRows(std::string_view key, const Record& record);

/// All rows of an entry but the bytes of an inline body.
void AddRows(IndexDb::Batch& batch, std::string_view key, const StoredEntry& entry);
/// Deletes what `row`, the entry of `key`, caused; all of it when it can be decoded, else its body
/// and itself: rows that stay behind are checked against their entry by whoever reads them.
void RemoveRows(IndexDb::Batch& batch, std::string_view key, std::string_view row);

}  // namespace vr::kv
