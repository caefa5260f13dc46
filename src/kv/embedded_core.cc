#include "kv/embedded_core.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "observe/log.h"

namespace vr::kv {
namespace {

constexpr std::string_view kLayout = "video-resizer store 1\n";
constexpr std::string_view kEpochRow = "epoch";
constexpr std::string_view kSuspectRow = "suspect-epoch";
constexpr std::string_view kCleanRow = "clean";
constexpr size_t kMaxPage = 10'000;
/// A body replaced while we look for it is looked up again; so often in a row it is not chance.
constexpr int kMaxLookups = 16;

IndexEntry ToIndex(const StoredEntry& e) {
  IndexEntry out;
  out.body_id = e.head.body_id;
  out.body_size = e.record.body_size;
  out.expires_ms = e.record.expires_ms;
  out.digest = e.record.digest;
  out.metadata_size = static_cast<uint32_t>(e.record.metadata.size());
  out.is_inline = e.head.is_inline;
  return out;
}

Counter LostCounter(Metrics& metrics, const char* reason) {
  return metrics.GetCounter("video_resizer_kv_dropped_total",
                            "Entries and files the store dropped or refused to read, by reason",
                            {{"reason", reason}});
}

}  // namespace

EmbeddedCore::EmbeddedCore(const Options& options, Metrics& metrics, io::Files& files)
    : options_(options),
      files_(files),
      lost_{LostCounter(metrics, "orphan"),   LostCounter(metrics, "missing"),
            LostCounter(metrics, "size"),     LostCounter(metrics, "checksum"),
            LostCounter(metrics, "version"),  LostCounter(metrics, "damaged"),
            LostCounter(metrics, "expired")} {}

Result<std::unique_ptr<EmbeddedCore>> EmbeddedCore::Open(const Options& options,
                                                         io::Blocking& blocking, Metrics& metrics,
                                                         io::Files& files) {
  std::unique_ptr<EmbeddedCore> core(new EmbeddedCore(options, metrics, files));
  Result<void> opened = core->OpenAll(blocking);
  if (!opened.ok()) return std::move(opened).error().In("opening the store in " + options.data_dir);
  return core;
}

EmbeddedCore::~EmbeddedCore() {
  if (bodies_) bodies_->Close();
  if (!is_open_) return;
  // Without durability nothing has been synced yet, and the mark vouches for the bodies.
  if (options_.durability == Durability::kNone && ::syncfs(lock_.get()) != 0) return;
  IndexDb::Batch batch(*db_);
  batch.Put(Table::kStats, kCleanRow, EncodeU32(epoch_));
  Result<void> written = db_->Write(batch, true);
  if (!written.ok()) LogWarn("kv.close_failed", {{"error", written.error().ToLogString()}});
}

Result<void> EmbeddedCore::OpenAll(io::Blocking& blocking) {
  CHECK_OK(io::MakeDirectory(options_.data_dir));
  CHECK_OK(LockDirectory());
  CHECK_OK(CheckLayout());
  TRY(db_, IndexDb::Open(options_.data_dir + "/index", options_.index_cache_bytes));
  TRY(bodies_, BodyFiles::Open(options_.data_dir + "/bodies", options_.open_bodies, blocking, files_));
  TRY(const bool was_clean, BeginRun());
  CHECK_OK(LoadIndex());
  CHECK_OK(Reconcile(was_clean));
  is_open_ = true;
  return {};
}

Result<void> EmbeddedCore::LockDirectory() {
  const std::string path = options_.data_dir + "/lock";
  TRY(lock_, files_.Open(path, O_RDWR | O_CREAT));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, "flock " + path);
    char pid[24] = {};
    const ssize_t n = ::pread(lock_.get(), pid, sizeof pid - 1, 0);
    std::string owner = n > 0 ? std::string(pid, static_cast<size_t>(n)) : "unknown";
    if (owner.ends_with('\n')) owner.pop_back();
    return Error(Code::kUnavailable, "the data directory is in use by another process",
                 options_.data_dir + " is locked by process " + owner);
  }
  if (::ftruncate(lock_.get(), 0) != 0) return ErrnoError(errno, "truncate " + path);
  return files_.WriteAt(lock_.get(), std::to_string(::getpid()) + "\n", 0);
}

Result<void> EmbeddedCore::CheckLayout() {
  const std::string path = options_.data_dir + "/version";
  Result<UniqueFd> existing = files_.Open(path, O_RDONLY);
  if (existing.ok()) {
    TRY(const uint64_t size, io::SizeOf(existing->get()));
    TRY(std::string text, io::ReadAt(existing->get(), 0, std::min<uint64_t>(size, 256)));
    if (text == kLayout) return {};
    if (text.ends_with('\n')) text.pop_back();
    return Error(Code::kUnsupported, "the data directory has a layout this version does not know",
                 path + " says \"" + text + "\", this program reads layout 1");
  }
  if (existing.error().code != Code::kNotFound) return std::move(existing).error();
  struct stat st {};
  if (::stat((options_.data_dir + "/index").c_str(), &st) == 0) {
    return Error(Code::kUnsupported, "the data directory has a layout this version does not know",
                 options_.data_dir + " has an index but no file \"version\"");
  }
  // Whole or absent: written aside, then renamed.
  const std::string aside = path + ".new";
  TRY(const UniqueFd fd, files_.Open(aside, O_WRONLY | O_CREAT | O_TRUNC));
  CHECK_OK(files_.WriteAt(fd.get(), kLayout, 0));
  CHECK_OK(files_.Sync(fd.get()));
  if (::rename(aside.c_str(), path.c_str()) != 0) return ErrnoError(errno, "rename " + aside);
  TRY(const UniqueFd folder, files_.Open(options_.data_dir, O_RDONLY | O_DIRECTORY));
  return files_.Sync(folder.get());
}

Result<bool> EmbeddedCore::BeginRun() {
  const auto number = [this](std::string_view row) -> Result<std::optional<uint32_t>> {
    TRY(const std::optional<std::string> value, db_->Get(Table::kStats, row));
    return value ? DecodeU32(*value) : std::optional<uint32_t>();
  };
  TRY(const std::optional<uint32_t> last, number(kEpochRow));
  TRY(const std::optional<uint32_t> suspect, number(kSuspectRow));
  TRY(const std::optional<uint32_t> clean, number(kCleanRow));
  const bool was_clean = !last || clean == last;
  epoch_ = last.value_or(0) + 1;
  suspect_epoch_ = was_clean ? suspect.value_or(0) : *last;
  IndexDb::Batch batch(*db_);
  batch.Put(Table::kStats, kEpochRow, EncodeU32(epoch_));
  batch.Put(Table::kStats, kSuspectRow, EncodeU32(suspect_epoch_));
  batch.Delete(Table::kStats, kCleanRow);
  CHECK_OK(db_->Write(batch, true));
  return was_clean;
}

Result<void> EmbeddedCore::LoadIndex() {
  std::vector<std::string> damaged;
  CHECK_OK(db_->Scan(Table::kEntry, {}, [&](std::string_view key, std::string_view row) {
    const std::optional<EntryHead> head = DecodeHead(row);
    const std::optional<EntrySummary> summary = DecodeSummary(row);
    const bool is_ours = head && head->version == kEntryVersion;
    if (!head || (is_ours && !summary)) {
      damaged.emplace_back(key);
      return true;
    }
    IndexEntry entry;
    entry.body_id = head->body_id;
    entry.body_size = head->body_size;
    entry.is_inline = head->is_inline;
    entry.is_readable = is_ours;
    if (summary) {
      entry.expires_ms = summary->expires_ms;
      entry.digest = summary->digest;
      entry.metadata_size = summary->metadata_size;
    }
    index_->Put(key, entry);
    return true;
  }));
  for (const std::string& key : damaged) {
    IndexDb::Batch batch(*db_);
    batch.Delete(Table::kEntry, key);
    CHECK_OK(db_->Write(batch, false));
    lost_.damaged.Add();
  }
  return {};
}

Result<void> EmbeddedCore::Reconcile(bool was_clean) {
  struct Wanted {
    uint64_t id;
    uint64_t size;
    std::string key;
    bool is_readable;
  };
  std::vector<Wanted> wanted;
  index_->ForEach([&](const std::string& key, const IndexEntry& e) {
    if (!e.is_inline) wanted.push_back(Wanted{e.body_id, e.body_size, key, e.is_readable});
  });
  std::sort(wanted.begin(), wanted.end(), [](const Wanted& a, const Wanted& b) { return a.id < b.id; });
  // After a clean stop sizes are checked when a body is opened; saves a stat per file.
  TRY(const std::vector<BodyFiles::OnDisk> present, bodies_->List(!was_clean));

  std::vector<uint64_t> orphans;
  auto file = present.begin();
  for (const Wanted& want : wanted) {
    for (; file != present.end() && file->id < want.id; ++file) orphans.push_back(file->id);
    const bool is_there = file != present.end() && file->id == want.id;
    const bool has_size = is_there && (was_clean || file->size == want.size);
    // What a newer program stored is neither judged nor removed by us.
    if (!has_size && want.is_readable) {
      (void)DropIfCurrent(want.key, want.id, is_there ? Why::kWrongSize : Why::kMissing);
    }
    if (is_there) ++file;
  }
  for (; file != present.end(); ++file) orphans.push_back(file->id);
  // The list was made before anybody could create a body, so none that is being written is on it.
  lost_.orphan.Add(static_cast<double>(orphans.size()));
  bodies_->Discard(orphans);
  const Usage usage = index_->usage();
  LogInfo("kv.opened", {{"dir", options_.data_dir},
                        {"entries", usage.entries},
                        {"bytes", usage.bytes},
                        {"orphans", orphans.size()},
                        {"clean", was_clean}});
  return {};
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
    return Error(Code::kResourceExhausted, "the store's disk is full",
                 std::to_string(space.free) + " bytes free, " + std::to_string(reserve) + " reserved");
  }
  if (size_hint != 0 && size_hint <= options_.inline_threshold) {
    TRY(UniqueFd memory, io::MemoryFile("vr-body"));
    auto shared = std::make_shared<const UniqueFd>(std::move(memory));
    return std::unique_ptr<NewBody>(std::make_unique<EmbeddedBody>(bodies_, std::move(shared)));
  }
  TRY(BodyFiles::Created created, bodies_->Create());
  return std::unique_ptr<NewBody>(std::make_unique<EmbeddedBody>(bodies_, std::move(created)));
}

Result<void> EmbeddedCore::Commit(const std::string& key, const Record& record, EmbeddedBody& body) {
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

  std::string bytes;                       // of an inline body
  std::unique_ptr<EmbeddedBody> moved;     // a file for what outgrew its memory
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
  return Error(Code::kUnavailable, "the store is busy", "the entry kept changing while it was read");
}

Result<std::optional<Found>> EmbeddedCore::ReadInline(const std::string& key, StoredEntry entry,
                                                      bool& retry) {
  const uint64_t id = entry.head.body_id;
  TRY(std::optional<std::string> bytes, db_->Get(Table::kInline, BodyIdRow(id)));
  const Record& record = entry.record;
  if (!bytes || bytes->size() != record.body_size || HashOf(*bytes) != record.body_hash) {
    const Why why = !bytes                               ? Why::kMissing
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

  if (entry.epoch <= suspect_epoch_) {
    TRY(const bool is_whole, BodyIsWhole((*file)->get(), entry.record));
    if (!is_whole) {
      retry = !DropIfCurrent(key, id, Why::kChecksum);
      return std::optional<Found>();
    }
    MarkVerified(key, id);
  }
  Found found;
  found.body.size = entry.record.body_size;
  found.body.file = std::move(*file);
  found.record = std::move(entry.record);
  return std::optional<Found>(std::move(found));
}

Result<bool> EmbeddedCore::BodyIsWhole(int fd, const Record& record) const {
  Hasher hasher;
  constexpr uint64_t kStep = 1 << 20;
  for (uint64_t at = 0; at < record.body_size; at += kStep) {
    TRY(const std::string part, io::ReadAt(fd, at, std::min(kStep, record.body_size - at)));
    hasher.Update(part);
  }
  return hasher.Finish() == record.body_hash;
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

Result<bool> EmbeddedCore::Touch(const std::string& key, const std::string& metadata,
                                 int64_t expires_ms) {
  MutexLock lock(StripeOf(key));
  TRY(const std::optional<std::string> row, db_->Get(Table::kEntry, key));
  if (!row) return false;
  Result<StoredEntry> entry = DecodeEntry(*row);
  if (!entry.ok()) return false;
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

void EmbeddedCore::AddRows(IndexDb::Batch& batch, const std::string& key,
                           const StoredEntry& entry) const {
  const Record& r = entry.record;
  batch.Put(Table::kEntry, key, EncodeEntry(entry));
  for (const std::string& tag : r.tags) batch.Put(Table::kTag, NamedRow(tag, key), {});
  if (!r.source.empty()) batch.Put(Table::kSource, NamedRow(r.source, key), {});
  if (r.expires_ms != 0) batch.Put(Table::kExpiry, ExpiryRow(r.expires_ms, key), {});
}

void EmbeddedCore::RemoveRows(IndexDb::Batch& batch, const std::string& key,
                              const std::string& row) const {
  batch.Delete(Table::kEntry, key);
  if (const std::optional<EntryHead> head = DecodeHead(row); head && head->is_inline) {
    batch.Delete(Table::kInline, BodyIdRow(head->body_id));
  }
  Result<StoredEntry> entry = DecodeEntry(row);
  // Rows of an entry we cannot read stay behind; listings check every row against its entry.
  if (!entry.ok()) return;
  const Record& r = entry->record;
  for (const std::string& tag : r.tags) batch.Delete(Table::kTag, NamedRow(tag, key));
  if (!r.source.empty()) batch.Delete(Table::kSource, NamedRow(r.source, key));
  if (r.expires_ms != 0) batch.Delete(Table::kExpiry, ExpiryRow(r.expires_ms, key));
}

void EmbeddedCore::DiscardBodyOf(const std::string& row) {
  const std::optional<EntryHead> head = DecodeHead(row);
  if (head && !head->is_inline) bodies_->Discard(head->body_id);
}

Counter& EmbeddedCore::CounterOf(Why why) {
  switch (why) {
    case Why::kMissing: return lost_.missing;
    case Why::kWrongSize: return lost_.wrong_size;
    case Why::kChecksum: return lost_.checksum;
    case Why::kDamaged: return lost_.damaged;
  }
  return lost_.damaged;
}

const char* EmbeddedCore::NameOf(Why why) {
  switch (why) {
    case Why::kMissing: return "missing";
    case Why::kWrongSize: return "size";
    case Why::kChecksum: return "checksum";
    case Why::kDamaged: return "damaged";
  }
  return "damaged";
}

Result<Page> EmbeddedCore::ListByPrefix(const std::string& prefix, const std::string& cursor,
                                        size_t limit) {
  limit = std::clamp<size_t>(limit, 1, kMaxPage);
  Page page;
  bool has_more = false;
  const std::string& from = std::max(prefix, cursor);
  CHECK_OK(db_->Scan(Table::kEntry, from, [&](std::string_view key, std::string_view row) {
    if (!key.starts_with(prefix)) return false;
    if (key == cursor) return true;  // the last one of the page before
    Result<StoredEntry> entry = DecodeEntry(row);
    if (!entry.ok()) return true;
    has_more = page.rows.size() == limit;
    if (!has_more) page.rows.push_back(Listed{std::string(key), std::move(entry->record)});
    return !has_more;
  }));
  if (has_more) page.cursor = page.rows.back().key;
  return page;
}

Result<Page> EmbeddedCore::ListByName(Table table, const std::string& name, const std::string& cursor,
                                      size_t limit) {
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
    if (!entry.ok()) return true;
    const Record& r = entry->record;
    const bool belongs = table == Table::kSource
                             ? r.source == name
                             : std::find(r.tags.begin(), r.tags.end(), name) != r.tags.end();
    if (!belongs) return true;
    has_more = page.rows.size() == limit;
    if (!has_more) page.rows.push_back(Listed{std::move(key), std::move(entry->record)});
    return !has_more;
  }));
  if (failure) return std::move(*failure);
  if (has_more) page.cursor = page.rows.back().key;
  return page;
}

Result<size_t> EmbeddedCore::ReapExpired(int64_t before_ms, size_t limit) {
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
    if (!entry || entry->is_readable) due.push_back(Due{std::string(parts->key), parts->expires_ms});
    return true;
  }));
  size_t reaped = 0;
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
    ++reaped;
  }
  return reaped;
}

}  // namespace vr::kv
