// What a full disk does to the index: it costs the writes that did not fit, and neither the process
// (RocksDB with assertions ends it when a log is touched again after it failed) nor what was
// stored.
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "kv/index_db.h"
#include "kv/testing/full_disk.h"

namespace vr::kv::testing {
namespace {

using Refuses = FullDisk::Refuses;

class IndexOnAFullDisk : public ::testing::TestWithParam<Refuses> {
 protected:
  IndexOnAFullDisk() {
    std::string name = std::filesystem::temp_directory_path() / "vr-kv-XXXXXX";
    dir_ = ::mkdtemp(name.data());
    Open();
  }
  ~IndexOnAFullDisk() override {
    index_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  void Open() {
    auto opened = IndexDb::Open(dir_ + "/index", 1 << 20, disk_.env());
    ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
    index_ = std::move(*opened);
  }
  Result<void> Put(const std::string& row, bool sync = false, size_t size = 100) {
    IndexDb::Batch batch(*index_);
    batch.Put(Table::kEntry, row, std::string(size, 'v'));
    return index_->Write(batch, sync);
  }
  bool Has(const std::string& row) {
    auto found = index_->Get(Table::kEntry, row);
    EXPECT_TRUE(found.ok());
    return found.ok() && *found;
  }
  void ExpectFull(const std::string& row) {
    Result<void> put = Put(row);
    ASSERT_FALSE(put.ok());
    EXPECT_EQ(put.error().code, Code::kResourceExhausted) << put.error().ToLogString();
  }
  /// RocksDB looks by a clock of its own whether there is room again: we can only ask.
  void ExpectPutSoon(const std::string& row, size_t size = 100) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    Result<void> put = Put(row, false, size);
    while (!put.ok() && std::chrono::steady_clock::now() < give_up) {
      ASSERT_EQ(put.error().code, Code::kResourceExhausted) << put.error().ToLogString();
      std::this_thread::yield();
      put = Put(row, false, size);
    }
    ASSERT_TRUE(put.ok()) << put.error().ToLogString();
  }

  std::string dir_;
  FullDisk disk_;
  std::unique_ptr<IndexDb> index_;
};

/// The threads that flush memory tables, kept from it.
class BusyFlushThreads {
 public:
  BusyFlushThreads() {
    for (int i = 0; i < count_; ++i) rocksdb::Env::Default()->Schedule(&Wait, this, kFlushes);
    begun_.wait();
  }
  ~BusyFlushThreads() {
    if (!may_end_.try_wait()) EndAndWait();
  }
  /// Returns when what was waiting for the threads has had its turn.
  void EndAndWait() {
    may_end_.count_down();
    std::latch turn(1);
    const auto pass = [](void* latch) { static_cast<std::latch*>(latch)->count_down(); };
    rocksdb::Env::Default()->Schedule(pass, &turn, kFlushes);
    turn.wait();
  }

 private:
  static constexpr auto kFlushes = rocksdb::Env::Priority::HIGH;
  static void Wait(void* self) {
    static_cast<BusyFlushThreads*>(self)->begun_.count_down();
    static_cast<BusyFlushThreads*>(self)->may_end_.wait();
  }
  const int count_ = rocksdb::Env::Default()->GetBackgroundThreads(kFlushes);
  std::latch begun_{count_};
  std::latch may_end_{1};
};

TEST_P(IndexOnAFullDisk, DoesNotForgetAFlushThatWasWaitingForItsThread) {
  BusyFlushThreads threads;
  int stored = 0;
  for (; stored < 20; ++stored) ASSERT_TRUE(Put("a" + std::to_string(stored), false, 1 << 20).ok());
  disk_.Refuse(GetParam());
  ExpectFull("refused");
  threads.EndAndWait();
  disk_.Refuse(Refuses::kNothing);
  ExpectPutSoon("last");
  index_.reset();
  Open();
  EXPECT_TRUE(Has("last"));
  EXPECT_FALSE(Has("refused"));
  for (int i = 0; i < stored; ++i) EXPECT_TRUE(Has("a" + std::to_string(i))) << i;
}

TEST_P(IndexOnAFullDisk, TakesWritesAgainWhenThereIsRoom) {
  ASSERT_TRUE(Put("a").ok());
  disk_.Refuse(GetParam());
  for (int i = 0; i < 20; ++i) ExpectFull("b");
  EXPECT_TRUE(Has("a"));
  disk_.Refuse(Refuses::kNothing);
  ExpectPutSoon("c");
  index_.reset();
  Open();
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
  EXPECT_TRUE(Has("c"));
}

// Nothing is in memory that recovering could move to a file, so nothing that would give RocksDB a
// reason to begin a new log.
TEST_P(IndexOnAFullDisk, RecoversWhenTheFirstWriteAfterARecoveryFails) {
  for (int round = 0; round < 5; ++round) {
    disk_.Refuse(GetParam());
    ExpectFull("a");
    ExpectFull("a");
    disk_.Refuse(Refuses::kNothing);
    ExpectPutSoon("b" + std::to_string(round));
  }
  index_.reset();
  Open();
  EXPECT_FALSE(Has("a"));
  for (int round = 0; round < 5; ++round) EXPECT_TRUE(Has("b" + std::to_string(round)));
}

TEST_P(IndexOnAFullDisk, RecoversWhenNothingWasWrittenSinceItWasOpened) {
  index_.reset();
  Open();
  disk_.Refuse(GetParam());
  ExpectFull("a");
  disk_.Refuse(Refuses::kNothing);
  ExpectPutSoon("b");
  index_.reset();
  Open();
  EXPECT_FALSE(Has("a"));
  EXPECT_TRUE(Has("b"));
}

TEST_P(IndexOnAFullDisk, IsClosedInOrder) {
  ASSERT_TRUE(Put("a").ok());
  disk_.Refuse(GetParam());
  ExpectFull("b");
  index_.reset();
  disk_.Refuse(Refuses::kNothing);
  Open();
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
}

// A memory table that is full asks for a new log, which cannot be made.
TEST_P(IndexOnAFullDisk, LosesNothingWhenTheLogCannotBeChanged) {
  int stored = 0;
  for (; stored < 14; ++stored) ASSERT_TRUE(Put("a" + std::to_string(stored), false, 1 << 20).ok());
  disk_.Refuse(GetParam());
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(Put("b", false, 4 << 20).ok());
  disk_.Refuse(Refuses::kNothing);
  for (int i = 0; i < 10; ++i, ++stored) {
    ExpectPutSoon("a" + std::to_string(stored), 1 << 20);
    disk_.Refuse(GetParam());
    (void)Put("b", false, 4 << 20).ok();
    disk_.Refuse(Refuses::kNothing);
  }
  index_.reset();
  Open();
  for (int i = 0; i < stored; ++i) EXPECT_TRUE(Has("a" + std::to_string(i))) << i;
}

// The table is full, and its thread has not begun: the next write wants another log first.
TEST_P(IndexOnAFullDisk, LosesNothingWhenThereIsNoRoomForANewLogOnly) {
  int stored = 0;
  const auto put = [&] { return Put("a" + std::to_string(stored), false, 1 << 20); };
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      disk_.Refuse(i < 13 ? Refuses::kNothing : Refuses::kNewFiles);
      if (put().ok()) ++stored;
    }
    disk_.Refuse(Refuses::kNothing);
    ExpectPutSoon("a" + std::to_string(stored++));
  }
  index_.reset();
  Open();
  for (int i = 0; i < stored; ++i) EXPECT_TRUE(Has("a" + std::to_string(i))) << i;
}

// RocksDB remembers that it refused writes once, and would then refuse them for this too.
TEST_P(IndexOnAFullDisk, TakesWritesWhenOnlyACompactionFindsNoRoom) {
  ASSERT_TRUE(Put("a").ok());
  disk_.Refuse(GetParam());
  ExpectFull("b");
  disk_.Refuse(Refuses::kNothing);
  ExpectPutSoon("c");
  disk_.Refuse(Refuses::kCompactions);
  // The same rows in each file, which have to be merged.
  for (int i = 0; i < 80; ++i) {
    Result<void> put = Put("d" + std::to_string(i % 10), false, 1 << 20);
    ASSERT_TRUE(put.ok()) << i << ": " << put.error().ToLogString();
  }
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (disk_.refused_compactions() < 2) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up);
    Result<void> put = Put("e");
    ASSERT_TRUE(put.ok()) << put.error().ToLogString();
  }
  disk_.Refuse(Refuses::kNothing);
  index_.reset();
  Open();
  for (const char* row : {"a", "c", "d0", "d9", "e"}) EXPECT_TRUE(Has(row)) << row;
}

TEST_P(IndexOnAFullDisk, IsNotFullWhenItIsBroken) {
  const auto expect_broken = [&] {
    Result<void> put = Put("b");
    ASSERT_FALSE(put.ok());
    EXPECT_EQ(put.error().code, Code::kUnavailable) << put.error().ToLogString();
  };
  ASSERT_TRUE(Put("a").ok());
  disk_.Refuse(Refuses::kBroken);
  for (int i = 0; i < 20; ++i) expect_broken();
  EXPECT_TRUE(Has("a"));
  disk_.Refuse(Refuses::kNothing);
  expect_broken();  // until it is opened again
  index_.reset();
  Open();
  EXPECT_TRUE(Has("a"));
  EXPECT_TRUE(Put("c").ok());
}

TEST_P(IndexOnAFullDisk, ManyThreadsWriteAndSyncWhileItFillsAndEmpties) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 20;
  std::atomic<bool> is_over{false};
  std::vector<std::vector<std::string>> stored(kThreads);
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> accepted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !is_over; ++i) {
        const std::string row = std::to_string(t) + "-" + std::to_string(i);
        if (Put(row, i % 3 == 0, t == 0 ? 70'000 : 200).ok()) {
          stored[t].push_back(row);
          ++accepted;
        } else {
          ++refused;
        }
        if (t % 2 == 1) (void)index_->SyncLog().ok();
      }
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    for (const uint64_t from = accepted; accepted < from + 20;) std::this_thread::yield();
    disk_.Refuse(GetParam());
    for (const uint64_t from = refused; refused < from + 20;) std::this_thread::yield();
    disk_.Refuse(Refuses::kNothing);
  }
  is_over = true;
  for (std::thread& t : threads) t.join();
  index_.reset();
  Open();
  for (const auto& rows : stored) {
    for (const std::string& row : rows) ASSERT_TRUE(Has(row)) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Disks, IndexOnAFullDisk,
                         ::testing::Values(Refuses::kGrowth, Refuses::kAll), [](const auto& info) {
                           return info.param == Refuses::kGrowth ? "RefusesGrowth" : "RefusesAll";
                         });

}  // namespace
}  // namespace vr::kv::testing
