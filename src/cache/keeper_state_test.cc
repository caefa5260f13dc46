#include "cache/keeper_state.h"

#include <gtest/gtest.h>

namespace vr::cache {
namespace {

KeeperState Sample() {
  KeeperState state;
  state.saved_ms = 1'700'000'000'000;
  state.policy = "lru";
  state.uses = {{0x0123456789abcdef, 1'700'000'000'001, 7, 2.0f}, {9, 5, 0, 0.25f}};
  state.policies = {{"", "all"}, {"videos", std::string("\0x", 2)}};
  return state;
}

TEST(KeeperState, WhatIsWrittenIsRead) {
  Result<KeeperState> read = DecodeState(EncodeState(Sample()));
  ASSERT_TRUE(read.ok()) << read.error().ToLogString();
  EXPECT_EQ(read->saved_ms, 1'700'000'000'000);
  EXPECT_EQ(read->policy, "lru");
  ASSERT_EQ(read->uses.size(), 2u);
  EXPECT_EQ(read->uses[0].id, 0x0123456789abcdefu);
  EXPECT_EQ(read->uses[0].used_ms, 1'700'000'000'001);
  EXPECT_EQ(read->uses[0].uses, 7u);
  EXPECT_EQ(read->uses[1].ttl_factor, 0.25f);
  EXPECT_EQ(read->policies, Sample().policies);
}

TEST(KeeperState, ItsBytesAreTheFormats) {
  KeeperState state;
  state.saved_ms = 1;
  state.policy = "lru";
  state.uses = {{2, 3, 4, 1.5f}};
  const std::string bytes = EncodeState(state);
  const std::string head = "video-resizer capacity 1\n";
  ASSERT_EQ(bytes.substr(0, head.size()), head);
  const std::string body(
      "\0\0\0\0\0\0\0\1\0\0\0\3lru\0\0\0\0\0\0\0\1"
      "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\4\0\0\x05\xdc\0\0\0\0",
      8 + 7 + 8 + 24 + 4);
  EXPECT_EQ(bytes.substr(head.size(), body.size()), body);
  EXPECT_EQ(bytes.size(), head.size() + body.size() + 16);
}

TEST(KeeperState, EveryCutAndEveryFlippedByteIsFound) {
  const std::string good = EncodeState(Sample());
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(DecodeState(good.substr(0, n)).ok()) << n;
    std::string bad = good;
    bad[n] = static_cast<char>(bad[n] ^ 0x40);
    EXPECT_FALSE(DecodeState(bad).ok()) << n;
  }
}

TEST(KeeperState, AnotherVersionIsToldApart) {
  std::string newer = EncodeState(Sample());
  newer[newer.find('1')] = '2';
  Result<KeeperState> read = DecodeState(newer);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace vr::cache
