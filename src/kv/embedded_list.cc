// Listings of the embedded store. Rows of `tag` and `source` are hints; each is checked against its
// entry, and believed when the entry cannot be read.
#include <algorithm>

#include "kv/embedded_core.h"

namespace vr::kv {
namespace {
constexpr size_t kMaxPage = 10'000;

Listed ToListed(std::string key, Result<StoredEntry> entry) {
  Listed row;
  row.key = std::move(key);
  row.is_readable = entry.ok();
  if (entry.ok()) row.record = std::move(entry->record);
  return row;
}
}  // namespace

Result<Page> EmbeddedCore::ListByPrefix(const std::string& prefix, const std::string& cursor,
                                        size_t limit) {
  limit = std::clamp<size_t>(limit, 1, kMaxPage);
  Page page;
  bool has_more = false;
  const std::string& from = std::max(prefix, cursor);
  CHECK_OK(db_->Scan(Table::kEntry, from, [&](std::string_view key, std::string_view row) {
    if (!key.starts_with(prefix)) return false;
    if (key == cursor) return true;  // the last one of the page before
    has_more = page.rows.size() == limit;
    if (!has_more) page.rows.push_back(ToListed(std::string(key), DecodeEntry(row)));
    return !has_more;
  }));
  if (has_more) page.cursor = page.rows.back().key;
  return page;
}

Result<Page> EmbeddedCore::ListByName(Table table, const std::string& name,
                                      const std::string& cursor, size_t limit) {
  limit = std::clamp<size_t>(limit, 1, kMaxPage);
  Page page;
  bool has_more = false;
  std::optional<Error> failure;
  const std::string prefix = NamedRow(name, {});
  CHECK_OK(db_->Scan(table, NamedRow(name, cursor), [&](std::string_view row, std::string_view) {
    if (!row.starts_with(prefix)) return false;
    std::string key(row.substr(prefix.size()));
    if (key == cursor) return true;
    Result<std::optional<std::string>> stored = db_->Get(Table::kEntry, key);
    if (!stored.ok()) {
      failure = std::move(stored).error();
      return false;
    }
    if (!*stored) return true;  // erased meanwhile
    Result<StoredEntry> entry = DecodeEntry(**stored);
    if (entry.ok()) {
      const Record& r = entry->record;
      const bool belongs = table == Table::kSource
                               ? r.source == name
                               : std::find(r.tags.begin(), r.tags.end(), name) != r.tags.end();
      if (!belongs) return true;
    }
    has_more = page.rows.size() == limit;
    if (!has_more) page.rows.push_back(ToListed(std::move(key), std::move(entry)));
    return !has_more;
  }));
  if (failure) return std::move(*failure);
  if (has_more) page.cursor = page.rows.back().key;
  return page;
}

}  // namespace vr::kv
