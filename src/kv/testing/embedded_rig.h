// An embedded store on a temporary directory and all it stands on, and ways to damage it while
// nobody has it open. For tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/testing/manual_clock.h"
#include "io/testing/faulty_files.h"
#include "io/testing/run_sync.h"
#include "kv/embedded_store.h"
#include "kv/index_db.h"
#include "kv/testing/put_body.h"

namespace vr::kv::testing {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = fs::temp_directory_path() / "vr-kv-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::vector<fs::path> BodyFilesIn(const std::string& data) {
  std::vector<fs::path> files;
  for (const auto& e : fs::recursive_directory_iterator(data + "/bodies")) {
    if (e.is_regular_file()) files.push_back(e.path());
  }
  return files;
}

/// A store and all it stands on. Opens on construction unless told not to.
class Rig {
 public:
  explicit Rig(Options options, bool open = true) : options_(std::move(options)) {
    if (open) Open();
  }
  void Open() {
    Result<std::unique_ptr<EmbeddedStore>> made = TryOpen();
    ASSERT_TRUE(made.ok()) << made.error().ToLogString();
    store_ = std::move(*made);
  }
  Result<std::unique_ptr<EmbeddedStore>> TryOpen() {
    return EmbeddedStore::Create(options_, blocking_, clock_, metrics_, files_);
  }
  void Close() { store_.reset(); }
  EmbeddedStore& store() { return *store_; }
  bool is_open() const { return store_ != nullptr; }
  io::testing::FaultyFiles& files() { return files_; }
  Metrics& metrics() { return metrics_; }
  const Options& options() const { return options_; }
  Options& options() { return options_; }
  double Dropped(const char* reason) {
    return metrics_.GetCounter("video_resizer_kv_dropped_total", "", {{"reason", reason}}).value();
  }

  Result<void> Put(const std::string& key, const std::string& body, uint64_t hint = 0) {
    return PutBody(*store_, key, body, RecordFor(body), hint);
  }
  std::optional<Found> Get(const std::string& key) {
    Result<std::optional<Found>> found = io::testing::RunSync(store_->Get(Context(), key));
    EXPECT_TRUE(found.ok()) << found.error().ToLogString();
    return found.ok() ? *found : std::nullopt;
  }
  size_t FilesWithoutEntry() {
    store_->Settle();
    size_t file_entries = 0;
    Result<Page> page = io::testing::RunSync(store_->ListByPrefix(Context(), "", "", 10'000));
    EXPECT_TRUE(page.ok());
    for (const Listed& row : page->rows) {
      const std::optional<IndexEntry> entry = store_->Peek(row.key);
      if (entry && !entry->is_inline) ++file_entries;
    }
    return BodyFilesIn(options_.data_dir).size() - file_entries;
  }
  /// What a killed process leaves: takes the mark of the clean stop away while nobody has the store
  /// open.
  void ForgetCleanStop() {
    Edit([](IndexDb::Batch& batch) { batch.Delete(Table::kStats, "clean"); });
  }
  void Edit(const std::function<void(IndexDb::Batch&)>& change) {
    Result<std::unique_ptr<IndexDb>> db = IndexDb::Open(options_.data_dir + "/index", 1 << 20);
    ASSERT_TRUE(db.ok()) << db.error().ToLogString();
    IndexDb::Batch batch(**db);
    change(batch);
    ASSERT_TRUE((*db)->Write(batch, true).ok());
  }
  std::string EntryRow(const std::string& key) {
    Result<std::unique_ptr<IndexDb>> db = IndexDb::Open(options_.data_dir + "/index", 1 << 20);
    EXPECT_TRUE(db.ok());
    return (*db)->Get(Table::kEntry, key)->value_or("");
  }

 private:
  Options options_;
  vr::testing::ManualClock clock_;
  Metrics metrics_;
  io::testing::FaultyFiles files_;
  io::Blocking blocking_;
  std::unique_ptr<EmbeddedStore> store_;
};

inline Options OptionsIn(const TempDir& dir, Durability durability = Durability::kNone) {
  Options options;
  options.data_dir = dir.path() + "/data";
  options.durability = durability;
  options.verify_on_read = 0;
  return options;
}

/// Changes a byte somewhere in the middle of a body.
inline void FlipAByte(const fs::path& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(777);
  const int c = file.get();
  file.seekp(777);
  file.put(static_cast<char>(c ^ 1));
}

}  // namespace vr::kv::testing
