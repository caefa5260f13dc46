#include "kv/embedded_core.h"

#include <algorithm>

#include "observe/log.h"

namespace vr::kv {
namespace {

/// A body replaced while we look for it is looked up again; so often in a row it is not chance.
constexpr int kMaxLookups = 16;

}  // namespace

IndexEntry ToIndex(const StoredEntry& entry) {
  IndexEntry out;
  out.body_id = entry.head.body_id;
  out.body_size = entry.record.body_size;
  out.expires_ms = entry.record.expires_ms;
  out.digest = entry.record.digest;
  out.metadata_size = static_cast<uint32_t>(entry.record.metadata.size());
  out.is_inline = entry.head.is_inline;
  return out;
}

Result<std::unique_ptr<NewBody>> EmbeddedCore::Create(uint64_t size_hint) {
  if (index_->usage().bytes >= options_.max_bytes) {
    return Error(Code::kResourceExhausted, "the store is full", "max_bytes reached");
  }
  TRY(const io::Files::Space space, files_.SpaceAt(options_.data_dir));
  const uint64_t reserve = options_.min_free_bytes != 0
                               ? options_.min_free_bytes
                               : std::min<uint64_t>(512 << 20, space.total / 100);
  if (space.free < reserve) {
    return Error(
               Code::kResourceExhausted, "the store's disk is full",
               std::to_string(space.free) + " bytes free, " + std::to_string(reserve) + " reserved")
        .WithReason(std::string(kDiskFullReason));
  }
  if (size_hint != 0 && size_hint <= options_.inline_threshold) {
    TRY(UniqueFd memory, io::MemoryFile("vr-body"));
    auto shared = std::make_shared<const UniqueFd>(std::move(memory));
    return std::unique_ptr<NewBody>(std::make_unique<EmbeddedBody>(bodies_, std::move(shared)));
  }
  TRY(BodyFiles::Created created, bodies_->Create());
  return std::unique_ptr<NewBody>(std::make_unique<EmbeddedBody>(bodies_, std::move(created)));
}

Result<void> EmbeddedCore::Commit(const std::string& key, const Record& record,
                                  EmbeddedBody& body) {
  CHECK_OK(CheckAcceptable(key, record));
  TRY(const uint64_t size, io::SizeOf(body.file()->get()));
  if (size != record.body_size) {
    return Error(Code::kCorruption, "the body has another size than announced",
                 std::to_string(size) + " of " + std::to_string(record.body_size) + " bytes");
  }
  StoredEntry entry;
  entry.record = record;
  entry.epoch = epoch_;
  entry.head.body_size = size;
  entry.head.is_inline = size <= options_.inline_threshold;

  std::string bytes;                    // of an inline body
  std::unique_ptr<EmbeddedBody> moved;  // a file for what outgrew its memory
  EmbeddedBody* file = &body;
  if (entry.head.is_inline) {
    TRY(bytes, io::ReadAt(body.file()->get(), 0, size));
    if (HashOf(bytes) != record.body_hash) {
      return Error(Code::kCorruption, "the body has another checksum than announced");
    }
    entry.head.body_id = BodyFiles::NewId();
  } else {
    if (body.id() == 0) {
      TRY(BodyFiles::Created created, bodies_->Create());
      moved = std::make_unique<EmbeddedBody>(bodies_, std::move(created));
      file = moved.get();
      constexpr uint64_t kStep = 1 << 20;
      for (uint64_t at = 0; at < size; at += kStep) {
        TRY(const std::string part, io::ReadAt(body.file()->get(), at, std::min(kStep, size - at)));
        CHECK_OK(files_.WriteAt(file->file()->get(), part, at));
      }
    }
    entry.head.body_id = file->id();
    if (options_.durability != Durability::kNone) {
      BodyFiles::Created synced;
      synced.id = file->id();
      synced.file = file->file();
      CHECK_OK(bodies_->Sync(synced, options_.durability == Durability::kFull));
    }
  }

  std::optional<std::string> old;
  {
    MutexLock lock(StripeOf(key));
    TRY(old, db_->Get(Table::kEntry, key));
    IndexDb::Batch batch(*db_);
    if (old) RemoveRows(batch, key, *old);
    AddRows(batch, key, entry);
    if (entry.head.is_inline) batch.Put(Table::kInline, BodyIdRow(entry.head.body_id), bytes);
    CHECK_OK(db_->Write(batch, syncs_log()));
    NoteCreated(record.created_ms);
    index_->Put(key, ToIndex(entry));
  }
  if (!entry.head.is_inline) file->Release();
  if (old) DiscardBodyOf(*old);
  return {};
}

Result<std::optional<Found>> EmbeddedCore::Get(const std::string& key) {
  for (int i = 0; i < kMaxLookups; ++i) {
    TRY(const std::optional<std::string> row, db_->Get(Table::kEntry, key));
    if (!row) return std::optional<Found>();
    Result<StoredEntry> decoded = DecodeEntry(*row);
    if (!decoded.ok()) {
      if (decoded.error().code == Code::kUnsupported) {
        lost_.version.Add();
      } else {
        (void)DropIfCurrent(key, DecodeHead(*row).value_or(EntryHead()).body_id, Why::kDamaged);
      }
      return std::optional<Found>();
    }
    StoredEntry entry = std::move(*decoded);
    bool retry = false;
    const bool is_inline = entry.head.is_inline;
    Result<std::optional<Found>> found = is_inline ? ReadInline(key, std::move(entry), retry)
                                                   : ReadFile(key, std::move(entry), retry);
    if (!retry) return found;
  }
  return Error(Code::kUnavailable, "the store is busy",
               "the entry kept changing while it was read");
}

Result<std::optional<Found>> EmbeddedCore::ReadInline(const std::string& key, StoredEntry entry,
                                                      bool& retry) {
  const uint64_t id = entry.head.body_id;
  TRY(std::optional<std::string> bytes, db_->Get(Table::kInline, BodyIdRow(id)));
  const Record& record = entry.record;
  if (!bytes || bytes->size() != record.body_size || HashOf(*bytes) != record.body_hash) {
    const Why why = !bytes                              ? Why::kMissing
                    : bytes->size() != record.body_size ? Why::kWrongSize
                                                        : Why::kChecksum;
    retry = !DropIfCurrent(key, id, why);
    return std::optional<Found>();
  }
  Found found;
  found.body.size = record.body_size;
  found.body.memory = std::make_shared<const std::string>(std::move(*bytes));
  found.record = std::move(entry.record);
  return std::optional<Found>(std::move(found));
}

Result<std::optional<Found>> EmbeddedCore::ReadFile(const std::string& key, StoredEntry entry,
                                                    bool& retry) {
  const uint64_t id = entry.head.body_id;
  Result<SharedFd> file = bodies_->OpenToRead(id, entry.record.body_size);
  if (!file.ok()) {
    const Code code = file.error().code;
    if (code != Code::kNotFound && code != Code::kCorruption) return std::move(file).error();
    retry = !DropIfCurrent(key, id, code == Code::kNotFound ? Why::kMissing : Why::kWrongSize);
    return std::optional<Found>();
  }
  // Erased while we opened it: ours to read, but not to keep.
  const std::optional<IndexEntry> current = index_->Find(key);
  if (!current || current->body_id != id) bodies_->Forget(id);

  const bool is_suspect = entry.epoch <= suspect_epoch_;
  const bool in_memory = entry.record.body_size <= options_.memory_threshold;
  Found found;
  if (in_memory || is_suspect || IsSampled()) {
    auto bytes = std::make_shared<std::string>();
    TRY(const std::optional<Hash128> hash,
        HashOfFile((*file)->get(), entry.record.body_size, in_memory ? bytes.get() : nullptr));
    if (hash != entry.record.body_hash) {
      retry = !DropIfCurrent(key, id, Why::kChecksum);
      return std::optional<Found>();
    }
    verified_.Add();
    if (is_suspect) MarkVerified(key, id);
    if (in_memory) found.body.memory = std::move(bytes);
  }
  found.body.size = entry.record.body_size;
  if (!in_memory) found.body.file = std::move(*file);
  found.record = std::move(entry.record);
  return std::optional<Found>(std::move(found));
}

bool EmbeddedCore::IsSampled() {
  const uint64_t percent = options_.verify_on_read;
  const uint64_t n = file_reads_.fetch_add(1, std::memory_order_relaxed);
  return n * percent % 100 < percent;
}

void EmbeddedCore::MarkVerified(const std::string& key, uint64_t body_id) {
  MutexLock lock(StripeOf(key));
  Result<std::optional<std::string>> row = db_->Get(Table::kEntry, key);
  if (!row.ok() || !*row) return;
  const std::optional<EntrySummary> summary = DecodeSummary(**row);
  if (!summary || summary->head.body_id != body_id) return;
  PatchEpoch(**row, epoch_);
  IndexDb::Batch batch(*db_);
  batch.Put(Table::kEntry, key, **row);
  // Failing means only that it is verified again.
  (void)db_->Write(batch, false).ok();
}

bool EmbeddedCore::DropIfCurrent(const std::string& key, uint64_t body_id, Why why) {
  std::optional<std::string> row;
  {
    MutexLock lock(StripeOf(key));
    Result<std::optional<std::string>> read = db_->Get(Table::kEntry, key);
    if (!read.ok()) return true;
    row = std::move(*read);
    if (!row || DecodeHead(*row).value_or(EntryHead()).body_id != body_id) return false;
    Result<void> erased = EraseRow(key, *row);
    if (!erased.ok()) {
      LogWarn("kv.drop_failed", {{"key", key}, {"error", erased.error().ToLogString()}});
      return true;
    }
  }
  DiscardBodyOf(*row);
  CounterOf(why).Add();
  LogWarn("kv.dropped", {{"key", key}, {"reason", NameOf(why)}});
  return true;
}

Result<bool> EmbeddedCore::Touch(const std::string& key, const Hash128& body_hash,
                                 const std::string& metadata, int64_t expires_ms) {
  MutexLock lock(StripeOf(key));
  TRY(const std::optional<std::string> row, db_->Get(Table::kEntry, key));
  if (!row) return false;
  Result<StoredEntry> entry = DecodeEntry(*row);
  if (!entry.ok() || entry->record.body_hash != body_hash) return false;
  const int64_t old_expires_ms = entry->record.expires_ms;
  entry->record.metadata = metadata;
  entry->record.expires_ms = expires_ms;
  CHECK_OK(CheckAcceptable(key, entry->record));
  IndexDb::Batch batch(*db_);
  if (old_expires_ms != 0) batch.Delete(Table::kExpiry, ExpiryRow(old_expires_ms, key));
  if (expires_ms != 0) batch.Put(Table::kExpiry, ExpiryRow(expires_ms, key), {});
  batch.Put(Table::kEntry, key, EncodeEntry(*entry));
  CHECK_OK(db_->Write(batch, syncs_log()));
  index_->Put(key, ToIndex(*entry));
  return true;
}

Result<bool> EmbeddedCore::Erase(const std::string& key) {
  std::optional<std::string> row;
  {
    MutexLock lock(StripeOf(key));
    TRY(row, db_->Get(Table::kEntry, key));
    if (!row) return false;
    CHECK_OK(EraseRow(key, *row));
  }
  DiscardBodyOf(*row);
  return true;
}

Result<void> EmbeddedCore::EraseRow(const std::string& key, const std::string& row) {
  IndexDb::Batch batch(*db_);
  RemoveRows(batch, key, row);
  CHECK_OK(db_->Write(batch, syncs_log()));
  index_->Erase(key);
  return {};
}

void EmbeddedCore::DiscardBodyOf(const std::string& row) {
  const std::optional<EntryHead> head = DecodeHead(row);
  if (head && !head->is_inline) bodies_->Discard(head->body_id);
}

Counter& EmbeddedCore::CounterOf(Why why) {
  switch (why) {
    case Why::kMissing:
      return lost_.missing;
    case Why::kWrongSize:
      return lost_.wrong_size;
    case Why::kChecksum:
      return lost_.checksum;
    case Why::kDamaged:
      return lost_.damaged;
  }
  return lost_.damaged;
}

const char* EmbeddedCore::NameOf(Why why) {
  switch (why) {
    case Why::kMissing:
      return "missing";
    case Why::kWrongSize:
      return "size";
    case Why::kChecksum:
      return "checksum";
    case Why::kDamaged:
      return "damaged";
  }
  return "damaged";
}

Result<std::vector<std::string>> EmbeddedCore::ReapExpired(int64_t before_ms, size_t limit) {
  struct Due {
    std::string key;
    int64_t expires_ms;
  };
  std::vector<Due> due;
  CHECK_OK(db_->Scan(Table::kExpiry, {}, [&](std::string_view row, std::string_view) {
    const std::optional<ExpiryRowParts> parts = ParseExpiryRow(row);
    if (!parts) return true;
    if (parts->expires_ms >= before_ms || due.size() == limit) return false;
    const std::optional<IndexEntry> entry = index_->Find(parts->key);
    // What a newer program stored is its to reap.
    if (!entry || entry->is_readable)
      due.push_back(Due{std::string(parts->key), parts->expires_ms});
    return true;
  }));
  std::vector<std::string> reaped;
  for (const Due& d : due) {
    std::optional<std::string> row;
    bool is_erased = false;
    {
      MutexLock lock(StripeOf(d.key));
      TRY(row, db_->Get(Table::kEntry, d.key));
      const std::optional<EntrySummary> summary = row ? DecodeSummary(*row) : std::nullopt;
      if (summary && summary->expires_ms == d.expires_ms) {
        CHECK_OK(EraseRow(d.key, *row));
        is_erased = true;
      } else {
        // Of an entry that has another expiry by now, or is gone.
        IndexDb::Batch batch(*db_);
        batch.Delete(Table::kExpiry, ExpiryRow(d.expires_ms, d.key));
        CHECK_OK(db_->Write(batch, false));
      }
    }
    if (!is_erased) continue;
    DiscardBodyOf(*row);
    lost_.expired.Add();
    reaped.push_back(d.key);
  }
  return reaped;
}

}  // namespace vr::kv
