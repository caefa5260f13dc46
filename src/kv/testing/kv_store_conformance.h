// The conformance suite: what every KvStore does, whatever it is made of. A backend is done when it
// passes:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, KvStoreConformance, ::testing::Values(Backend{"plain",
//   &MakeMemory}), BackendName);
//
// Include it in one file of a test program only: the tests are defined here.
//
// What may differ: which bodies come as memory and which as a file; the limits of keys and metadata
// beyond those used here; whether Commit verifies the checksum or Get does.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/files.h"
#include "io/testing/run_sync.h"
#include "kv/kv_store.h"
#include "kv/testing/put_body.h"

namespace vr::kv::testing {

/// A store under test and what surrounds it.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual KvStore& store() = 0;
  /// Bodies kept anywhere that no entry names, after background work has settled.
  virtual size_t Leftovers() = 0;
};

struct Backend {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>()> make;
};
inline void PrintTo(const Backend& b, std::ostream* out) {
  *out << b.name;
}
inline std::string BackendName(const ::testing::TestParamInfo<Backend>& info) {
  return info.param.name;
}

class KvStoreConformance : public ::testing::TestWithParam<Backend> {
 protected:
  KvStoreConformance() : under_test_(GetParam().make()) {}
  KvStore& store() { return under_test_->store(); }

  void Put(const std::string& key, const std::string& body, Record record) {
    Result<void> put = PutBody(store(), key, body, std::move(record), body.size());
    ASSERT_TRUE(put.ok()) << put.error().ToLogString();
  }
  void Put(const std::string& key, const std::string& body) { Put(key, body, RecordFor(body)); }
  std::optional<Found> Get(const std::string& key) {
    Result<std::optional<Found>> found = io::testing::RunSync(store().Get(Context(), key));
    EXPECT_TRUE(found.ok()) << found.error().ToLogString();
    return found.ok() ? *found : std::nullopt;
  }
  bool Erase(const std::string& key) {
    Result<bool> erased = io::testing::RunSync(store().Erase(Context(), key));
    EXPECT_TRUE(erased.ok());
    return erased.ok() && *erased;
  }
  bool Touch(const std::string& key, const std::string& body, const std::string& metadata,
             int64_t expires_ms) {
    Result<bool> touched =
        io::testing::RunSync(store().Touch(Context(), key, HashOf(body), metadata, expires_ms));
    EXPECT_TRUE(touched.ok());
    return touched.ok() && *touched;
  }
  using ListCall = io::Task<Result<Page>> (KvStore::*)(Context, std::string, std::string, size_t);
  /// All pages of a listing, joined; checks order and page sizes on the way.
  std::vector<std::string> All(ListCall call, const std::string& what, size_t limit = 1000) {
    std::vector<std::string> keys;
    std::string cursor;
    do {
      Result<Page> page = io::testing::RunSync((store().*call)(Context(), what, cursor, limit));
      EXPECT_TRUE(page.ok());
      if (!page.ok()) break;
      EXPECT_LE(page->rows.size(), limit);
      for (Listed& row : page->rows) {
        EXPECT_TRUE(keys.empty() || keys.back() < row.key) << row.key;
        keys.push_back(std::move(row.key));
      }
      cursor = page->cursor;
    } while (!cursor.empty());
    return keys;
  }
  void ExpectUsage(uint64_t entries, uint64_t bytes) {
    EXPECT_EQ(store().usage().entries, entries);
    EXPECT_EQ(store().usage().bytes, bytes);
  }

  std::unique_ptr<StoreUnderTest> under_test_;
};

using Keys = std::vector<std::string>;

TEST_P(KvStoreConformance, AnUnknownKeyIsAMissAndNoError) {
  EXPECT_FALSE(Get("nobody"));
  EXPECT_FALSE(Erase("nobody"));
  EXPECT_FALSE(Touch("nobody", "x", "m", 1));
  ExpectUsage(0, 0);
}

TEST_P(KvStoreConformance, WhatWasCommittedIsFoundWhole) {
  // Around the sizes at which backends change their mind, with right and wrong hints.
  for (const uint64_t size : {0ULL, 1ULL, 65'535ULL, 65'536ULL, 65'537ULL, 3'000'001ULL}) {
    for (const uint64_t hint : {uint64_t{0}, size, uint64_t{1}, uint64_t{10'000'000}}) {
      const std::string key = std::to_string(size) + "/" + std::to_string(hint);
      const std::string body = BytesFor(size, size + hint);
      Record record = RecordFor(body, "meta of " + key);
      Result<void> put = PutBody(store(), key, body, record, hint);
      ASSERT_TRUE(put.ok()) << key << ": " << put.error().ToLogString();
      const std::optional<Found> found = Get(key);
      ASSERT_TRUE(found) << key;
      EXPECT_EQ(found->body.size, size);
      EXPECT_TRUE(ReadBody(found->body) == body) << key;
      EXPECT_EQ(found->record.metadata, record.metadata);
      EXPECT_EQ(found->record.source, record.source);
      EXPECT_EQ(found->record.tags, record.tags);
      EXPECT_EQ(found->record.created_ms, record.created_ms);
      EXPECT_EQ(found->record.expires_ms, record.expires_ms);
      EXPECT_EQ(found->record.digest, record.digest);
      EXPECT_EQ(found->record.body_size, record.body_size);
      EXPECT_EQ(found->record.body_hash, record.body_hash);
    }
  }
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, KeysAndMetadataAreBytes) {
  const std::string zero("a\0b", 3);
  const std::string high("\xff\xfe\x00\x01", 4);
  Put("a", "one", RecordFor("one", zero));
  Put(zero, "two", RecordFor("two", high));
  Put(high, "three");
  EXPECT_EQ(ReadBody(Get("a")->body), "one");
  EXPECT_EQ(Get("a")->record.metadata, zero);
  EXPECT_EQ(ReadBody(Get(zero)->body), "two");
  EXPECT_EQ(ReadBody(Get(high)->body), "three");
  EXPECT_EQ(All(&KvStore::ListByTag, "video-mode-video"), (Keys{"a", zero, high}));
  EXPECT_EQ(All(&KvStore::ListByPrefix, "a", 1), (Keys{"a", zero}));
  EXPECT_TRUE(Erase(zero));
  EXPECT_EQ(All(&KvStore::ListBySource, "videos/a.mp4"), (Keys{"a", high}));
}

TEST_P(KvStoreConformance, ReplacingAKeyLeavesNothingOfTheOldEntry) {
  const std::string large = BytesFor(200'000, 1), small = BytesFor(100, 2),
                    other = BytesFor(300'000, 3);
  for (const std::string& body : {large, small, other, large}) {
    Record record = RecordFor(body, "m" + std::to_string(body.size()));
    record.tags = {"tag-" + std::to_string(body.size())};
    record.source = "source-" + std::to_string(body.size());
    Put("k", body, record);
    EXPECT_TRUE(ReadBody(Get("k")->body) == body);
    ExpectUsage(1, body.size() + record.metadata.size());
    EXPECT_EQ(All(&KvStore::ListByTag, record.tags[0]), Keys{"k"});
    EXPECT_EQ(All(&KvStore::ListBySource, record.source), Keys{"k"});
  }
  EXPECT_EQ(All(&KvStore::ListByTag, "tag-100"), Keys{});
  EXPECT_EQ(All(&KvStore::ListByTag, "tag-300000"), Keys{});
  EXPECT_EQ(All(&KvStore::ListBySource, "source-100"), Keys{});
  EXPECT_EQ(All(&KvStore::ListByPrefix, ""), Keys{"k"});
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, TheVersionChangesWithTheEntryAndItsListenerHearsOfIt) {
  Put("k", "one");
  if (!store().Version("k")) GTEST_SKIP() << "this backend has no versions";
  std::vector<std::string> heard;
  store().OnChange([&](std::string_view key) { heard.emplace_back(key); });
  const auto changes = [&](const std::function<void()>& act) {
    const std::optional<uint64_t> before = store().Version("k");
    heard.clear();
    act();
    return store().Version("k") != before && heard == Keys{"k"};
  };
  EXPECT_FALSE(changes([&] { Get("k"); }));
  EXPECT_FALSE(changes([&] { Put("other", "x"); }));
  EXPECT_EQ(heard, Keys{}) << "a new entry changes nothing that anybody can have read";
  EXPECT_TRUE(changes([&] { Put("k", "two"); }));
  EXPECT_TRUE(changes([&] { Put("k", "two"); })) << "the same bytes again are another entry";
  EXPECT_TRUE(changes([&] { Touch("k", "two", "renewed", 77); }));
  EXPECT_FALSE(changes([&] { Touch("k", "another body", "m", 99); }));
  EXPECT_TRUE(changes(
      [&] { EXPECT_TRUE(io::testing::RunSync(store().ExpireMany(Context(), {"k"}, 50)).ok()); }));
  EXPECT_TRUE(changes([&] { Erase("k"); }));
  EXPECT_EQ(store().Version("k"), std::nullopt);
  Put("k", "three");
  EXPECT_TRUE(changes(
      [&] { EXPECT_TRUE(io::testing::RunSync(store().EraseMany(Context(), {"k"})).ok()); }));
  store().OnChange({});
}

TEST_P(KvStoreConformance, TouchChangesMetadataAndExpiryAndNothingElse) {
  for (const uint64_t size : {uint64_t{10}, uint64_t{100'000}}) {
    const std::string body = BytesFor(size);
    Put("k", body);
    EXPECT_TRUE(Touch("k", body, "longer metadata", 77));
    const std::optional<Found> found = Get("k");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->record.metadata, "longer metadata");
    EXPECT_EQ(found->record.expires_ms, 77);
    EXPECT_TRUE(ReadBody(found->body) == body);
    const Record before = RecordFor(body);
    EXPECT_EQ(found->record.tags, before.tags);
    EXPECT_EQ(found->record.source, before.source);
    EXPECT_EQ(found->record.created_ms, before.created_ms);
    EXPECT_EQ(found->record.digest, before.digest);
    EXPECT_EQ(found->record.body_hash, before.body_hash);
    EXPECT_EQ(All(&KvStore::ListByTag, before.tags[0]), Keys{"k"});
    ExpectUsage(1, size + 15);
    EXPECT_FALSE(Touch("k", body + "x", "of another body", 99));
    EXPECT_EQ(Get("k")->record.metadata, "longer metadata");
    EXPECT_TRUE(Touch("k", body, "", 0));
    ExpectUsage(1, size);
    EXPECT_TRUE(ReadBody(Get("k")->body) == body);
  }
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, EraseRemovesEntryBodyAndIndexes) {
  Put("small", "x");
  Put("large", BytesFor(100'000));
  Put("stays", "yz");
  EXPECT_TRUE(Erase("small"));
  EXPECT_TRUE(Erase("large"));
  EXPECT_FALSE(Erase("large"));
  EXPECT_FALSE(Get("small"));
  EXPECT_FALSE(Get("large"));
  EXPECT_EQ(All(&KvStore::ListByPrefix, ""), Keys{"stays"});
  EXPECT_EQ(All(&KvStore::ListByTag, "video-mode-video"), Keys{"stays"});
  EXPECT_EQ(All(&KvStore::ListBySource, "videos/a.mp4"), Keys{"stays"});
  ExpectUsage(1, 2 + 4);
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, EraseManyErasesTheseAndNoOthers) {
  Keys keys, odd;
  for (int i = 0; i < 600; ++i) {
    const std::string key = "k" + std::to_string(1000 + i);
    Put(key, i % 50 == 0 ? BytesFor(80'000, static_cast<uint64_t>(i)) : "small");
    (i % 2 == 0 ? keys : odd).push_back(key);
  }
  keys.push_back("nobody");
  keys.push_back(keys[0]);  // twice
  Result<size_t> erased = io::testing::RunSync(store().EraseMany(Context(), keys));
  ASSERT_TRUE(erased.ok());
  EXPECT_EQ(*erased, 300u);
  EXPECT_EQ(All(&KvStore::ListByPrefix, ""), odd);
  EXPECT_EQ(All(&KvStore::ListByTag, "video-mode-video"), odd);
  EXPECT_EQ(All(&KvStore::ListBySource, "videos/a.mp4"), odd);
  EXPECT_FALSE(Get(keys[0]));
  EXPECT_TRUE(Get(odd[0]));
  EXPECT_EQ(store().usage().entries, 300u);
  EXPECT_EQ(under_test_->Leftovers(), 0u);
  EXPECT_EQ(*io::testing::RunSync(store().EraseMany(Context(), keys)), 0u);
  EXPECT_EQ(*io::testing::RunSync(store().EraseMany(Context(), Keys())), 0u);
  EXPECT_EQ(*io::testing::RunSync(store().EraseMany(Context(), odd)), 300u);
  ExpectUsage(0, 0);
}

TEST_P(KvStoreConformance, ExpireManyShortensLivesAndChangesNothingElse) {
  const std::string body = BytesFor(100'000);
  const auto put = [&](const std::string& key, int64_t expires_ms) {
    Record record = RecordFor(body, "meta of " + key);
    record.expires_ms = expires_ms;
    Put(key, body, record);
  };
  put("never", 0);
  put("late", 9'000);
  put("early", 1'000);
  put("other", 9'000);
  const Usage before = store().usage();
  Result<size_t> changed = io::testing::RunSync(
      store().ExpireMany(Context(), Keys{"never", "late", "early", "nobody", "late"}, 5'000));
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(*changed, 2u);
  EXPECT_EQ(Get("never")->record.expires_ms, 5'000);
  EXPECT_EQ(Get("late")->record.expires_ms, 5'000);
  EXPECT_EQ(Get("early")->record.expires_ms, 1'000);
  EXPECT_EQ(Get("other")->record.expires_ms, 9'000);
  EXPECT_EQ(Get("late")->record.metadata, "meta of late");
  EXPECT_TRUE(ReadBody(Get("late")->body) == body);
  EXPECT_EQ(All(&KvStore::ListByTag, "video-mode-video").size(), 4u);
  ExpectUsage(4, before.bytes);
}

TEST_P(KvStoreConformance, KnowsWhenItsNewestEntryWasCreated) {
  EXPECT_EQ(store().usage().newest_ms, 0);
  Record record = RecordFor("x");
  record.created_ms = 7'000;
  Put("a", "x", record);
  record.created_ms = 5'000;
  Put("b", "x", record);
  EXPECT_EQ(store().usage().newest_ms, 7'000);
}

TEST_P(KvStoreConformance, TheJournalKeepsWhatWasBegunUntilItIsEnded) {
  Journal& journal = store().journal();
  const auto pending = [&] {
    std::vector<std::string> texts;
    auto rows = io::testing::RunSync(journal.Pending(Context()));
    EXPECT_TRUE(rows.ok());
    for (const Journal::Row& row : *rows) texts.push_back(row.bytes);
    return texts;
  };
  EXPECT_EQ(pending(), Keys{});
  const std::string bytes("a\0\xff", 3);
  const uint64_t first = *io::testing::RunSync(journal.Begin(Context(), bytes));
  const uint64_t second = *io::testing::RunSync(journal.Begin(Context(), "second"));
  const uint64_t third = *io::testing::RunSync(journal.Begin(Context(), ""));
  EXPECT_EQ(pending(), (Keys{bytes, "second", ""}));
  EXPECT_TRUE(io::testing::RunSync(journal.End(Context(), second)).ok());
  EXPECT_EQ(pending(), (Keys{bytes, ""}));
  EXPECT_TRUE(io::testing::RunSync(journal.End(Context(), second)).ok()) << "twice is no error";
  EXPECT_TRUE(io::testing::RunSync(journal.End(Context(), first)).ok());
  EXPECT_TRUE(io::testing::RunSync(journal.End(Context(), third)).ok());
  EXPECT_EQ(pending(), Keys{});
  const std::string longest(Journal::kMaxBytes, 'x');
  EXPECT_TRUE(io::testing::RunSync(journal.Begin(Context(), longest)).ok());
  auto refused = io::testing::RunSync(journal.Begin(Context(), longest + "x"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  ExpectUsage(0, 0);
  EXPECT_EQ(All(&KvStore::ListByPrefix, ""), Keys{}) << "intentions are not entries";
}

TEST_P(KvStoreConformance, AReaderKeepsReadingWhatWasErasedOrReplaced) {
  const std::string body = BytesFor(500'000, 1);
  Put("k", body);
  const std::optional<Found> first = Get("k");
  Put("k", BytesFor(500'000, 2));
  const std::optional<Found> second = Get("k");
  Erase("k");
  EXPECT_EQ(under_test_->Leftovers(), 0u);
  EXPECT_TRUE(ReadBody(first->body) == body);
  EXPECT_TRUE(ReadBody(second->body) == BytesFor(500'000, 2));
}

TEST_P(KvStoreConformance, TheWritersDescriptorStaysReadableAfterCommit) {
  for (const uint64_t size : {uint64_t{100}, uint64_t{100'000}}) {
    for (const uint64_t hint : {uint64_t{0}, uint64_t{100}}) {
      const std::string body = BytesFor(size);
      auto fresh = io::testing::RunSync(store().Create(Context(), hint));
      ASSERT_TRUE(fresh.ok());
      const SharedFd mine = (*fresh)->file();
      ASSERT_TRUE(io::Files::System().WriteAt(mine->get(), body, 0).ok());
      auto done =
          io::testing::RunSync(store().Commit(Context(), "k", RecordFor(body), std::move(*fresh)));
      ASSERT_TRUE(done.ok());
      Result<std::string> again = io::ReadAt(mine->get(), 0, size);
      ASSERT_TRUE(again.ok());
      EXPECT_TRUE(*again == body);
    }
  }
}

TEST_P(KvStoreConformance, ABodyDroppedWithoutCommitLeavesNothing) {
  for (const uint64_t hint : {uint64_t{0}, uint64_t{10}, uint64_t{10'000'000}}) {
    auto fresh = io::testing::RunSync(store().Create(Context(), hint));
    ASSERT_TRUE(fresh.ok());
    ASSERT_TRUE(io::Files::System().WriteAt((*fresh)->file()->get(), BytesFor(100'000), 0).ok());
  }
  ExpectUsage(0, 0);
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, ABodyOfAnotherSizeThanAnnouncedIsRefusedAndLeavesNothing) {
  for (const uint64_t size : {uint64_t{100}, uint64_t{100'000}}) {
    for (const int off : {-1, 1}) {
      const std::string body = BytesFor(size);
      Record record = RecordFor(body);
      record.body_size = size + static_cast<uint64_t>(off);
      Result<void> put = PutBody(store(), "k", body, record, 0);
      ASSERT_FALSE(put.ok());
      EXPECT_EQ(put.error().code, Code::kCorruption);
    }
  }
  EXPECT_FALSE(Get("k"));
  ExpectUsage(0, 0);
  EXPECT_EQ(All(&KvStore::ListByPrefix, ""), Keys{});
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, AFailedCommitLeavesTheOldEntryAlone) {
  Put("k", "old");
  Record record = RecordFor("new!");
  record.body_size = 3;
  EXPECT_FALSE(PutBody(store(), "k", "new!", record, 0).ok());
  EXPECT_EQ(ReadBody(Get("k")->body), "old");
  ExpectUsage(1, 3 + 4);
}

TEST_P(KvStoreConformance, EntriesItCannotHoldAreRefusedClearly) {
  const auto code_of = [&](const std::string& key, const Record& record) {
    Result<void> put = PutBody(store(), key, "x", record, 0);
    return put.ok() ? std::optional<Code>() : put.error().code;
  };
  Record nul_tag = RecordFor("x"), nul_source = RecordFor("x"), no_hash = RecordFor("x");
  nul_tag.tags = {std::string("a\0b", 3)};
  nul_source.source = std::string("a\0b", 3);
  no_hash.body_hash = {};
  EXPECT_EQ(code_of("", RecordFor("x")), Code::kInvalidArgument);
  EXPECT_EQ(code_of("k", nul_tag), Code::kInvalidArgument);
  EXPECT_EQ(code_of("k", nul_source), Code::kInvalidArgument);
  EXPECT_EQ(code_of("k", no_hash), Code::kInvalidArgument);
  ExpectUsage(0, 0);
}

TEST_P(KvStoreConformance, ListingsAreCompleteAndExact) {
  const auto put = [&](const std::string& key, const std::string& source,
                       std::vector<std::string> tags) {
    Record record = RecordFor(key);
    record.source = source;
    record.tags = std::move(tags);
    Put(key, key, record);
  };
  // Neighbours whose names continue or precede the one asked for.
  put("video:a.mp4", "a.mp4", {"t"});
  put("video:a.mp4:w=80", "a.mp4", {"t", "t2"});
  put("video:a.mp4:w=800", "a.mp4", {"t2"});
  put("frame:a.mp4:w=80", "a.mp4", {"t", "t"});
  put("video:a.mp4x", "a.mp4x", {"tt"});
  put("video:a.mp", "a.mp", {""});
  put("video:none", "", {});
  EXPECT_EQ(All(&KvStore::ListBySource, "a.mp4"),
            (Keys{"frame:a.mp4:w=80", "video:a.mp4", "video:a.mp4:w=80", "video:a.mp4:w=800"}));
  EXPECT_EQ(All(&KvStore::ListBySource, "a.mp"), Keys{"video:a.mp"});
  EXPECT_EQ(All(&KvStore::ListBySource, "a"), Keys{});
  EXPECT_EQ(All(&KvStore::ListBySource, ""), Keys{});
  EXPECT_EQ(All(&KvStore::ListByTag, "t"),
            (Keys{"frame:a.mp4:w=80", "video:a.mp4", "video:a.mp4:w=80"}));
  EXPECT_EQ(All(&KvStore::ListByTag, "t2"), (Keys{"video:a.mp4:w=80", "video:a.mp4:w=800"}));
  EXPECT_EQ(All(&KvStore::ListByTag, "tt"), Keys{"video:a.mp4x"});
  EXPECT_EQ(All(&KvStore::ListByTag, "x"), Keys{});
  EXPECT_EQ(All(&KvStore::ListByPrefix, "video:a.mp4:w=80"),
            (Keys{"video:a.mp4:w=80", "video:a.mp4:w=800"}));
  EXPECT_EQ(All(&KvStore::ListByPrefix, "").size(), 7u);
  EXPECT_EQ(All(&KvStore::ListByPrefix, "w"), Keys{});
}

TEST_P(KvStoreConformance, ListingsComeInPages) {
  std::vector<std::string> expected;
  for (int i = 100; i < 137; ++i) {
    expected.push_back("k" + std::to_string(i));
    Put(expected.back(), "x");
  }
  Record other = RecordFor("x");
  other.tags = {"other"};
  other.source = "other";
  Put("k120-other", "x", other);
  for (const size_t limit : {1u, 2u, 36u, 37u, 38u}) {
    EXPECT_EQ(All(&KvStore::ListByTag, "video-mode-video", limit), expected);
    EXPECT_EQ(All(&KvStore::ListBySource, "videos/a.mp4", limit), expected);
    EXPECT_EQ(All(&KvStore::ListByPrefix, "k1", limit).size(), 38u);
  }
  // An entry that vanishes between two pages, even the one the cursor names, disturbs nobody else.
  auto first = io::testing::RunSync(store().ListByTag(Context(), "video-mode-video", "", 10));
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->rows.size(), 10u);
  Erase(first->rows.back().key);
  auto second =
      io::testing::RunSync(store().ListByTag(Context(), "video-mode-video", first->cursor, 100));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->rows.size(), 27u);
  EXPECT_EQ(second->rows.front().key, expected[10]);
  EXPECT_EQ(second->cursor, "");
  // Nor does it have to be a key of anything at all.
  auto after = io::testing::RunSync(store().ListBySource(Context(), "videos/a.mp4", "k12", 2));
  ASSERT_TRUE(after.ok());
  ASSERT_EQ(after->rows.size(), 2u);
  EXPECT_EQ(after->rows[0].key, "k120");
  EXPECT_EQ(after->rows[1].key, "k121");
}

TEST_P(KvStoreConformance, ListingsCarryTheRecord) {
  Put("k", "body", RecordFor("body", "some metadata"));
  for (const ListCall call :
       {&KvStore::ListByPrefix, &KvStore::ListByTag, &KvStore::ListBySource}) {
    const std::string what = call == &KvStore::ListByPrefix ? "k"
                             : call == &KvStore::ListByTag  ? "video-mode-video"
                                                            : "videos/a.mp4";
    Result<Page> page = io::testing::RunSync((store().*call)(Context(), what, "", 5));
    ASSERT_TRUE(page.ok());
    ASSERT_EQ(page->rows.size(), 1u);
    EXPECT_EQ(page->rows[0].record.metadata, "some metadata");
    EXPECT_EQ(page->rows[0].record.body_hash, HashOf("body"));
    EXPECT_EQ(page->rows[0].record.body_size, 4u);
  }
}

TEST_P(KvStoreConformance, ConcurrentCommitsOfOneKeyEndWithOneOfThemWhole) {
  constexpr int kWriters = 4, kRounds = 12;
  std::vector<std::thread> writers;
  std::atomic<int> failures{0};
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kRounds; ++i) {
        const uint64_t size =
            (w % 2 == 0) ? 1'000 + static_cast<uint64_t>(i) : 100'000 + static_cast<uint64_t>(i);
        const std::string body = BytesFor(size, static_cast<uint64_t>(w * 1000 + i));
        Record record = RecordFor(body, body.substr(0, 16));
        record.tags = {"writer-" + std::to_string(w)};
        if (!PutBody(store(), "k", body, record, 0).ok()) ++failures;
        Result<std::optional<Found>> found = io::testing::RunSync(store().Get(Context(), "k"));
        // Somebody's entry is always there, and never a mix of two.
        if (!found.ok() || !*found ||
            HashOf(ReadBody((*found)->body)) != (*found)->record.body_hash ||
            ReadBody((*found)->body).substr(0, 16) != (*found)->record.metadata) {
          ++failures;
        }
      }
    });
  }
  for (std::thread& t : writers) t.join();
  EXPECT_EQ(failures.load(), 0);
  const std::optional<Found> last = Get("k");
  ASSERT_TRUE(last);
  ExpectUsage(1, last->body.size + 16);
  size_t tagged = 0;
  for (int w = 0; w < kWriters; ++w) {
    tagged += All(&KvStore::ListByTag, "writer-" + std::to_string(w)).size();
  }
  EXPECT_EQ(tagged, 1u);
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

TEST_P(KvStoreConformance, ConcurrentCommitsAndErasesKeepTheAccountsExact) {
  constexpr int kThreads = 4, kRounds = 40;
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string key = "k" + std::to_string((i * 7 + t) % 5);
        const std::string body = BytesFor(i % 3 == 0 ? 80'000 : 50, static_cast<uint64_t>(i));
        bool ok = false;
        if (i % 4 == 3) {
          ok = io::testing::RunSync(store().Erase(Context(), key)).ok();
        } else {
          ok = PutBody(store(), key, body,
                       RecordFor(body, std::string(static_cast<size_t>(i), 'm')), 0)
                   .ok();
        }
        if (!ok) ++failures;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failures.load(), 0);
  uint64_t entries = 0, bytes = 0;
  for (const std::string& key : All(&KvStore::ListByPrefix, "")) {
    const std::optional<Found> found = Get(key);
    ASSERT_TRUE(found) << key;
    EXPECT_EQ(HashOf(ReadBody(found->body)), found->record.body_hash);
    ++entries;
    bytes += found->body.size + found->record.metadata.size();
  }
  ExpectUsage(entries, bytes);
  EXPECT_EQ(under_test_->Leftovers(), 0u);
}

}  // namespace vr::kv::testing
