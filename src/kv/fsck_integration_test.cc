#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kv/entry_codec.h"
#include "kv/fsck.h"
#include "kv/testing/embedded_rig.h"

namespace vr::kv::testing {
namespace {

using ::testing::HasSubstr;

class FsckTest : public ::testing::Test {
 protected:
  /// A store with four entries, closed.
  FsckTest() : rig_(OptionsIn(dir_)) {
    EXPECT_TRUE(rig_.Put("large", large_).ok());
    EXPECT_TRUE(rig_.Put("other large", BytesFor(150'000, 3)).ok());
    EXPECT_TRUE(rig_.Put("small", small_).ok());
    EXPECT_TRUE(rig_.Put("other small", "x").ok());
    rig_.Close();
  }
  FsckOptions Looking() {
    FsckOptions options;
    options.data_dir = rig_.options().data_dir;
    options.check_metadata = [](std::string_view metadata) -> Result<void> {
      if (metadata.starts_with("newer")) return Error(Code::kUnsupported, "newer");
      if (metadata.starts_with("bad")) return Error(Code::kCorruption, "bad", "no JSON");
      return {};
    };
    options.describe_intent = [](std::string_view bytes) -> Result<std::string> {
      if (bytes.empty()) return Error(Code::kCorruption, "bad", "an empty row");
      return "purge of " + std::string(bytes);
    };
    return options;
  }
  FsckReport Look(FsckOptions options) {
    Result<FsckReport> report = Fsck(options);
    EXPECT_TRUE(report.ok()) << report.error().ToLogString();
    return report.ok() ? std::move(*report) : FsckReport();
  }
  FsckReport Look() { return Look(Looking()); }
  FsckReport Repair() {
    FsckOptions options = Looking();
    options.repair = true;
    return Look(options);
  }
  fs::path FileOfSize(uint64_t size) {
    for (const fs::path& file : BodyFilesIn(rig_.options().data_dir)) {
      if (fs::file_size(file) == size) return file;
    }
    ADD_FAILURE() << "no body of " << size;
    return {};
  }
  uint64_t BodyIdOf(const std::string& key) {
    return DecodeHead(rig_.EntryRow(key)).value_or(EntryHead()).body_id;
  }
  size_t EntriesAfterOpening() {
    rig_.Open();
    const size_t n = rig_.store().usage().entries;
    EXPECT_EQ(rig_.FilesWithoutEntry(), 0u);
    rig_.Close();
    return n;
  }

  const std::string small_ = BytesFor(1'000, 1);
  const std::string large_ = BytesFor(200'000, 2);
  TempDir dir_;
  Rig rig_;
};

TEST_F(FsckTest, AStoreThatIsInOrderIsCleanAndStaysAsItWas) {
  rig_.Open();
  ASSERT_TRUE(rig_.Put("replaced", large_).ok());
  ASSERT_TRUE(rig_.Put("replaced", small_).ok());
  ASSERT_TRUE(rig_.Put("erased", large_).ok());
  ASSERT_TRUE(*io::testing::RunSync(rig_.store().Erase(Context(), "erased")));
  ASSERT_TRUE(
      *io::testing::RunSync(rig_.store().Touch(Context(), "small", HashOf(small_), "touched", 0)));
  ASSERT_EQ(*io::testing::RunSync(rig_.store().ExpireMany(Context(), {"large"}, 5)), 1u);
  rig_.Close();
  for (int i = 0; i < 2; ++i) {
    const FsckReport report = Look();
    EXPECT_EQ(report.flaws(), 0u);
    EXPECT_TRUE(report.findings.empty());
    EXPECT_TRUE(report.was_clean_stop);
    EXPECT_EQ(report.entries, 5u);
    EXPECT_EQ(report.body_files, 2u);
    EXPECT_EQ(report.verified, 5u);
    EXPECT_EQ(report.verified_bytes, 350'000u + 2'001u);
    EXPECT_EQ(report.bytes, 352'001u + 4 * 4 + 7);
    EXPECT_EQ(report.index_rows, 5u + 5u + 4u);
  }
  EXPECT_EQ(EntriesAfterOpening(), 5u);
}

struct Damage {
  Flaw flaw;
  const char* where;  ///< part of what the finding says
  size_t entries_left;
  std::function<void(IndexDb::Batch&)> edit;  ///< of the index, or
  std::function<void()> harm;                 ///< of the files
  uint64_t flaws = 1;
};

TEST_F(FsckTest, FindsEachFlawAsWhatItIsAndRepairsIt) {
  const std::string large_row = rig_.EntryRow("large"), small_row = rig_.EntryRow("small");
  const uint64_t small_id = BodyIdOf("small");
  const int64_t expires_ms = RecordFor("").expires_ms;
  StoredEntry bad_metadata = *DecodeEntry(large_row);
  bad_metadata.record.metadata = "bad";
  const std::string stray = rig_.options().data_dir + "/bodies/ab/ab00000000000001";
  const std::vector<Damage> damages = {
      {Flaw::kEntryDamaged,
       "large",
       3,
       [&](auto& b) { b.Put(Table::kEntry, "large", large_row.substr(0, large_row.size() - 1)); },
       {}},
      // Not even its body can be told: that is an orphan.
      {Flaw::kEntryDamaged,
       "small",
       3,
       [](auto& b) { b.Put(Table::kEntry, "small", "\x01"); },
       {},
       2},
      {Flaw::kMetadata,
       "large",
       3,
       [&](auto& b) { b.Put(Table::kEntry, "large", EncodeEntry(bad_metadata)); },
       {}},
      {Flaw::kBodyMissing,
       "small",
       3,
       [&](auto& b) { b.Delete(Table::kInline, BodyIdRow(small_id)); },
       {}},
      {Flaw::kBodyMissing, "large", 3, {}, [&] { fs::remove(FileOfSize(200'000)); }},
      {Flaw::kBodySize,
       "small",
       3,
       [&](auto& b) { b.Put(Table::kInline, BodyIdRow(small_id), small_ + "x"); },
       {}},
      {Flaw::kBodySize, "large", 3, {}, [&] { fs::resize_file(FileOfSize(200'000), 199'999); }},
      {Flaw::kBodyChecksum,
       "small",
       3,
       [&](auto& b) { b.Put(Table::kInline, BodyIdRow(small_id), BytesFor(1'000, 77)); },
       {}},
      {Flaw::kBodyChecksum, "large", 3, {}, [&] { FlipAByte(FileOfSize(200'000)); }},
      {Flaw::kBodyShared,
       "second",
       4,
       [&](auto& b) { b.Put(Table::kEntry, "second", large_row); },
       {}},
      {Flaw::kIndexMissing,
       "small",
       4,
       [](auto& b) { b.Delete(Table::kTag, NamedRow("video-mode-video", "small")); },
       {}},
      {Flaw::kIndexMissing,
       "small",
       4,
       [](auto& b) { b.Delete(Table::kSource, NamedRow("videos/a.mp4", "small")); },
       {}},
      {Flaw::kIndexMissing,
       "small",
       4,
       [&](auto& b) { b.Delete(Table::kExpiry, ExpiryRow(expires_ms, "small")); },
       {}},
      {Flaw::kIndexStale,
       "no such tag",
       4,
       [](auto& b) { b.Put(Table::kTag, NamedRow("no such tag", "small"), {}); },
       {}},
      {Flaw::kIndexStale,
       "nobody",
       4,
       [](auto& b) { b.Put(Table::kSource, NamedRow("videos/a.mp4", "nobody"), {}); },
       {}},
      {Flaw::kIndexStale,
       "small",
       4,
       [](auto& b) { b.Put(Table::kExpiry, ExpiryRow(7, "small"), {}); },
       {}},
      {Flaw::kIndexStale, "odd", 4, [](auto& b) { b.Put(Table::kExpiry, "odd", {}); }, {}},
      {Flaw::kOrphanFile, "ab00000000000001", 4, {}, [&] { std::ofstream(stray) << "left"; }},
      {Flaw::kOrphanInline,
       "\\x07",
       4,
       [](auto& b) { b.Put(Table::kInline, BodyIdRow(7), "left"); },
       {}},
      {Flaw::kOrphanInline, "odd", 4, [](auto& b) { b.Put(Table::kInline, "odd", "left"); }, {}},
  };
  const std::string whole = dir_.path() + "/whole";
  fs::copy(rig_.options().data_dir, whole, fs::copy_options::recursive);
  int n = 0;
  for (const Damage& damage : damages) {
    SCOPED_TRACE(std::to_string(n++) + ": " + std::string(NameOf(damage.flaw)) + " " +
                 damage.where);
    fs::remove_all(rig_.options().data_dir);
    fs::copy(whole, rig_.options().data_dir, fs::copy_options::recursive);
    if (damage.edit) rig_.Edit(damage.edit);
    if (damage.harm) damage.harm();
    for (const bool again : {false, true}) {
      const FsckReport found = Look();
      EXPECT_EQ(found.flaws(), damage.flaws) << (again ? "looking changed something" : "");
      ASSERT_EQ(found.findings.size(), damage.flaws);
      EXPECT_EQ(found.findings[0].flaw, damage.flaw) << NameOf(found.findings[0].flaw);
      EXPECT_THAT(found.findings[0].where + " " + found.findings[0].detail,
                  HasSubstr(damage.where));
      EXPECT_EQ(found.repaired, 0u);
    }
    const FsckReport repaired = Repair();
    EXPECT_EQ(repaired.counts.count(damage.flaw), 1u);
    EXPECT_EQ(repaired.repaired, repaired.flaws());
    EXPECT_EQ(Look().flaws(), 0u) << "after the repair";
    EXPECT_EQ(EntriesAfterOpening(), damage.entries_left);
    EXPECT_EQ(Look().flaws(), 0u) << "after a run";
  }
}

TEST_F(FsckTest, QuickDoesNotReadBodiesInFiles) {
  FlipAByte(FileOfSize(200'000));
  FsckOptions options = Looking();
  options.quick = true;
  const FsckReport report = Look(options);
  EXPECT_EQ(report.flaws(), 0u);
  EXPECT_EQ(report.verified, 2u) << "those in the index cost nothing";
  EXPECT_EQ(Look().flaws(), 1u);
}

TEST_F(FsckTest, WhatANewerProgramStoredIsNeitherJudgedNorTouched) {
  std::string newer = rig_.EntryRow("large");
  newer[0] = 2;
  StoredEntry other = *DecodeEntry(rig_.EntryRow("small"));
  other.record.metadata = "newer";
  rig_.Edit([&](IndexDb::Batch& batch) {
    batch.Put(Table::kEntry, "large", newer);
    batch.Put(Table::kEntry, "small", EncodeEntry(other));
  });
  FlipAByte(FileOfSize(200'000));
  const FsckReport report = Repair();
  EXPECT_EQ(report.flaws(), 0u);
  EXPECT_EQ(report.newer_entries, 1u);
  EXPECT_EQ(report.entries, 3u);
  EXPECT_EQ(rig_.EntryRow("large"), newer);
  EXPECT_TRUE(fs::exists(FileOfSize(200'000)));
}

TEST_F(FsckTest, RefusesAStoreThatIsInUseOrNone) {
  rig_.Open();
  Result<FsckReport> refused = Fsck(Looking());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_THAT(refused.error().ToLogString(), HasSubstr(std::to_string(::getpid())));
  rig_.Close();
  FsckOptions elsewhere = Looking();
  elsewhere.data_dir = dir_.path() + "/empty";
  fs::create_directory(elsewhere.data_dir);
  for (const bool repair : {false, true}) {
    elsewhere.repair = repair;
    EXPECT_EQ(Fsck(elsewhere).error().code, Code::kNotFound);
    EXPECT_TRUE(fs::is_empty(elsewhere.data_dir)) << "looking makes no store";
  }
  std::ofstream(rig_.options().data_dir + "/version") << "video-resizer store 2\n";
  EXPECT_EQ(Fsck(Looking()).error().code, Code::kUnsupported);
}

TEST_F(FsckTest, PendingPurgesAreShownAndLeftToTheNextStart) {
  rig_.Open();
  ASSERT_TRUE(io::testing::RunSync(rig_.store().journal().Begin(Context(), "this")).ok());
  rig_.Close();
  EXPECT_EQ(Repair().pending_purges, std::vector<std::string>{"purge of this"});
  EXPECT_EQ(Look().flaws(), 0u);
  rig_.Open();
  ASSERT_TRUE(io::testing::RunSync(rig_.store().journal().Begin(Context(), "")).ok());
  rig_.Close();
  const FsckReport report = Repair();
  EXPECT_EQ(report.counts.at(Flaw::kJournalDamaged), 1u);
  EXPECT_EQ(report.repaired, 0u) << "dropping it would let what was purged come back";
  EXPECT_EQ(report.pending_purges.size(), 1u);
}

TEST_F(FsckTest, CountsEverythingAndShowsAsMuchAsWanted) {
  rig_.Edit([](IndexDb::Batch& batch) {
    for (int i = 0; i < 2'500; ++i) {
      batch.Put(Table::kTag, NamedRow("t" + std::to_string(i), "nobody"), {});
    }
  });
  FsckOptions options = Looking();
  options.max_findings = 10;
  EXPECT_EQ(Look(options).flaws(), 2'500u);
  EXPECT_EQ(Look(options).findings.size(), 10u);
  options.repair = true;
  EXPECT_EQ(Look(options).repaired, 2'500u);
  EXPECT_EQ(Look().flaws(), 0u);
}

TEST_F(FsckTest, SaysWhetherTheLastStopWasClean) {
  rig_.ForgetCleanStop();
  const FsckReport report = Look();
  EXPECT_FALSE(report.was_clean_stop);
  EXPECT_EQ(report.flaws(), 0u) << "that is no flaw";
}

}  // namespace
}  // namespace vr::kv::testing
