// Changing many entries of the embedded store at once, and the journal that makes such a change
// finish even if the process does not (docs/formats/store.md §8).
#include <algorithm>
#include <map>

#include "kv/embedded_core.h"

namespace vr::kv {

std::vector<EmbeddedCore::Group> EmbeddedCore::ByStripe(
    const std::vector<std::string>& keys) const {
  std::map<size_t, std::vector<std::string>> by_stripe;
  for (const std::string& key : keys) by_stripe[StripeNumber(key)].push_back(key);
  std::vector<Group> groups;
  groups.reserve(by_stripe.size());
  for (auto& [stripe, own] : by_stripe) {
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
    groups.push_back(Group{stripe, std::move(own)});
  }
  return groups;
}

void EmbeddedCore::NoteCreated(int64_t created_ms) {
  int64_t newest = newest_ms_.load(std::memory_order_relaxed);
  while (created_ms > newest && !newest_ms_.compare_exchange_weak(newest, created_ms)) {
  }
}

Result<size_t> EmbeddedCore::EraseGroup(const Group& group, std::vector<uint64_t>& files) {
  MutexLock lock(stripes_[group.stripe]);
  IndexDb::Batch batch(*db_);
  std::vector<const std::string*> found;
  std::vector<uint64_t> its_files;
  for (const std::string& key : group.keys) {
    TRY(const std::optional<std::string> row, db_->Get(Table::kEntry, key));
    if (!row) continue;
    RemoveRows(batch, key, *row);
    found.push_back(&key);
    const std::optional<EntryHead> head = DecodeHead(*row);
    if (head && !head->is_inline) its_files.push_back(head->body_id);
  }
  if (found.empty()) return size_t{0};
  CHECK_OK(db_->Write(batch, false));
  for (const std::string* key : found) index_->Erase(*key);
  files.insert(files.end(), its_files.begin(), its_files.end());
  return found.size();
}

Result<size_t> EmbeddedCore::EraseMany(const std::vector<std::string>& keys) {
  size_t erased = 0;
  std::vector<uint64_t> files;
  std::optional<Error> failure;
  // One stripe at a time: one batch and no order of locks to keep.
  for (const Group& group : ByStripe(keys)) {
    Result<size_t> n = EraseGroup(group, files);
    if (!n.ok()) {
      failure = std::move(n).error();
      break;
    }
    erased += *n;
  }
  bodies_->Discard(files);
  if (failure) return std::move(*failure);
  if (erased > 0 && syncs_log()) CHECK_OK(db_->SyncLog());
  return erased;
}

Result<size_t> EmbeddedCore::ExpireMany(const std::vector<std::string>& keys, int64_t at_ms) {
  size_t changed = 0;
  for (const Group& group : ByStripe(keys)) {
    MutexLock lock(stripes_[group.stripe]);
    IndexDb::Batch batch(*db_);
    std::vector<std::pair<const std::string*, IndexEntry>> found;
    for (const std::string& key : group.keys) {
      TRY(const std::optional<std::string> row, db_->Get(Table::kEntry, key));
      if (!row) continue;
      Result<StoredEntry> entry = DecodeEntry(*row);
      if (!entry.ok()) continue;
      int64_t& expires_ms = entry->record.expires_ms;
      if (expires_ms != 0 && expires_ms <= at_ms) continue;
      if (expires_ms != 0) batch.Delete(Table::kExpiry, ExpiryRow(expires_ms, key));
      expires_ms = at_ms;
      batch.Put(Table::kExpiry, ExpiryRow(expires_ms, key), {});
      batch.Put(Table::kEntry, key, EncodeEntry(*entry));
      found.emplace_back(&key, ToIndex(*entry));
    }
    if (found.empty()) continue;
    CHECK_OK(db_->Write(batch, false));
    for (const auto& [key, entry] : found) index_->Put(*key, entry);
    changed += found.size();
  }
  if (changed > 0 && syncs_log()) CHECK_OK(db_->SyncLog());
  return changed;
}

Result<uint64_t> EmbeddedCore::BeginIntent(const std::string& bytes) {
  if (bytes.size() > Journal::kMaxBytes) {
    return Error(Code::kInvalidArgument, "the store cannot note this down", "length of the row");
  }
  const uint64_t id = next_intent_.fetch_add(1);
  IndexDb::Batch batch(*db_);
  batch.Put(Table::kPurge, IntentRow(id), bytes);
  CHECK_OK(db_->Write(batch, true));
  return id;
}

Result<void> EmbeddedCore::EndIntent(uint64_t id) {
  IndexDb::Batch batch(*db_);
  batch.Delete(Table::kPurge, IntentRow(id));
  // The log is one: with this row everything written before it is on disk.
  return db_->Write(batch, true);
}

Result<std::vector<Journal::Row>> EmbeddedCore::PendingIntents() const {
  std::vector<Journal::Row> rows;
  CHECK_OK(db_->Scan(Table::kPurge, {}, [&](std::string_view row, std::string_view bytes) {
    if (const std::optional<uint64_t> id = ParseIdRow(row)) {
      rows.push_back(Journal::Row{*id, std::string(bytes)});
    }
    return true;
  }));
  return rows;
}

}  // namespace vr::kv
