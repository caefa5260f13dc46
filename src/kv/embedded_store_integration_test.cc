#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/testing/manual_clock.h"
#include "io/testing/faulty_files.h"
#include "kv/embedded_store.h"
#include "kv/entry_codec.h"
#include "kv/index_db.h"
#include "kv/testing/embedded_rig.h"
#include "kv/testing/kv_store_conformance.h"

namespace vr::kv::testing {
namespace {

class EmbeddedUnderTest final : public StoreUnderTest {
 public:
  explicit EmbeddedUnderTest(const std::function<void(Options&)>& change) : rig_(Changed(change)) {}
  KvStore& store() override { return rig_.store(); }
  size_t Leftovers() override { return rig_.FilesWithoutEntry(); }

 private:
  Options Changed(const std::function<void(Options&)>& change) {
    Options options = OptionsIn(dir_);
    change(options);
    return options;
  }
  TempDir dir_;
  Rig rig_;
};

Backend Embedded(std::string name, std::function<void(Options&)> change) {
  Backend backend;
  backend.name = std::move(name);
  backend.make = [change = std::move(change)] {
    return std::make_unique<EmbeddedUnderTest>(change);
  };
  return backend;
}

INSTANTIATE_TEST_SUITE_P(
    Embedded, KvStoreConformance,
    ::testing::Values(Embedded("none", [](Options&) {}),
                      Embedded("full", [](Options& o) { o.durability = Durability::kFull; }),
                      Embedded("body_nothing_inline_nothing_kept_open",
                               [](Options& o) {
                                 o.durability = Durability::kBody;
                                 o.inline_threshold = 0;
                                 o.open_bodies = 0;
                               }),
                      Embedded("handed_out_in_memory",
                               [](Options& o) {
                                 o.inline_threshold = 0;
                                 o.memory_threshold = 3'000'000;
                               }),
                      Embedded("verified_on_every_read",
                               [](Options& o) { o.verify_on_read = 100; })),
    BackendName);

class EmbeddedStoreTest : public ::testing::Test {
 protected:
  const std::string small_ = BytesFor(1'000, 1);
  const std::string large_ = BytesFor(200'000, 2);
  TempDir dir_;
};

TEST_F(EmbeddedStoreTest, KeepsEverythingOverARestart) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("small", small_).ok());
  ASSERT_TRUE(rig.Put("large", large_).ok());
  ASSERT_TRUE(rig.Put("gone", large_).ok());
  ASSERT_TRUE(io::testing::RunSync(rig.store().Erase(Context(), "gone")).ok());
  const Usage before = rig.store().usage();
  rig.Close();
  rig.Open();
  EXPECT_EQ(rig.store().usage().entries, before.entries);
  EXPECT_EQ(rig.store().usage().bytes, before.bytes);
  EXPECT_TRUE(ReadBody(rig.Get("small")->body) == small_);
  EXPECT_TRUE(ReadBody(rig.Get("large")->body) == large_);
  EXPECT_FALSE(rig.Get("gone"));
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
  EXPECT_EQ(rig.Dropped("orphan"), 0);
}

TEST_F(EmbeddedStoreTest, TheJournalAndTheNewestEntryAreKnownAfterARestart) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", small_).ok());
  const uint64_t first = *io::testing::RunSync(rig.store().journal().Begin(Context(), "first"));
  const uint64_t second = *io::testing::RunSync(rig.store().journal().Begin(Context(), "second"));
  ASSERT_TRUE(io::testing::RunSync(rig.store().journal().End(Context(), first)).ok());
  rig.Close();
  rig.Open();
  auto rows = io::testing::RunSync(rig.store().journal().Pending(Context()));
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ((*rows)[0].id, second);
  EXPECT_EQ((*rows)[0].bytes, "second");
  EXPECT_GT(*io::testing::RunSync(rig.store().journal().Begin(Context(), "third")), second)
      << "an id is not given twice";
  EXPECT_EQ(rig.store().usage().newest_ms, RecordFor(small_).created_ms);
}

TEST_F(EmbeddedStoreTest, EntriesItCannotReadAreListedWhereTheIndexHasThemAndCanBeErased) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", large_).ok());
  rig.Close();
  std::string row = rig.EntryRow("k");
  row[0] = 9;
  rig.Edit([&](IndexDb::Batch& batch) { batch.Put(Table::kEntry, "k", row); });
  rig.Open();
  for (const auto& page :
       {io::testing::RunSync(rig.store().ListByPrefix(Context(), "", "", 10)),
        io::testing::RunSync(rig.store().ListByTag(Context(), "video-mode-video", "", 10)),
        io::testing::RunSync(rig.store().ListBySource(Context(), "videos/a.mp4", "", 10))}) {
    ASSERT_TRUE(page.ok());
    ASSERT_EQ(page->rows.size(), 1u);
    EXPECT_EQ(page->rows[0].key, "k");
    EXPECT_FALSE(page->rows[0].is_readable);
  }
  EXPECT_EQ(*io::testing::RunSync(rig.store().EraseMany(Context(), {"k"})), 1u);
  EXPECT_EQ(rig.store().usage().entries, 0u);
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
}

TEST_F(EmbeddedStoreTest, LivesInTheDocumentedPlaces) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("large", large_).ok());
  const uint64_t id = rig.store().Peek("large")->body_id;
  char name[40];
  std::snprintf(name, sizeof name, "/bodies/%02x/%016lx", static_cast<unsigned>(id >> 56),
                static_cast<unsigned long>(id));
  EXPECT_EQ(fs::file_size(rig.options().data_dir + name), large_.size());
  std::string version;
  std::getline(std::ifstream(rig.options().data_dir + "/version"), version);
  EXPECT_EQ(version, "video-resizer store 1");
  ASSERT_TRUE(rig.Put("small", small_).ok());
  rig.store().Settle();
  EXPECT_EQ(BodyFilesIn(rig.options().data_dir).size(), 1u) << "small bodies are in the index";
}

TEST_F(EmbeddedStoreTest, AnExpectedSmallBodyNeverBecomesAFile) {
  Rig rig(OptionsIn(dir_));
  rig.files().Set([](auto& s) { s.fail_open = Error(Code::kUnavailable, "no files today"); });
  EXPECT_TRUE(rig.Put("small", small_, small_.size()).ok());
  EXPECT_TRUE(rig.Get("small"));
  EXPECT_FALSE(rig.Put("large", large_, large_.size()).ok());
}

TEST_F(EmbeddedStoreTest, OneDirectoryHasOneOwner) {
  Rig first(OptionsIn(dir_));
  Rig second(OptionsIn(dir_), false);
  Result<std::unique_ptr<EmbeddedStore>> refused = second.TryOpen();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_THAT(refused.error().ToLogString(), ::testing::HasSubstr(std::to_string(::getpid())));
  // The refused one did no harm.
  ASSERT_TRUE(first.Put("k", large_).ok());
  first.Close();
  second.Open();
  EXPECT_TRUE(second.Get("k"));
}

TEST_F(EmbeddedStoreTest, RefusesALayoutItDoesNotKnow) {
  Rig rig(OptionsIn(dir_));
  rig.Close();
  std::ofstream(rig.options().data_dir + "/version") << "video-resizer store 2\n";
  Result<std::unique_ptr<EmbeddedStore>> refused = rig.TryOpen();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  EXPECT_THAT(refused.error().ToLogString(), ::testing::HasSubstr("store 2"));
  fs::remove(rig.options().data_dir + "/version");
  EXPECT_EQ(rig.TryOpen().error().code, Code::kUnsupported) << "an index nobody vouches for";
}

TEST_F(EmbeddedStoreTest, SaysClearlyWhenTheDirectoryIsUnusable) {
  Options options = OptionsIn(dir_);
  options.data_dir = dir_.path() + "/missing/data";
  Rig rig(options, false);
  Result<std::unique_ptr<EmbeddedStore>> refused = rig.TryOpen();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  EXPECT_THAT(refused.error().ToLogString(), ::testing::HasSubstr(options.data_dir));
}

TEST_F(EmbeddedStoreTest, SweepsFilesWithoutAnEntryAndNothingElse) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", large_).ok());
  rig.Close();
  const std::string bodies = rig.options().data_dir + "/bodies";
  std::ofstream(bodies + "/ab/ab00000000000001") << "left by a crash";
  std::ofstream(bodies + "/ab/readme.txt") << "not ours";
  std::ofstream(bodies + "/ab/cd00000000000001") << "in the wrong folder, not ours";
  rig.Open();
  rig.store().Settle();
  EXPECT_FALSE(fs::exists(bodies + "/ab/ab00000000000001"));
  EXPECT_TRUE(fs::exists(bodies + "/ab/readme.txt"));
  EXPECT_TRUE(fs::exists(bodies + "/ab/cd00000000000001"));
  EXPECT_EQ(rig.Dropped("orphan"), 1);
  EXPECT_TRUE(ReadBody(rig.Get("k")->body) == large_);
}

TEST_F(EmbeddedStoreTest, DropsAnEntryWhoseFileIsGone) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("at open", large_).ok());
  rig.Close();
  for (const fs::path& p : BodyFilesIn(rig.options().data_dir)) fs::remove(p);
  rig.Open();
  EXPECT_EQ(rig.Dropped("missing"), 1);
  EXPECT_EQ(rig.store().usage().entries, 0u);
  EXPECT_FALSE(rig.Get("at open"));

  ASSERT_TRUE(rig.Put("at read", large_).ok());
  for (const fs::path& p : BodyFilesIn(rig.options().data_dir)) fs::remove(p);
  EXPECT_FALSE(rig.Get("at read"));
  EXPECT_EQ(rig.Dropped("missing"), 2);
  EXPECT_EQ(rig.store().usage().entries, 0u);
  EXPECT_EQ(rig.store().usage().bytes, 0u);
}

TEST_F(EmbeddedStoreTest, ATruncatedBodyIsAMissWhetherFoundAtOpenOrAtRead) {
  Rig rig(OptionsIn(dir_));
  for (const bool is_clean : {true, false}) {
    ASSERT_TRUE(rig.Put("k", large_).ok());
    rig.Close();
    fs::resize_file(BodyFilesIn(rig.options().data_dir).at(0), large_.size() - 1);
    if (!is_clean) rig.ForgetCleanStop();
    rig.Open();
    EXPECT_EQ(rig.store().usage().entries, is_clean ? 1u : 0u);
    EXPECT_FALSE(rig.Get("k"));
    EXPECT_EQ(rig.store().usage().entries, 0u);
    EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
  }
  EXPECT_EQ(rig.Dropped("size"), 2);
}

TEST_F(EmbeddedStoreTest, AfterAnUncleanStopADamagedBodyIsAMiss) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("bad", large_).ok());
  const fs::path bad = BodyFilesIn(rig.options().data_dir).at(0);
  ASSERT_TRUE(rig.Put("good", large_).ok());
  rig.Close();
  FlipAByte(bad);
  rig.ForgetCleanStop();
  rig.Open();
  EXPECT_FALSE(rig.Get("bad"));
  EXPECT_TRUE(ReadBody(rig.Get("good")->body) == large_);
  EXPECT_EQ(rig.Dropped("checksum"), 1);
  EXPECT_EQ(rig.store().usage().entries, 1u);
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
}

TEST_F(EmbeddedStoreTest, ASuspectBodyStaysSuspectOverCleanRestartsUntilItIsRead) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("bad", large_).ok());
  const fs::path bad = BodyFilesIn(rig.options().data_dir).at(0);
  ASSERT_TRUE(rig.Put("good", large_).ok());
  rig.Close();
  FlipAByte(bad);
  rig.ForgetCleanStop();
  rig.Open();
  EXPECT_TRUE(rig.Get("good"));
  rig.Close();
  rig.Open();
  EXPECT_FALSE(rig.Get("bad"));
  EXPECT_EQ(rig.Dropped("checksum"), 1);
  // One that was found whole is not read again: damage of ours goes unnoticed, which proves it.
  rig.Close();
  FlipAByte(BodyFilesIn(rig.options().data_dir).at(0));
  rig.Open();
  EXPECT_TRUE(rig.Get("good"));
  EXPECT_EQ(rig.Dropped("checksum"), 1);
}

TEST_F(EmbeddedStoreTest, BodiesHandedOutInMemoryAreVerifiedOnEveryRead) {
  Options options = OptionsIn(dir_);
  options.memory_threshold = large_.size();
  Rig rig(options);
  ASSERT_TRUE(rig.Put("k", large_).ok());
  const std::string larger = large_ + "x";
  ASSERT_TRUE(rig.Put("larger", larger).ok());
  EXPECT_TRUE(rig.Get("larger")->body.file);
  EXPECT_FALSE(rig.Get("larger")->body.memory);
  for (int i = 0; i < 2; ++i) {
    const std::optional<Found> found = rig.Get("k");
    ASSERT_TRUE(found && found->body.memory);
    EXPECT_TRUE(*found->body.memory == large_);
  }
  for (const fs::path& file : BodyFilesIn(options.data_dir)) FlipAByte(file);
  EXPECT_FALSE(rig.Get("k")) << "while the server runs, its descriptor still open";
  EXPECT_TRUE(rig.Get("larger")) << "nobody looks at it: the file is sent as it is";
  EXPECT_EQ(rig.Dropped("checksum"), 1);
  EXPECT_EQ(rig.store().usage().entries, 1u);
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
}

TEST_F(EmbeddedStoreTest, OfLargerBodiesAsManyInAHundredAreVerifiedAsItIsTold) {
  for (const uint32_t percent : {0u, 1u, 7u, 50u, 99u, 100u}) {
    TempDir dir;
    Options options = OptionsIn(dir);
    options.verify_on_read = percent;
    Rig rig(options);
    Counter verified = rig.metrics().GetCounter("video_resizer_kv_verified_total", "");
    ASSERT_TRUE(rig.Put("k", large_).ok());
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(rig.Get("k"));
    EXPECT_EQ(verified.value(), 2 * percent);
  }
}

TEST_F(EmbeddedStoreTest, ABodyThatShrankBehindAnOpenDescriptorIsNotWhole) {
  Options options = OptionsIn(dir_);
  options.verify_on_read = 100;
  Rig rig(options);
  ASSERT_TRUE(rig.Put("k", large_).ok());
  ASSERT_TRUE(rig.Get("k"));
  fs::resize_file(BodyFilesIn(options.data_dir).at(0), large_.size() / 2);
  EXPECT_FALSE(rig.Get("k"));
  EXPECT_EQ(rig.Dropped("checksum"), 1);
  EXPECT_EQ(rig.store().usage().entries, 0u);
}

TEST_F(EmbeddedStoreTest, SmallBodiesAreVerifiedOnEveryRead) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", small_).ok());
  const uint64_t id = rig.store().Peek("k")->body_id;
  rig.Close();
  rig.Edit([&](IndexDb::Batch& batch) {
    batch.Put(Table::kInline, BodyIdRow(id), BytesFor(small_.size(), 99));
  });
  rig.Open();
  EXPECT_FALSE(rig.Get("k"));
  EXPECT_EQ(rig.Dropped("checksum"), 1);
  EXPECT_EQ(rig.store().usage().entries, 0u);
}

TEST_F(EmbeddedStoreTest, AnEntryOfANewerProgramIsAMissButSurvivesUntilReplaced) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", large_).ok());
  rig.Close();
  std::string row = rig.EntryRow("k");
  row[0] = 9;
  rig.Edit([&](IndexDb::Batch& batch) { batch.Put(Table::kEntry, "k", row); });
  rig.ForgetCleanStop();
  rig.Open();
  EXPECT_FALSE(rig.Get("k"));
  EXPECT_EQ(rig.Dropped("version"), 1);
  auto reaped = io::testing::RunSync(
      rig.store().ReapExpired(FromUnixMillis(2'000'000'000'000), std::chrono::milliseconds(0), 10));
  EXPECT_TRUE(reaped->empty());
  rig.Close();
  EXPECT_EQ(rig.EntryRow("k"), row);
  EXPECT_EQ(BodyFilesIn(rig.options().data_dir).size(), 1u) << "its body is not an orphan";
  rig.Open();
  ASSERT_TRUE(rig.Put("k", small_).ok());
  EXPECT_TRUE(ReadBody(rig.Get("k")->body) == small_);
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
  EXPECT_EQ(rig.store().usage().entries, 1u);
}

TEST_F(EmbeddedStoreTest, ADamagedEntryIsDroppedAtOpenOrAtRead) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("head", small_).ok());
  ASSERT_TRUE(rig.Put("tail", large_).ok());
  rig.Close();
  const std::string row = rig.EntryRow("tail");
  rig.Edit([&](IndexDb::Batch& batch) {
    batch.Put(Table::kEntry, "head", "\x01\x01");
    batch.Put(Table::kEntry, "tail", row.substr(0, row.size() - 1));
  });
  rig.Open();
  EXPECT_EQ(rig.store().usage().entries, 1u);
  EXPECT_FALSE(rig.Get("head"));
  EXPECT_FALSE(rig.Get("tail"));
  EXPECT_EQ(rig.Dropped("damaged"), 2);
  auto page = io::testing::RunSync(rig.store().ListByTag(Context(), "video-mode-video", "", 10));
  EXPECT_TRUE(page->rows.empty()) << "rows that outlived their entry are not listed";
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
}

TEST_F(EmbeddedStoreTest, ReapsWhatExpiredLongerAgoThanTheGrace) {
  using std::chrono::milliseconds;
  Rig rig(OptionsIn(dir_));
  const auto put = [&](const std::string& key, int64_t expires_ms, const std::string& body) {
    Record record = RecordFor(body);
    record.expires_ms = expires_ms;
    ASSERT_TRUE(PutBody(rig.store(), key, body, record, 0).ok());
  };
  const auto reap = [&](int64_t now_ms, size_t limit) {
    auto n = io::testing::RunSync(
        rig.store().ReapExpired(FromUnixMillis(now_ms), milliseconds(1'000), limit));
    EXPECT_TRUE(n.ok());
    return n->size();
  };
  put("never", 0, small_);
  put("early", 10'000, large_);
  put("late", 20'000, small_);
  put("moved", 10'000, small_);
  ASSERT_TRUE(
      *io::testing::RunSync(rig.store().Touch(Context(), "moved", HashOf(small_), "m", 30'000)));
  EXPECT_TRUE(rig.Get("early")) << "expired, but freshness is not ours to judge";
  EXPECT_EQ(reap(11'000, 100), 0u);
  EXPECT_EQ(reap(11'001, 100), 1u);
  EXPECT_FALSE(rig.Get("early"));
  EXPECT_EQ(reap(1'000'000, 1), 1u);
  EXPECT_FALSE(rig.Get("late"));
  EXPECT_TRUE(rig.Get("moved"));
  EXPECT_EQ(reap(1'000'000, 100), 1u);
  EXPECT_TRUE(rig.Get("never"));
  EXPECT_EQ(rig.store().usage().entries, 1u);
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
}

TEST_F(EmbeddedStoreTest, AcceptsNothingMoreAtItsByteLimit) {
  Options options = OptionsIn(dir_);
  options.max_bytes = 200'000;
  Rig rig(options);
  ASSERT_TRUE(rig.Put("k", large_).ok());
  for (const uint64_t hint : {uint64_t{0}, uint64_t{10}, uint64_t{1'000'000}}) {
    auto refused = io::testing::RunSync(rig.store().Create(Context(), hint));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  }
  EXPECT_TRUE(rig.Get("k"));
  ASSERT_TRUE(*io::testing::RunSync(rig.store().Erase(Context(), "k")));
  EXPECT_TRUE(rig.Put("k", small_).ok());
}

TEST_F(EmbeddedStoreTest, KeepsTheDisksReserveFree) {
  Rig rig(OptionsIn(dir_));
  io::Files::Space space;
  space.total = uint64_t{10} << 30;
  const auto refuses_with_free = [&](uint64_t free) {
    space.free = free;
    rig.files().Set([&](auto& s) { s.space = space; });
    auto created = io::testing::RunSync(rig.store().Create(Context(), 10));
    return !created.ok() && created.error().code == Code::kResourceExhausted;
  };
  EXPECT_TRUE(refuses_with_free(space.total / 100 - 1)) << "1 % of a small disk";
  EXPECT_FALSE(refuses_with_free(space.total / 100));
  space.total = uint64_t{1000} << 30;
  EXPECT_TRUE(refuses_with_free((512 << 20) - 1)) << "512 MiB of a large one";
  EXPECT_FALSE(refuses_with_free(512 << 20));
}

TEST_F(EmbeddedStoreTest, ADiskThatFillsUpDuringCommitCostsTheCommitAndNothingElse) {
  Rig rig(OptionsIn(dir_, Durability::kFull));
  ASSERT_TRUE(rig.Put("k", small_).ok());
  const Error full = ErrnoError(ENOSPC, "test");
  for (const int step : {0, 1, 2}) {
    // A hint that is too small, so that commit itself has to open, write and sync the file.
    auto fresh = io::testing::RunSync(rig.store().Create(Context(), 10));
    ASSERT_TRUE(fresh.ok());
    ASSERT_TRUE(io::Files::System().WriteAt((*fresh)->file()->get(), large_, 0).ok());
    rig.files().Set([&](auto& s) {
      if (step == 0) s.fail_open = full;
      if (step == 1) s.fail_write = full;
      if (step == 2) s.fail_sync = full;
    });
    auto done = io::testing::RunSync(
        rig.store().Commit(Context(), "k", RecordFor(large_), std::move(*fresh)));
    ASSERT_FALSE(done.ok()) << step;
    EXPECT_EQ(done.error().code, Code::kResourceExhausted) << step;
    rig.files().Set([](auto& s) { s = {}; });
    EXPECT_EQ(rig.FilesWithoutEntry(), 0u) << step;
    EXPECT_TRUE(ReadBody(rig.Get("k")->body) == small_) << step;
  }
  EXPECT_TRUE(rig.Put("k", large_).ok());
  EXPECT_TRUE(ReadBody(rig.Get("k")->body) == large_);
}

TEST_F(EmbeddedStoreTest, SyncsWhatItsDurabilityPromises) {
  for (const auto& [durability, syncs] :
       {std::pair{Durability::kNone, 0}, std::pair{Durability::kBody, 1},
        std::pair{Durability::kFull, 2}}) {
    TempDir dir;
    Rig rig(OptionsIn(dir, durability));
    const int before = rig.files().Get().syncs;
    ASSERT_TRUE(rig.Put("k", large_).ok());
    EXPECT_EQ(rig.files().Get().syncs - before, syncs);
  }
}

TEST_F(EmbeddedStoreTest, AFileThatCannotBeRemovedIsSweptAtTheNextStart) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", large_).ok());
  rig.files().Set([](auto& s) { s.fail_remove = Error(Code::kUnavailable, "no"); });
  ASSERT_TRUE(*io::testing::RunSync(rig.store().Erase(Context(), "k")));
  EXPECT_EQ(rig.FilesWithoutEntry(), 1u);
  rig.Close();
  rig.files().Set([](auto& s) { s = {}; });
  rig.Open();
  EXPECT_EQ(rig.FilesWithoutEntry(), 0u);
  EXPECT_EQ(rig.Dropped("orphan"), 1);
}

TEST_F(EmbeddedStoreTest, ABodyMayOutliveTheStore) {
  Rig rig(OptionsIn(dir_));
  auto fresh = io::testing::RunSync(rig.store().Create(Context(), 0));
  ASSERT_TRUE(fresh.ok());
  rig.Close();
  EXPECT_EQ(BodyFilesIn(rig.options().data_dir).size(), 1u);
  fresh->reset();
  EXPECT_EQ(BodyFilesIn(rig.options().data_dir).size(), 0u);
}

TEST_F(EmbeddedStoreTest, ShowsItsUsageInTheMetricsAndSurvivesThem) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", small_).ok());
  EXPECT_THAT(rig.metrics().Render(), ::testing::HasSubstr("video_resizer_kv_entries 1\n"));
  EXPECT_THAT(rig.metrics().Render(), ::testing::HasSubstr("video_resizer_kv_bytes 1004\n"));
  rig.Close();
  EXPECT_THAT(rig.metrics().Render(), ::testing::HasSubstr("video_resizer_kv_entries"));
}

TEST_F(EmbeddedStoreTest, AGetThatComesTooLateSaysSo) {
  Rig rig(OptionsIn(dir_));
  ASSERT_TRUE(rig.Put("k", small_).ok());
  Context late;
  late.deadline = SteadyTime{};
  auto found = io::testing::RunSync(rig.store().Get(late, "k"));
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(io::testing::RunSync(rig.store().Get(late, "unknown")).ok());
}

TEST_F(EmbeddedStoreTest, ReopensTenThousandEntries) {
  Rig rig(OptionsIn(dir_));
  const std::string metadata(500, 'm');
  uint64_t bytes = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string body = "body " + std::to_string(i);
    Record record = RecordFor(body, metadata);
    record.tags.push_back("tag-" + std::to_string(i % 10));
    ASSERT_TRUE(PutBody(rig.store(), "video:" + std::to_string(i), body, record, body.size()).ok());
    bytes += body.size() + metadata.size();
  }
  rig.Close();
  const auto start = std::chrono::steady_clock::now();
  rig.Open();
  const auto took = std::chrono::steady_clock::now() - start;
  RecordProperty("open_ms", static_cast<int>(took / std::chrono::milliseconds(1)));
  std::printf("opened 10000 entries in %d ms\n",
              static_cast<int>(took / std::chrono::milliseconds(1)));
  EXPECT_EQ(rig.store().usage().entries, 10'000u);
  EXPECT_EQ(rig.store().usage().bytes, bytes);
  for (int i = 0; i < 10'000; i += 997) {
    EXPECT_EQ(ReadBody(rig.Get("video:" + std::to_string(i))->body), "body " + std::to_string(i));
  }
  auto page = io::testing::RunSync(rig.store().ListByTag(Context(), "tag-3", "", 5'000));
  EXPECT_EQ(page->rows.size(), 1'000u);
}

}  // namespace
}  // namespace vr::kv::testing
