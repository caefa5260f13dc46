#include "kv/memory_index.h"

#include <gtest/gtest.h>

namespace vr::kv {
namespace {

IndexEntry Sized(uint64_t body, uint32_t metadata) {
  IndexEntry e;
  e.body_size = body;
  e.metadata_size = metadata;
  return e;
}

TEST(MemoryIndex, CountsExactlyThroughReplacingAndErasing) {
  MemoryIndex index;
  index.Put("a", Sized(100, 10));
  index.Put("b", Sized(1, 0));
  EXPECT_EQ(index.usage().entries, 2u);
  EXPECT_EQ(index.usage().bytes, 111u);
  index.Put("a", Sized(5, 1));
  EXPECT_EQ(index.usage().entries, 2u);
  EXPECT_EQ(index.usage().bytes, 7u);
  index.Erase("a");
  index.Erase("a");
  EXPECT_EQ(index.usage().entries, 1u);
  EXPECT_EQ(index.usage().bytes, 1u);
}

TEST(MemoryIndex, FindsByTheExactKey) {
  MemoryIndex index;
  index.Put("w=80", Sized(1, 0));
  EXPECT_TRUE(index.Find("w=80"));
  EXPECT_FALSE(index.Find("w=800"));
  EXPECT_FALSE(index.Find("w=8"));
}

}  // namespace
}  // namespace vr::kv
