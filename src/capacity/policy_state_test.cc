// Golden bytes of docs/formats/policy.md, and what Load() makes of anything else.
#include "capacity/policy_state.h"

#include <gtest/gtest.h>

#include <random>

#include "base/hash.h"
#include "capacity/eviction_policy.h"

namespace vr::capacity {
namespace {

std::unique_ptr<EvictionPolicy> Make(std::string_view name) {
  PolicyOptions options;
  options.max_bytes = 1000;
  options.expected_entries = 1;
  options.half_life_ms = 1000;
  return std::move(*MakePolicy(name, options));
}

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

/// Everything but the checksum, which is checked.
std::string HexOfState(const EvictionPolicy& policy) {
  const std::string state = policy.Save();
  const size_t body = state.size() - 8;
  EXPECT_EQ(GetUint(state, body, 8), Hash64Of(state.substr(0, body)));
  return Hex(state.substr(0, body));
}

TEST(PolicyState, LruIsWrittenAsDocumented) {
  const auto policy = Make("lru");
  policy->Insert({1, 10, 1}, 0);
  policy->Insert({2, 10, 1}, 0);
  policy->Hit(1, 0);
  EXPECT_EQ(HexOfState(*policy),
            "7672706f6c6963790101"
            "00000002"
            "0000000000000002"
            "0000000000000001");
}

TEST(PolicyState, S3FifoIsWrittenAsDocumented) {
  const auto policy = Make("s3-fifo");
  for (const uint64_t id : {1, 2, 3, 4}) policy->Insert({id, 200, 1}, 0);
  for (int n = 0; n < 3; ++n) policy->Hit(1, 0);
  EXPECT_EQ(policy->Evict(0), std::optional<uint64_t>(2));  // 1 goes to the main queue
  policy->Hit(1, 0);
  for (int n = 0; n < 9; ++n) policy->Hit(4, 0);
  EXPECT_EQ(HexOfState(*policy),
            "7672706f6c6963790102"
            "00000002"
            "000000000000000300"
            "000000000000000403"
            "00000001"
            "000000000000000101"
            "00000001"
            "0000000000000002");
}

TEST(PolicyState, SieveIsWrittenAsDocumented) {
  const auto policy = Make("sieve");
  policy->Insert({1, 10, 1}, 0);
  policy->Insert({2, 10, 1}, 0);
  policy->Hit(1, 0);
  EXPECT_EQ(HexOfState(*policy),
            "7672706f6c6963790103"
            "00000002"
            "000000000000000101"
            "000000000000000200");
}

TEST(PolicyState, CostAwareIsWrittenAsDocumented) {
  const auto policy = Make("cost-aware");
  policy->Insert({1, 0, 1}, 0);
  policy->Insert({2, 0, 5}, 0);
  policy->Insert({3, 0, 0.1}, 0);
  policy->Hit(1, 0);
  EXPECT_EQ(policy->Evict(0), std::optional<uint64_t>(3));
  policy->Miss(9, 2000);
  std::string state = HexOfState(*policy);
  const std::string beginning =
      "7672706f6c6963790104"
      "00000002"
      "0000000000000001bf800000"  // two requests, two half-lives ago: -1
      "0000000000000002c0000000"  // one: -2
      "00000001"
      "0000000000000003c0000000"
      "00000100";  // four rows of 64 counters
  ASSERT_EQ(state.substr(0, beginning.size()), beginning);
  state.erase(0, beginning.size());
  ASSERT_EQ(state.size(), 512u);
  size_t ones = 0;
  for (size_t row = 0; row < 4; ++row) {
    for (size_t n = 0; n < 64; ++n) ones += state.substr(row * 128 + n * 2, 2) == "01" ? 1 : 0;
    EXPECT_EQ(ones, row + 1) << "9 was asked for once, so each row has counted one";
  }
}

TEST(PolicyState, RandomBytesAreNoState) {
  std::mt19937_64 random(99);
  for (const std::string_view name : PolicyNames()) {
    const auto policy = Make(name);
    policy->Insert({1, 10, 1}, 0);
    for (int n = 0; n < 2000; ++n) {
      std::string bytes(random() % 200, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      ASSERT_FALSE(policy->Load(bytes).ok());
    }
    EXPECT_EQ(policy->entries(), 1u);
  }
}

/// The checksum is right, so the reader itself has to see what is wrong.
TEST(PolicyState, RandomContentIsRefusedOrHarmless) {
  std::mt19937_64 random(4711);
  const std::pair<std::string_view, PolicyKind> kinds[] = {{"lru", PolicyKind::kLru},
                                                           {"s3-fifo", PolicyKind::kS3Fifo},
                                                           {"sieve", PolicyKind::kSieve},
                                                           {"cost-aware", PolicyKind::kCostAware}};
  for (const auto& [name, kind] : kinds) {
    size_t taken = 0;
    for (int n = 0; n < 5000; ++n) {
      const auto policy = Make(name);
      for (const uint64_t id : {0, 1, 2, 255, 256}) policy->Insert({id, 10, 1}, 0);
      std::string payload(random() % 120, '\0');
      for (char& c : payload) c = static_cast<char>(random() % 4 == 0 ? random() % 4 : 0);
      taken += policy->Load(SealState(kind, payload)).ok() ? 1 : 0;
      ASSERT_EQ(policy->entries(), 5u);
      ASSERT_EQ(policy->bytes(), 50u);
      size_t evicted = 0;
      while (policy->Evict(1)) ++evicted;
      ASSERT_EQ(evicted, 5u) << name << " " << Hex(payload);
    }
    EXPECT_LT(taken, 5000u);
  }
}

TEST(PolicyState, AStateThatAsksForMuchMemoryGetsNone) {
  std::string payload;
  PutUint(payload, UINT32_MAX, 4);
  for (const auto kind : {PolicyKind::kLru, PolicyKind::kSieve, PolicyKind::kCostAware}) {
    const auto policy = Make(kind == PolicyKind::kLru     ? "lru"
                             : kind == PolicyKind::kSieve ? "sieve"
                                                          : "cost-aware");
    const Result<void> loaded = policy->Load(SealState(kind, payload));
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().code, Code::kCorruption);
  }
}

TEST(PolicyState, APopularityThatIsNoNumberIsCorrupt) {
  const auto policy = Make("cost-aware");
  policy->Insert({1, 10, 1}, 0);
  for (const uint64_t bits : {0x7fc00000ULL, 0x7f800000ULL, 0xff800000ULL, 0x42820000ULL}) {
    std::string payload;
    PutUint(payload, 1, 4);
    PutUint(payload, 1, 8);
    PutUint(payload, bits, 4);
    PutUint(payload, 0, 4);
    PutUint(payload, 0, 4);
    EXPECT_FALSE(policy->Load(SealState(PolicyKind::kCostAware, payload)).ok());
  }
}

TEST(PolicyState, AnotherPolicysStateIsUnsupported) {
  const Result<void> loaded = Make("lru")->Load(Make("sieve")->Save());
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace vr::capacity
