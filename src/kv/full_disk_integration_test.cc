// What a full disk does to the index: it costs the writes that did not fit, and neither the process
// (RocksDB with assertions ends it when a log is touched again after it failed) nor what was
// stored.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
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
  /// RocksDB recovers by a clock of its own, every five seconds: we can only ask again.
  void ExpectPutSoon(const std::string& row) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    Result<void> put = Put(row);
    while (!put.ok() && std::chrono::steady_clock::now() < give_up) {
      EXPECT_EQ(put.error().code, Code::kResourceExhausted) << put.error().ToLogString();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      put = Put(row);
    }
    ASSERT_TRUE(put.ok()) << put.error().ToLogString();
  }

  std::string dir_;
  FullDisk disk_;
  std::unique_ptr<IndexDb> index_;
};

// At the first failure there is nothing in memory that recovering could move to a file, so nothing
// that gives RocksDB a reason to begin a new log.
TEST_P(IndexOnAFullDisk, TakesWritesAgainWhenThereIsRoom) {
  for (const std::string round : {"1", "2"}) {
    disk_.Refuse(GetParam());
    for (int i = 0; i < 20; ++i) ExpectFull("refused");
    disk_.Refuse(Refuses::kNothing);
    ExpectPutSoon(round);
  }
  EXPECT_TRUE(Has("1"));
  index_.reset();
  Open();
  EXPECT_FALSE(Has("refused"));
  EXPECT_TRUE(Has("1"));
  EXPECT_TRUE(Has("2"));
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

TEST_P(IndexOnAFullDisk, LosesNothingOfAMemoryTableThatIsFullToo) {
  int stored = 0;
  for (; stored < 14; ++stored) ASSERT_TRUE(Put("a" + std::to_string(stored), false, 1 << 20).ok());
  disk_.Refuse(GetParam());
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(Put("refused", false, 4 << 20).ok());
  disk_.Refuse(Refuses::kNothing);
  ExpectPutSoon("a" + std::to_string(stored++));
  // Now a flush of the background is what finds no room, or a write beside it.
  for (int i = 0; i < 18; ++i) {
    if (i == 17) disk_.Refuse(Refuses::kGrowth);
    if (Put("a" + std::to_string(stored), false, 1 << 20).ok()) ++stored;
  }
  disk_.Refuse(Refuses::kNothing);
  ExpectPutSoon("last");
  index_.reset();
  Open();
  EXPECT_TRUE(Has("last"));
  for (int i = 0; i < stored; ++i) EXPECT_TRUE(Has("a" + std::to_string(i))) << i;
}

TEST_P(IndexOnAFullDisk, ManyThreadsWriteAndSyncWhileItFillsAndEmpties) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2;
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
