#include "kv/fsck.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "kv/body_files.h"
#include "kv/data_dir.h"
#include "kv/entry_codec.h"
#include "kv/entry_rows.h"
#include "kv/index_db.h"

namespace vr::kv {
namespace {

constexpr uint64_t kIndexCache = 16 << 20;
constexpr size_t kRowsPerBatch = 1000;

/// Bytes as text: what is not printable ASCII is shown as \xNN.
std::string Shown(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    if (c >= ' ' && c < 0x7f) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    out += "\\x";
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

/// The entry that a row of `tag`, `source` or `expiry` leads to, and what it claims of it.
struct Claim {
  std::string_view key;
  std::string_view name;
  int64_t expires_ms = 0;
};

std::optional<Claim> ParseRow(Table table, std::string_view row) {
  Claim claim;
  if (table == Table::kExpiry) {
    const std::optional<ExpiryRowParts> parts = ParseExpiryRow(row);
    if (!parts) return std::nullopt;
    claim.key = parts->key;
    claim.expires_ms = parts->expires_ms;
    return claim;
  }
  const size_t nul = row.find('\0');
  if (nul == std::string_view::npos) return std::nullopt;
  claim.name = row.substr(0, nul);
  claim.key = row.substr(nul + 1);
  return claim;
}

bool IsTrue(Table table, const Claim& claim, const Record& r) {
  if (table == Table::kExpiry) return r.expires_ms == claim.expires_ms;
  if (table == Table::kSource) return r.source == claim.name;
  return std::find(r.tags.begin(), r.tags.end(), claim.name) != r.tags.end();
}

class Inspection {
 public:
  Inspection(const FsckOptions& options, io::Files& files)
      : options_(options), files_(files), bodies_(options.data_dir + "/bodies") {}

  Result<FsckReport> Run() {
    CHECK_OK(CheckLayout(options_.data_dir, files_));
    TRY(const UniqueFd lock, LockDataDir(options_.data_dir, files_));
    const std::string index = options_.data_dir + "/index";
    TRY(db_, options_.repair ? IndexDb::Open(index, kIndexCache)
                             : IndexDb::OpenReadOnly(index, kIndexCache));
    TRY(on_disk_, ListBodies(bodies_, true));
    is_used_.resize(on_disk_.size());
    report_.body_files = on_disk_.size();
    CHECK_OK(CheckStop());
    CHECK_OK(CheckEntries());
    for (const Table table : {Table::kTag, Table::kSource, Table::kExpiry}) {
      CHECK_OK(CheckRows(table));
    }
    CHECK_OK(CheckInline());
    CHECK_OK(CheckFiles());
    CHECK_OK(CheckJournal());
    return std::move(report_);
  }

 private:
  void Note(Flaw flaw, std::string_view where, std::string detail, bool is_repaired) {
    ++report_.counts[flaw];
    if (is_repaired && options_.repair) ++report_.repaired;
    if (report_.findings.size() < options_.max_findings) {
      report_.findings.push_back(Finding{flaw, Shown(where), std::move(detail)});
    }
  }

  /// Changes go out in batches; without repair there are none.
  Result<void> Flush(bool is_last) {
    if (batch_->empty()) return {};
    if (!options_.repair) {
      batch_ = std::make_unique<IndexDb::Batch>(*db_);
      return {};
    }
    if (!is_last && ++changes_ < kRowsPerBatch) return {};
    CHECK_OK(db_->Write(*batch_, is_last));
    batch_ = std::make_unique<IndexDb::Batch>(*db_);
    changes_ = 0;
    return {};
  }

  Result<void> CheckStop() {
    batch_ = std::make_unique<IndexDb::Batch>(*db_);
    TRY(const std::optional<std::string> epoch, db_->Get(Table::kStats, kEpochRow));
    TRY(const std::optional<std::string> clean, db_->Get(Table::kStats, kCleanRow));
    report_.was_clean_stop = clean == epoch;
    return {};
  }

  Result<void> CheckEntries() {
    std::optional<Error> failure;
    CHECK_OK(db_->Scan(Table::kEntry, {}, [&](std::string_view key, std::string_view row) {
      Result<void> checked = CheckEntry(key, row);
      if (checked.ok()) checked = Flush(false);
      if (!checked.ok()) failure = std::move(checked).error();
      return !failure;
    }));
    if (failure) return std::move(*failure);
    std::sort(inline_ids_.begin(), inline_ids_.end());
    return Flush(true);
  }

  Result<void> CheckEntry(std::string_view key, std::string_view row) {
    Result<StoredEntry> entry = DecodeEntry(row);
    if (!entry.ok() && entry.error().code == Code::kUnsupported) {
      ++report_.newer_entries;
      // Its body is not an orphan, wherever it is.
      const EntryHead head = DecodeHead(row).value_or(EntryHead());
      if (const auto file = FileOf(head.body_id)) is_used_[*file] = true;
      inline_ids_.push_back(head.body_id);
      return {};
    }
    ++report_.entries;
    if (!entry.ok()) {
      Drop(Flaw::kEntryDamaged, key, row, entry.error().detail);
      return {};
    }
    report_.bytes += entry->record.body_size + entry->record.metadata.size();
    if (options_.check_metadata) {
      Result<void> read = options_.check_metadata(entry->record.metadata);
      if (!read.ok() && read.error().code != Code::kUnsupported) {
        Drop(Flaw::kMetadata, key, row, read.error().detail);
        return {};
      }
    }
    Result<bool> has_body =
        entry->head.is_inline ? CheckInlineBody(key, row, *entry) : CheckFileBody(key, row, *entry);
    if (!has_body.ok()) return std::move(has_body).error();
    if (!*has_body) return {};
    for (const auto& [table, wanted] : FindingRows(key, entry->record)) {
      TRY(const std::optional<std::string> found, db_->Get(table, wanted));
      if (found) continue;
      Note(Flaw::kIndexMissing, key, Shown(wanted.substr(0, wanted.find('\0'))), true);
      batch_->Put(table, wanted, {});
    }
    return {};
  }

  void Drop(Flaw flaw, std::string_view key, std::string_view row, std::string detail) {
    Note(flaw, key, std::move(detail), true);
    RemoveRows(*batch_, key, row);
    // Its rows and its file, which nobody names then, are found once more on the way; they are part
    // of this flaw.
    if (const std::optional<EntryHead> head = DecodeHead(row)) dropped_.push_back(head->body_id);
  }

  Result<bool> CheckInlineBody(std::string_view key, std::string_view row, const StoredEntry& e) {
    TRY(const std::optional<std::string> bytes,
        db_->Get(Table::kInline, BodyIdRow(e.head.body_id)));
    inline_ids_.push_back(e.head.body_id);
    if (!bytes) {
      Drop(Flaw::kBodyMissing, key, row, "not in the index");
      return false;
    }
    if (bytes->size() != e.record.body_size) {
      Drop(Flaw::kBodySize, key, row, SizesOf(bytes->size(), e.record.body_size));
      return false;
    }
    ++report_.verified;
    report_.verified_bytes += bytes->size();
    if (HashOf(*bytes) == e.record.body_hash) return true;
    Drop(Flaw::kBodyChecksum, key, row, "in the index");
    return false;
  }

  Result<bool> CheckFileBody(std::string_view key, std::string_view row, const StoredEntry& e) {
    const std::optional<size_t> file = FileOf(e.head.body_id);
    const std::string path = BodyPath(bodies_, e.head.body_id);
    if (!file) {
      Drop(Flaw::kBodyMissing, key, row, path);
      return false;
    }
    if (is_used_[*file]) {
      // The other one is whole, or at least as good; its file stays.
      Note(Flaw::kBodyShared, key, path, true);
      RemoveRows(*batch_, key, row);
      return false;
    }
    if (on_disk_[*file].size != e.record.body_size) {
      Drop(Flaw::kBodySize, key, row,
           path + ": " + SizesOf(on_disk_[*file].size, e.record.body_size));
      return false;
    }
    is_used_[*file] = true;
    if (options_.quick) return true;
    TRY(const bool is_whole, IsWhole(path, e.record));
    if (is_whole) return true;
    is_used_[*file] = false;
    Drop(Flaw::kBodyChecksum, key, row, path);
    return false;
  }

  Result<bool> IsWhole(const std::string& path, const Record& record) {
    TRY(const UniqueFd fd, files_.Open(path, O_RDONLY));
    ++report_.verified;
    report_.verified_bytes += record.body_size;
    TRY(const std::optional<Hash128> hash, HashOfFile(fd.get(), record.body_size));
    return hash == record.body_hash;
  }

  Result<void> CheckRows(Table table) {
    std::optional<Error> failure;
    CHECK_OK(db_->Scan(table, {}, [&](std::string_view row, std::string_view) {
      ++report_.index_rows;
      Result<bool> good = IsRowGood(table, row);
      if (good.ok() && !*good) {
        Note(Flaw::kIndexStale, row, {}, true);
        batch_->Delete(table, row);
        Result<void> written = Flush(false);
        if (!written.ok()) failure = std::move(written).error();
      }
      if (!good.ok()) failure = std::move(good).error();
      return !failure;
    }));
    if (failure) return std::move(*failure);
    return Flush(true);
  }

  Result<bool> IsRowGood(Table table, std::string_view row) {
    const std::optional<Claim> claim = ParseRow(table, row);
    if (!claim) return false;
    TRY(const std::optional<std::string> stored, db_->Get(Table::kEntry, claim->key));
    if (!stored) return false;
    const Result<StoredEntry> entry = DecodeEntry(*stored);
    // Of one that cannot be read nobody can say that it is not true.
    return !entry.ok() || IsTrue(table, *claim, entry->record);
  }

  Result<void> CheckInline() {
    std::sort(dropped_.begin(), dropped_.end());
    std::optional<Error> failure;
    CHECK_OK(db_->Scan(Table::kInline, {}, [&](std::string_view row, std::string_view) {
      const std::optional<uint64_t> id = ParseIdRow(row);
      if (id && std::binary_search(inline_ids_.begin(), inline_ids_.end(), *id)) return true;
      batch_->Delete(Table::kInline, row);
      if (!id || !IsDropped(*id)) Note(Flaw::kOrphanInline, row, {}, true);
      Result<void> written = Flush(false);
      if (!written.ok()) failure = std::move(written).error();
      return !failure;
    }));
    if (failure) return std::move(*failure);
    return Flush(true);
  }

  Result<void> CheckFiles() {
    for (size_t i = 0; i < on_disk_.size(); ++i) {
      if (is_used_[i]) continue;
      const std::string path = BodyPath(bodies_, on_disk_[i].id);
      if (options_.repair) CHECK_OK(files_.Remove(path));
      if (!IsDropped(on_disk_[i].id)) {
        Note(Flaw::kOrphanFile, path, std::to_string(on_disk_[i].size) + " bytes", true);
      }
    }
    return {};
  }

  Result<void> CheckJournal() {
    return db_->Scan(Table::kPurge, {}, [&](std::string_view row, std::string_view bytes) {
      Result<std::string> words = options_.describe_intent ? options_.describe_intent(bytes)
                                                           : Result<std::string>("a purge");
      if (words.ok()) {
        report_.pending_purges.push_back(std::move(*words));
      } else {
        Note(Flaw::kJournalDamaged, row, words.error().detail, false);
      }
      return true;
    });
  }

  std::optional<size_t> FileOf(uint64_t id) const {
    const auto it =
        std::lower_bound(on_disk_.begin(), on_disk_.end(), id,
                         [](const BodyOnDisk& b, uint64_t want) { return b.id < want; });
    if (it == on_disk_.end() || it->id != id) return std::nullopt;
    return static_cast<size_t>(it - on_disk_.begin());
  }
  bool IsDropped(uint64_t id) const {
    return std::binary_search(dropped_.begin(), dropped_.end(), id);
  }
  static std::string SizesOf(uint64_t actual, uint64_t wanted) {
    return std::to_string(actual) + " of " + std::to_string(wanted) + " bytes";
  }

  const FsckOptions& options_;
  io::Files& files_;
  const std::string bodies_;
  std::unique_ptr<IndexDb> db_;
  std::unique_ptr<IndexDb::Batch> batch_;
  size_t changes_ = 0;
  std::vector<BodyOnDisk> on_disk_;  ///< sorted by id
  std::vector<bool> is_used_;        ///< by position in on_disk_
  std::vector<uint64_t> inline_ids_;
  std::vector<uint64_t> dropped_;  ///< bodies of entries that were found bad
  FsckReport report_;
};

}  // namespace

std::string_view NameOf(Flaw flaw) {
  switch (flaw) {
    case Flaw::kEntryDamaged:
      return "entry-damaged";
    case Flaw::kMetadata:
      return "metadata";
    case Flaw::kBodyMissing:
      return "body-missing";
    case Flaw::kBodySize:
      return "body-size";
    case Flaw::kBodyChecksum:
      return "body-checksum";
    case Flaw::kBodyShared:
      return "body-shared";
    case Flaw::kIndexMissing:
      return "index-missing";
    case Flaw::kIndexStale:
      return "index-stale";
    case Flaw::kOrphanFile:
      return "orphan-file";
    case Flaw::kOrphanInline:
      return "orphan-inline";
    case Flaw::kJournalDamaged:
      return "journal-damaged";
  }
  return "entry-damaged";
}

uint64_t FsckReport::flaws() const {
  uint64_t sum = 0;
  for (const auto& [flaw, count] : counts) sum += count;
  return sum;
}

Result<FsckReport> Fsck(const FsckOptions& options, io::Files& files) {
  return Inspection(options, files).Run();
}

}  // namespace vr::kv
