#include "cache/edge.h"

#include <gtest/gtest.h>

#include <thread>

namespace vr::cache {
namespace {

EntityRef Make(const std::string& key, size_t bytes, bool as_file = false) {
  auto entity = std::make_shared<Entity>();
  entity->key = key;
  entity->meta.content_length = bytes;
  if (as_file) {
    entity->file = std::make_shared<const UniqueFd>();
  } else {
    entity->memory = std::make_shared<const std::string>(bytes, 'x');
  }
  entity->head = std::make_shared<const std::string>();
  return entity;
}

EdgeOptions Bytes(uint64_t max) {
  EdgeOptions options;
  options.max_bytes = max;
  return options;
}

TEST(Edge, FindsWhatWasInserted) {
  Edge edge(Bytes(64 << 20));
  const EntityRef a = Make("video:a", 10);
  EXPECT_TRUE(edge.Insert(a));
  EXPECT_EQ(edge.Find("video:a"), a);
  EXPECT_EQ(edge.Find("video:b"), nullptr);
  EXPECT_EQ(edge.entries(), 1u);
  EXPECT_GE(edge.bytes(), 10u);
}

TEST(Edge, ReplacingKeepsOneEntryAndItsBytes) {
  Edge edge(Bytes(64 << 20));
  edge.Insert(Make("k", 1000));
  const uint64_t before = edge.bytes();
  const EntityRef second = Make("k", 1000);
  edge.Insert(second);
  EXPECT_EQ(edge.Find("k"), second);
  EXPECT_EQ(edge.entries(), 1u);
  EXPECT_EQ(edge.bytes(), before);
}

TEST(Edge, StaysUnderItsLimitWhateverIsInserted) {
  constexpr uint64_t kMax = 4 << 20;
  Edge edge(Bytes(kMax));
  for (int i = 0; i < 5000; ++i) {
    edge.Insert(Make("key-" + std::to_string(i), static_cast<size_t>(100 + i % 3000)));
    ASSERT_LE(edge.bytes(), kMax);
  }
  EXPECT_GT(edge.evictions(), 0u);
  EXPECT_GT(edge.entries(), 100u);
}

TEST(Edge, WhatIsLargerThanAShardIsNotKeptButDropsTheOldOne) {
  Edge edge(Bytes(64 * 4096));
  edge.Insert(Make("k", 10));
  EXPECT_FALSE(edge.Insert(Make("k", 100'000)));
  EXPECT_EQ(edge.Find("k"), nullptr);
  EXPECT_EQ(edge.bytes(), 0u);
}

TEST(Edge, EvictsTheUnvisitedBeforeTheVisited) {
  // One hot key is asked for again and again while a scan of cold ones passes through.
  Edge edge(Bytes(4 << 20));
  const EntityRef hot = Make("hot", 1000);
  edge.Insert(hot);
  for (int i = 0; i < 20000; ++i) {
    edge.Insert(Make("cold-" + std::to_string(i), 1000));
    ASSERT_NE(edge.Find("hot"), nullptr) << "after " << i << " cold insertions";
  }
  EXPECT_EQ(edge.Find("cold-0"), nullptr);
}

TEST(Edge, HoldsNoMoreDescriptorsThanAllowed) {
  EdgeOptions options = Bytes(64 << 20);
  options.max_open_files = 64;  // one in each shard
  Edge edge(options);
  for (int i = 0; i < 1000; ++i) edge.Insert(Make("f" + std::to_string(i), 1 << 20, true));
  EXPECT_LE(edge.entries(), 64u);
}

TEST(Edge, ErasesOnlyTheExpectedEntity) {
  Edge edge(Bytes(64 << 20));
  const EntityRef first = Make("k", 10);
  const EntityRef second = Make("k", 20);
  edge.Insert(first);
  edge.Insert(second);
  EXPECT_FALSE(edge.Erase("k", first));
  EXPECT_TRUE(edge.Erase("k", second));
  EXPECT_EQ(edge.entries(), 0u);
  EXPECT_EQ(edge.bytes(), 0u);
}

TEST(Edge, SurvivesManyThreads) {
  Edge edge(Bytes(1 << 20));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&edge, t] {
      for (int i = 0; i < 5000; ++i) {
        const std::string key = std::to_string((i * 7 + t) % 500);
        if (i % 3 == 0) edge.Insert(Make(key, 200));
        if (i % 11 == 0) edge.Erase(key);
        const EntityRef found = edge.Find(key);
        EXPECT_TRUE(!found || found->key == key);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(edge.bytes(), 1u << 20);
  edge.Clear();
  EXPECT_EQ(edge.bytes(), 0u);
  EXPECT_EQ(edge.entries(), 0u);
}

}  // namespace
}  // namespace vr::cache
