// Opening and closing the embedded store: whose directory it is, whether the last stop was clean,
// and what in it belongs together (docs/formats/store.md §1, §5).
#include <unistd.h>

#include <algorithm>

#include "kv/data_dir.h"
#include "kv/embedded_core.h"
#include "observe/log.h"

namespace vr::kv {
namespace {

Counter LostCounter(Metrics& metrics, const char* reason) {
  return metrics.GetCounter("video_resizer_kv_dropped_total",
                            "Entries and files the store dropped or refused to read, by reason",
                            {{"reason", reason}});
}

}  // namespace

EmbeddedCore::EmbeddedCore(const Options& options, Metrics& metrics, io::Files& files)
    : options_(options),
      files_(files),
      lost_{LostCounter(metrics, "orphan"),  LostCounter(metrics, "missing"),
            LostCounter(metrics, "size"),    LostCounter(metrics, "checksum"),
            LostCounter(metrics, "version"), LostCounter(metrics, "damaged"),
            LostCounter(metrics, "expired")},
      verified_(metrics.GetCounter("video_resizer_kv_verified_total",
                                   "Bodies in files whose checksum was compared on a read")) {}

Result<std::unique_ptr<EmbeddedCore>> EmbeddedCore::Open(const Options& options,
                                                         io::Blocking& blocking, Metrics& metrics,
                                                         io::Files& files,
                                                         rocksdb::Env* index_env) {
  std::unique_ptr<EmbeddedCore> core(new EmbeddedCore(options, metrics, files));
  Result<void> opened = core->OpenAll(blocking, index_env);
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

Result<void> EmbeddedCore::OpenAll(io::Blocking& blocking, rocksdb::Env* index_env) {
  CHECK_OK(io::MakeDirectory(options_.data_dir));
  TRY(lock_, LockDataDir(options_.data_dir, files_));
  CHECK_OK(EnsureLayout(options_.data_dir, files_));
  TRY(db_, IndexDb::Open(options_.data_dir + "/index", options_.index_cache_bytes, index_env));
  TRY(bodies_,
      BodyFiles::Open(options_.data_dir + "/bodies", options_.open_bodies, blocking, files_));
  // Whatever is synced below them from now on can be found only if they can.
  CHECK_OK(files_.SyncDirectory(options_.data_dir));
  TRY(const bool was_clean, BeginRun());
  CHECK_OK(LoadIndex());
  TRY(const std::vector<Journal::Row> pending, PendingIntents());
  if (!pending.empty()) next_intent_ = pending.back().id + 1;
  CHECK_OK(Reconcile(was_clean));
  is_open_ = true;
  return {};
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
      NoteCreated(summary->created_ms);
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
  std::sort(wanted.begin(), wanted.end(),
            [](const Wanted& a, const Wanted& b) { return a.id < b.id; });
  // After a clean stop sizes are checked when a body is opened; saves a stat per file.
  TRY(const std::vector<BodyOnDisk> present, bodies_->List(!was_clean));

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

}  // namespace vr::kv
