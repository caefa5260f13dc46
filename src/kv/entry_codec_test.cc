#include "kv/entry_codec.h"

#include <gtest/gtest.h>

namespace vr::kv {
namespace {

std::string FromHex(std::string_view hex) {
  std::string out;
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits.push_back(c);
  }
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

StoredEntry Sample() {
  StoredEntry e;
  e.head.is_inline = true;
  e.head.body_id = 0x0123456789abcdef;
  e.head.body_size = 5;
  e.epoch = 7;
  e.record.metadata = "meta";
  e.record.source = "a.mp4";
  e.record.tags = {"t1", ""};
  e.record.created_ms = 1'700'000'000'000;
  e.record.expires_ms = 1'700'000'060'000;
  e.record.digest = {1, 2};
  e.record.body_size = 5;
  e.record.body_hash = {3, 4};
  return e;
}

// docs/formats/store.md §4 shows these bytes. A change here needs a new version number.
constexpr std::string_view kGolden =
    "01 01 0123456789abcdef 0000000000000005 00000007 0000018bcfe56800 0000018bcfe65260"
    "0000000000000001 0000000000000002 0000000000000003 0000000000000004"
    "00000004 6d657461 00000005 612e6d7034 00000002 00000002 7431 00000000";

TEST(EntryCodec, WritesTheDocumentedBytes) {
  EXPECT_EQ(EncodeEntry(Sample()), FromHex(kGolden));
}

TEST(EntryCodec, ReadsTheDocumentedBytes) {
  Result<StoredEntry> e = DecodeEntry(FromHex(kGolden));
  ASSERT_TRUE(e.ok()) << e.error().ToLogString();
  const StoredEntry want = Sample();
  EXPECT_TRUE(e->head.is_inline);
  EXPECT_EQ(e->head.body_id, want.head.body_id);
  EXPECT_EQ(e->epoch, 7u);
  EXPECT_EQ(e->record.metadata, want.record.metadata);
  EXPECT_EQ(e->record.source, want.record.source);
  EXPECT_EQ(e->record.tags, want.record.tags);
  EXPECT_EQ(e->record.created_ms, want.record.created_ms);
  EXPECT_EQ(e->record.expires_ms, want.record.expires_ms);
  EXPECT_EQ(e->record.digest, want.record.digest);
  EXPECT_EQ(e->record.body_hash, want.record.body_hash);
  EXPECT_EQ(e->record.body_size, 5u);
  const std::optional<EntrySummary> s = DecodeSummary(FromHex(kGolden));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->expires_ms, want.record.expires_ms);
  EXPECT_EQ(s->digest, want.record.digest);
  EXPECT_EQ(s->metadata_size, 4u);
  EXPECT_EQ(s->head.body_size, 5u);
}

TEST(EntryCodec, WritesTheDocumentedIndexRows) {
  EXPECT_EQ(NamedRow("t1", "k"), FromHex("7431 00 6b"));
  EXPECT_EQ(ExpiryRow(1'700'000'060'000, "k"), FromHex("0000018bcfe65260 00 6b"));
  EXPECT_EQ(BodyIdRow(0x0123456789abcdef), FromHex("0123456789abcdef"));
  const std::string row = ExpiryRow(5, std::string("a\0b", 3));
  const std::optional<ExpiryRowParts> parts = ParseExpiryRow(row);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->expires_ms, 5);
  EXPECT_EQ(parts->key, std::string_view("a\0b", 3));
  EXPECT_FALSE(ParseExpiryRow("too short"));
}

TEST(EntryCodec, RefusesEveryTruncationAndAnythingBehindTheEnd) {
  const std::string whole = FromHex(kGolden);
  for (size_t n = 0; n < whole.size(); ++n) {
    Result<StoredEntry> e = DecodeEntry(whole.substr(0, n));
    ASSERT_FALSE(e.ok()) << n;
    EXPECT_EQ(e.error().code, Code::kCorruption) << n;
  }
  EXPECT_FALSE(DecodeEntry(whole + "x").ok());
}

TEST(EntryCodec, ReadsOnlyTheHeadOfAnotherVersion) {
  std::string row = FromHex(kGolden).substr(0, 18);
  row[0] = 2;
  Result<StoredEntry> e = DecodeEntry(row);
  ASSERT_FALSE(e.ok());
  EXPECT_EQ(e.error().code, Code::kUnsupported);
  EXPECT_FALSE(DecodeSummary(row));
  EXPECT_EQ(DecodeHead(row)->body_id, 0x0123456789abcdefu);
}

TEST(EntryCodec, PatchesTheEpochAndNothingElse) {
  std::string row = FromHex(kGolden);
  PatchEpoch(row, 0x01020304);
  StoredEntry e = Sample();
  e.epoch = 0x01020304;
  EXPECT_EQ(row, EncodeEntry(e));
}

}  // namespace
}  // namespace vr::kv
