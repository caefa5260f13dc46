#include "kv/memory_store.h"

#include "kv/testing/fake_kv_store.h"
#include "kv/testing/kv_store_conformance.h"

namespace vr::kv::testing {
namespace {

class MemoryUnderTest final : public StoreUnderTest {
 public:
  KvStore& store() override { return store_; }
  size_t Leftovers() override { return static_cast<size_t>(store_.open_bodies()); }

 private:
  MemoryStore store_;
};

std::unique_ptr<StoreUnderTest> MakeMemory() {
  return std::make_unique<MemoryUnderTest>();
}

INSTANTIATE_TEST_SUITE_P(Memory, KvStoreConformance,
                         ::testing::Values(Backend{"memory", &MakeMemory}), BackendName);

TEST(FakeKvStore, FailsWhereItIsToldTo) {
  FakeKvStore store;
  const Error broken(Code::kUnavailable, "broken on purpose");
  store.Set([&](FakeKvStore::Failures& f) { f.fail_create = broken; });
  EXPECT_FALSE(PutBody(store, "k", "x", RecordFor("x"), 0).ok());
  store.Set([&](FakeKvStore::Failures& f) {
    f.fail_create.reset();
    f.fail_commit = broken;
  });
  EXPECT_FALSE(PutBody(store, "k", "x", RecordFor("x"), 0).ok());
  store.Set([&](FakeKvStore::Failures& f) { f.fail_commit.reset(); });
  EXPECT_TRUE(PutBody(store, "k", "x", RecordFor("x"), 0).ok());
  store.Set([&](FakeKvStore::Failures& f) { f.fail_get = broken; });
  EXPECT_FALSE(io::testing::RunSync(store.Get(Context(), "k")).ok());
  EXPECT_EQ(store.calls().commits, 2u);
  EXPECT_EQ(store.calls().gets, 1u);
  EXPECT_EQ(store.open_bodies(), 0);
}

TEST(MemoryStore, AcceptsNothingMoreOnceItIsFull) {
  MemoryStore::Options options;
  options.max_bytes = 10;
  MemoryStore store(options);
  EXPECT_TRUE(PutBody(store, "k", "0123456789", RecordFor("0123456789"), 0).ok());
  Result<void> put = PutBody(store, "l", "x", RecordFor("x"), 0);
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code, Code::kResourceExhausted);
}

TEST(MemoryStore, RefusesABodyWithAnotherChecksum) {
  MemoryStore store;
  Result<void> put = PutBody(store, "k", "x", RecordFor("y"), 0);
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code, Code::kCorruption);
}

}  // namespace
}  // namespace vr::kv::testing
