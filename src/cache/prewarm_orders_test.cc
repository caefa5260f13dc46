#include "cache/prewarm_orders.h"

#include <gtest/gtest.h>

namespace vr::cache {
namespace {

KeptOrder Sample(const std::string& id) {
  KeptOrder order;
  order.id = id;
  order.cause = 1;
  order.created_ms = 1'700'000'000'001;
  order.made = 2;
  order.held = 3;
  order.joined = 4;
  order.failed = 5;
  order.cancelled = 6;
  order.targets = {"/a.mp4?width=64", "/b.mp4?derivative=low"};
  return order;
}

TEST(PrewarmOrders, WhatIsWrittenIsRead) {
  const auto read = DecodeOrders(EncodeOrders({Sample("x"), KeptOrder()}));
  ASSERT_TRUE(read.ok()) << read.error().ToLogString();
  ASSERT_EQ(read->size(), 2u);
  const KeptOrder& order = read->front();
  EXPECT_EQ(order.id, "x");
  EXPECT_EQ(order.cause, 1);
  EXPECT_EQ(order.created_ms, 1'700'000'000'001);
  EXPECT_EQ(order.made, 2u);
  EXPECT_EQ(order.held, 3u);
  EXPECT_EQ(order.joined, 4u);
  EXPECT_EQ(order.failed, 5u);
  EXPECT_EQ(order.cancelled, 6u);
  EXPECT_EQ(order.targets, Sample("x").targets);
  EXPECT_TRUE(DecodeOrders(EncodeOrders({}))->empty());
}

TEST(PrewarmOrders, TheirBytesAreTheFormats) {
  KeptOrder order = Sample("id");
  order.created_ms = 7;
  order.targets = {"/a"};
  const std::string bytes = EncodeOrders({order});
  const std::string head = "video-resizer prewarm 1\n";
  ASSERT_EQ(bytes.substr(0, head.size()), head);
  const std::string body(
      "\0\0\0\1\0\0\0\2id\1\0\0\0\0\0\0\0\7"
      "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6"
      "\0\0\0\1\0\0\0\2/a",
      4 + 6 + 1 + 8 + 40 + 4 + 6);
  EXPECT_EQ(bytes.substr(head.size(), body.size()), body);
  EXPECT_EQ(bytes.size(), head.size() + body.size() + 16);
}

TEST(PrewarmOrders, EveryCutAndEveryFlippedByteIsFound) {
  const std::string good = EncodeOrders({Sample("x")});
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(DecodeOrders(good.substr(0, n)).ok()) << n;
    std::string bad = good;
    bad[n] = static_cast<char>(bad[n] ^ 1);
    EXPECT_FALSE(DecodeOrders(bad).ok()) << n;
  }
}

TEST(PrewarmOrders, AnotherVersionIsToldFromDamage) {
  std::string next = EncodeOrders({});
  next[std::string("video-resizer prewarm ").size()] = '2';
  EXPECT_EQ(DecodeOrders(next).error().code, Code::kUnsupported);
  KeptOrder order;
  order.cause = 3;
  EXPECT_EQ(DecodeOrders(EncodeOrders({order})).error().code, Code::kCorruption);
}

TEST(PrewarmOrders, WhatWouldMakeTheFileTooLargeIsNotKept) {
  KeptOrder large;
  large.targets.assign(9000, std::string(2000, 'x'));
  const std::string bytes = EncodeOrders({Sample("first"), large, large, Sample("last")});
  EXPECT_LE(bytes.size(), kMostOrderBytes);
  const auto read = DecodeOrders(bytes);
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(read->front().id, "first");
}

}  // namespace
}  // namespace vr::cache
