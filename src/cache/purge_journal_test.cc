#include "cache/purge_journal.h"

#include <gtest/gtest.h>

#include <limits>

namespace vr::cache {
namespace {

using namespace std::string_literals;

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return out;
}

std::vector<PurgeScope> AllKinds() {
  std::vector<PurgeScope> scopes(7);
  scopes[0].key = "video:a.mp4:w=1";
  scopes[1].tag = "video-mode-frame";
  scopes[2].source = "a\0b.mp4"s;
  scopes[3].prefix = "video:";
  scopes[4].origin = "cdn";
  scopes[5].created_before_ms = -1;
  scopes[6].everything = true;
  return scopes;
}

/// docs/formats/store.md §8: whoever changes these bytes changes the version.
TEST(PurgeJournal, HasTheDocumentedBytes) {
  PurgeIntent intent;
  intent.scope.tag = "t1";
  intent.mode = PurgeMode::kSoft;
  intent.horizon_ms = 1'700'000'000'000;
  EXPECT_EQ(Hex(EncodeIntent(intent)), "0101020000018bcfe56800000000027431");
  intent = PurgeIntent();
  intent.scope.created_before_ms = 1'700'000'060'000;
  intent.horizon_ms = 1'700'000'000'000;
  EXPECT_EQ(Hex(EncodeIntent(intent)), "0100060000018bcfe56800000000080000018bcfe65260");
  intent = PurgeIntent();
  intent.scope.everything = true;
  EXPECT_EQ(Hex(EncodeIntent(intent)), "010007000000000000000000000000");
}

TEST(PurgeJournal, EveryScopeAndModeComesBack) {
  for (const PurgeScope& scope : AllKinds()) {
    for (const PurgeMode mode : {PurgeMode::kHard, PurgeMode::kSoft}) {
      PurgeIntent intent;
      intent.scope = scope;
      intent.mode = mode;
      intent.horizon_ms = 77;
      Result<PurgeIntent> back = DecodeIntent(EncodeIntent(intent));
      ASSERT_TRUE(back.ok()) << back.error().ToLogString();
      EXPECT_TRUE(back->scope.is_valid());
      EXPECT_EQ(back->scope.key, scope.key);
      EXPECT_EQ(back->scope.tag, scope.tag);
      EXPECT_EQ(back->scope.source, scope.source);
      EXPECT_EQ(back->scope.prefix, scope.prefix);
      EXPECT_EQ(back->scope.origin, scope.origin);
      EXPECT_EQ(back->scope.created_before_ms, scope.created_before_ms);
      EXPECT_EQ(back->scope.everything, scope.everything);
      EXPECT_EQ(back->mode, mode);
      EXPECT_EQ(back->horizon_ms, 77);
    }
  }
}

TEST(PurgeJournal, WhatIsCutLongerOrOfANewerProgramIsNotMisread) {
  for (const PurgeScope& scope : AllKinds()) {
    PurgeIntent intent;
    intent.scope = scope;
    const std::string whole = EncodeIntent(intent);
    for (size_t n = 0; n < whole.size(); ++n) {
      Result<PurgeIntent> cut = DecodeIntent(whole.substr(0, n));
      ASSERT_FALSE(cut.ok()) << n;
      EXPECT_EQ(cut.error().code, Code::kCorruption);
    }
    EXPECT_FALSE(DecodeIntent(whole + "x").ok());
    std::string other = whole;
    other[0] = 2;
    EXPECT_EQ(DecodeIntent(other).error().code, Code::kUnsupported);
    other = whole;
    other[1] = 2;
    EXPECT_EQ(DecodeIntent(other).error().code, Code::kCorruption);
    for (const char kind : {char{0}, char{8}}) {
      other = whole;
      other[2] = kind;
      EXPECT_EQ(DecodeIntent(other).error().code, Code::kCorruption);
    }
  }
}

TEST(PurgeJournal, SaysInWordsWhatIsPending) {
  PurgeIntent intent;
  intent.scope.tag = "t1";
  intent.horizon_ms = 5;
  EXPECT_EQ(Describe(intent), "hard purge of tag \"t1\", requested at 5");
  intent.scope = PurgeScope();
  intent.scope.created_before_ms = 7;
  intent.mode = PurgeMode::kSoft;
  EXPECT_EQ(Describe(intent), "soft purge of what was created before 7, requested at 5");
  EXPECT_TRUE(Describe(WorstIntent()).starts_with("hard purge of everything"));
}

TEST(PurgeJournal, TheWorstIntentTakesEverythingForGood) {
  EXPECT_TRUE(WorstIntent().scope.everything);
  EXPECT_EQ(WorstIntent().mode, PurgeMode::kHard);
  EXPECT_EQ(WorstIntent().horizon_ms, std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace vr::cache
