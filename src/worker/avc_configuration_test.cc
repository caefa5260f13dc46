#include "worker/avc_configuration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace vr::worker {
namespace {

/// Writes what the reader reads.
class BitWriter {
 public:
  BitWriter& Put(uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i) bits_.push_back((value >> i & 1) != 0);
    return *this;
  }
  BitWriter& Unsigned(uint32_t value) {
    int length = 0;
    while ((value + 1) >> (length + 1) != 0) ++length;
    return Put(0, length).Put(value + 1, length + 1);
  }
  std::vector<uint8_t> Bytes() const {
    std::vector<bool> bits = bits_;
    bits.push_back(true);
    while (bits.size() % 8 != 0) bits.push_back(false);
    std::vector<uint8_t> bytes(bits.size() / 8);
    for (size_t i = 0; i < bits.size(); ++i) bytes[i / 8] |= bits[i] ? 128 >> i % 8 : 0;
    return bytes;
  }

 private:
  std::vector<bool> bits_;
};

struct Asked {
  uint32_t profile = 100;
  uint32_t chroma = 1;
  bool scaling_lists = false;
  uint32_t order_type = 0;
  bool fields = false;
  int ratio = -1;           ///< aspect_ratio_idc
  int full_range = -1;      ///< -1: no video_signal_type
  int reordered = -1;       ///< -1: no bitstream_restriction
  std::vector<int> colour;  ///< primaries, transfer, matrix
};

std::vector<uint8_t> ParameterSet(const Asked& a) {
  BitWriter w;
  w.Put(a.profile, 8).Put(0, 8).Put(31, 8).Unsigned(0);
  if (a.profile >= 100) {
    w.Unsigned(a.chroma);
    if (a.chroma == 3) w.Put(0, 1);
    w.Unsigned(2).Unsigned(2).Put(0, 1);
    w.Put(a.scaling_lists ? 1 : 0, 1);
    if (a.scaling_lists) {
      w.Put(1, 1);
      for (int i = 0; i < 16; ++i) w.Unsigned(0);
      w.Put(1, 1).Unsigned(16);  // -8: "as before" from the first on
      for (int i = 0; i < (a.chroma == 3 ? 10 : 6); ++i) w.Put(0, 1);
    }
  }
  w.Unsigned(4).Unsigned(a.order_type);
  if (a.order_type == 0) w.Unsigned(2);
  if (a.order_type == 1) w.Put(0, 1).Unsigned(3).Unsigned(3).Unsigned(2).Unsigned(1).Unsigned(2);
  w.Unsigned(3).Put(0, 1).Unsigned(39).Unsigned(a.fields ? 11 : 22).Put(a.fields ? 0 : 1, 1);
  if (a.fields) w.Put(0, 1);
  w.Put(1, 1).Put(1, 1).Unsigned(0).Unsigned(1).Unsigned(0).Unsigned(a.fields ? 6 : 4);
  if (a.ratio < 0 && a.full_range < 0) {
    w.Put(0, 1);
    return w.Bytes();
  }
  w.Put(1, 1);
  w.Put(a.ratio >= 0 ? 1 : 0, 1);
  if (a.ratio >= 0) w.Put(static_cast<uint32_t>(a.ratio), 8);
  if (a.ratio == 255) w.Put(7, 16).Put(5, 16);
  w.Put(1, 1).Put(0, 1);  // overscan
  w.Put(a.full_range >= 0 ? 1 : 0, 1);
  if (a.full_range >= 0) {
    w.Put(5, 3).Put(static_cast<uint32_t>(a.full_range), 1).Put(a.colour.empty() ? 0 : 1, 1);
    for (const int c : a.colour) w.Put(static_cast<uint32_t>(c), 8);
  }
  w.Put(1, 1).Unsigned(1).Unsigned(1);           // chroma samples
  w.Put(1, 1).Put(1, 32).Put(60, 32).Put(1, 1);  // timing
  w.Put(1, 1).Unsigned(1).Put(0x12, 8);          // a buffer model of two
  for (int i = 0; i < 2; ++i) w.Unsigned(999).Unsigned(99).Put(0, 1);
  w.Put(0xabcde, 20).Put(0, 1).Put(1, 1).Put(1, 1);
  w.Put(a.reordered >= 0 ? 1 : 0, 1);
  if (a.reordered >= 0) {
    w.Put(1, 1).Unsigned(2).Unsigned(1).Unsigned(10).Unsigned(10);
    w.Unsigned(static_cast<uint32_t>(a.reordered)).Unsigned(4);
  }
  return w.Bytes();
}

std::vector<uint8_t> Record(const std::vector<uint8_t>& set) {
  std::vector<uint8_t> nal{0x67};
  int zeros = 0;
  for (const uint8_t b : set) {
    if (zeros >= 2 && b <= 3) {
      nal.push_back(3);
      zeros = 0;
    }
    zeros = b == 0 ? zeros + 1 : 0;
    nal.push_back(b);
  }
  std::vector<uint8_t> record{1, 100, 0, 31, 0xff, 0xe1};
  record.push_back(static_cast<uint8_t>(nal.size() >> 8));
  record.push_back(static_cast<uint8_t>(nal.size()));
  record.insert(record.end(), nal.begin(), nal.end());
  record.insert(record.end(), {1, 0, 4, 0x68, 0xee, 0x3c, 0x80});
  return record;
}

std::optional<AvcFacts> Read(const Asked& asked) {
  return ReadAvcConfiguration(Record(ParameterSet(asked)));
}

TEST(AvcConfiguration, TellsNothingThatIsNotThere) {
  for (const uint32_t profile : {66u, 77u, 100u}) {
    const auto facts = Read({.profile = profile});
    ASSERT_TRUE(facts) << profile;
    EXPECT_EQ(facts->sar_width, 0);
    EXPECT_FALSE(facts->may_have_fields);
    EXPECT_FALSE(facts->reordered);
  }
}

TEST(AvcConfiguration, TellsProportionsAndOrder) {
  const auto facts = Read({.ratio = 4, .full_range = 1, .reordered = 2, .colour = {9, 16, 10}});
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->sar_width, 16);
  EXPECT_EQ(facts->sar_height, 11);
  EXPECT_EQ(facts->reordered, 2);
  const auto own = Read({.ratio = 255, .full_range = 0});
  ASSERT_TRUE(own);
  EXPECT_EQ(own->sar_width, 7);
  EXPECT_EQ(own->sar_height, 5);
  EXPECT_FALSE(own->reordered);
  EXPECT_EQ(Read({.ratio = 1, .reordered = 0})->reordered, 0);
}

TEST(AvcConfiguration, FindsItsWayPastWhatItDoesNotNeed) {
  for (const uint32_t order_type : {0u, 1u, 2u}) {
    for (const bool lists : {false, true}) {
      for (const uint32_t chroma : {0u, 1u, 2u, 3u}) {
        const auto facts = Read({.profile = 244,
                                 .chroma = chroma,
                                 .scaling_lists = lists,
                                 .order_type = order_type,
                                 .ratio = 14,
                                 .full_range = 0,
                                 .reordered = 3,
                                 .colour = {1, 1, 1}});
        ASSERT_TRUE(facts) << order_type << lists << chroma;
        EXPECT_EQ(facts->sar_width, 4) << order_type << lists << chroma;
        EXPECT_EQ(facts->reordered, 3) << order_type << lists << chroma;
      }
    }
  }
}

TEST(AvcConfiguration, TellsTheSizeThatIsShown) {
  EXPECT_EQ(Read({})->width, 40 * 16 - 2);
  EXPECT_EQ(Read({})->height, 23 * 16 - 8);
  EXPECT_EQ(Read({.fields = true})->height, 24 * 16 - 24);
  EXPECT_TRUE(Read({.fields = true})->may_have_fields);
  EXPECT_EQ(Read({.chroma = 2})->height, 23 * 16 - 4);
  EXPECT_EQ(Read({.chroma = 3})->width, 40 * 16 - 1);
}

TEST(AvcConfiguration, DoesNotGuess) {
  std::vector<uint8_t> two = Record(ParameterSet({}));
  ASSERT_TRUE(ReadAvcConfiguration(two));
  two[5] = 0xe2;
  EXPECT_FALSE(ReadAvcConfiguration(two));
  EXPECT_FALSE(Read({.chroma = 4}));
}

TEST(AvcConfiguration, TakesAnyBytes) {
  const std::vector<uint8_t> whole = Record(
      ParameterSet({.scaling_lists = true, .ratio = 255, .full_range = 1, .colour = {1, 1, 1}}));
  ASSERT_TRUE(ReadAvcConfiguration(whole));
  const size_t set_end = whole.size() - 7;
  for (size_t n = 0; n < set_end; ++n) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(ReadAvcConfiguration(cut)) << n;
    if (n < 9) continue;
    cut[6] = 0;
    cut[7] = static_cast<uint8_t>(n - 8);
    // Cut in its last byte it may still be whole; anywhere before, it must be noticed.
    if (n + 2 >= set_end) continue;
    EXPECT_FALSE(ReadAvcConfiguration(cut)) << n;
  }
  uint32_t seed = 1;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<uint8_t> noise = whole;
    for (size_t at = 8; at < noise.size(); ++at) {
      seed = seed * 1664525 + 1013904223;
      if (seed >> 29 == 0) noise[at] = static_cast<uint8_t>(seed >> 8);
    }
    (void)ReadAvcConfiguration(noise);
  }
}

}  // namespace
}  // namespace vr::worker
