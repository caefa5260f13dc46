#include "analytics/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/hash.h"

namespace vr::analytics {
namespace {

Kept Sample() {
  Kept kept;
  Bucket bucket(kTopWhileOpen);
  bucket.start_s = 1'700'049'600;
  bucket.making = {2, 1, 3'000'000, 4'000'000, 5000};
  LayerSum& edge = bucket.layer(Outcome::kEdge);
  edge.tally = {10, 10, 1, 2000, 7'000'000, 9000, 0};
  edge.incomplete = 1;
  for (int i = 0; i < 10; ++i) edge.latency.Add(100);
  bucket.Count(Dimension::kOrigin, "videos", {10, 10, 1, 2000, 7'000'000, 9000, 0});
  bucket.variants.Add(0x1122334455667788, "video:a:w=1", {4, 4, 0, 100, 0, 0, 0}, 3);
  kept.rows.push_back({Level::kHour, std::move(bucket)});
  kept.failures.push_back({1'700'049'601'234, 502, true, Outcome::kMiss, "/videos/a.mp4?width=1",
                           "ALL_SOURCES_FAILED", "videos", "req1"});
  return kept;
}

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<uint8_t>(c)));
    out += two;
  }
  return out;
}

// docs/formats/analytics.md, byte by byte. When this fails the version has to change.
TEST(AnalyticsFile, IsWrittenAsItsDocumentSays) {
  const std::string bytes = EncodeFile(Sample());
  std::string payload;
  const auto numbers = [&payload](std::initializer_list<uint64_t> values) {
    for (const uint64_t value : values) PutUint(payload, value, 8);
  };
  const auto text = [&payload](std::string_view value) {
    PutUint(payload, value.size(), 2);
    payload += value;
  };
  PutUint(payload, 1, 4);    // buckets
  PutUint(payload, 1, 1);    // hour
  numbers({1'700'049'600});  // start
  numbers({2, 1, 3'000'000, 4'000'000, 5000});
  PutUint(payload, 1, 1);  // outcomes that came
  PutUint(payload, 0, 1);  // edge
  numbers({10, 10, 1, 2000, 7'000'000, 9000, 0});
  numbers({1});            // incomplete
  PutUint(payload, 1, 1);  // latency buckets that have any
  PutUint(payload, LatencyBucketOf(100), 1);
  PutUint(payload, 10, 4);
  PutUint(payload, 6, 1);  // dimensions
  PutUint(payload, 1, 2);
  text("videos");
  numbers({10, 10, 1, 2000, 7'000'000, 9000, 0});
  for (int i = 1; i < 6; ++i) PutUint(payload, 0, 2);
  PutUint(payload, 1, 2);  // variants
  numbers({0x1122334455667788});
  text("video:a:w=1");
  numbers({4, 4, 0, 100, 0, 0, 0});
  numbers({3});
  PutUint(payload, 0, 2);  // sources
  PutUint(payload, 1, 2);  // failures
  numbers({1'700'049'601'234});
  PutUint(payload, 502, 2);
  PutUint(payload, 1, 1);
  PutUint(payload, 4, 1);  // miss
  text("/videos/a.mp4?width=1");
  text("ALL_SOURCES_FAILED");
  text("videos");
  text("req1");
  std::string whole = "vr-stats";
  PutUint(whole, 1, 4);
  PutUint(whole, payload.size(), 8);
  PutUint(whole, Hash64Of(payload), 8);
  whole += payload;
  EXPECT_EQ(Hex(bytes), Hex(whole));
  // And as it was when version 1 was written: whatever the code above makes of it.
  EXPECT_EQ(HashOf(bytes).ToHex(), "7ee90021bec9680c628e8e62e6058bb9");
}

TEST(AnalyticsFile, IsReadAsItWasWritten) {
  const std::string bytes = EncodeFile(Sample());
  const Result<Kept> kept = DecodeFile(bytes);
  ASSERT_TRUE(kept.ok()) << kept.error().ToLogString();
  EXPECT_EQ(EncodeFile(*kept), bytes);
  ASSERT_EQ(kept->rows.size(), 1u);
  EXPECT_EQ(kept->rows[0].bucket.requests(), 10u);
  EXPECT_EQ(kept->rows[0].bucket.at(0).latency, Sample().rows[0].bucket.at(0).latency);
  EXPECT_EQ(kept->failures, Sample().failures);
}

TEST(AnalyticsFile, DamageIsSeenWhereverItIs) {
  const std::string good = EncodeFile(Sample());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x55);
    EXPECT_FALSE(DecodeFile(bad).ok()) << i;
  }
  for (size_t i = 0; i < good.size(); ++i) EXPECT_FALSE(DecodeFile(good.substr(0, i)).ok()) << i;
  EXPECT_FALSE(DecodeFile(good + "x").ok());
}

// Whoever can write the file could also write its checksum.
TEST(AnalyticsFile, NonsenseWithTheRightChecksumIsRefused) {
  const std::string good = EncodeFile(Sample());
  const std::string payload = good.substr(28);
  int refused = 0;
  for (size_t i = 0; i < payload.size(); ++i) {
    for (const std::string& bad : {payload.substr(0, i), [&] {
                                     std::string changed = payload;
                                     changed[i] = '\xff';
                                     return changed;
                                   }()}) {
      std::string file = "vr-stats";
      PutUint(file, 1, 4);
      PutUint(file, bad.size(), 8);
      PutUint(file, Hash64Of(bad), 8);
      refused += !DecodeFile(file + bad).ok();  // and never crashes
    }
  }
  EXPECT_GE(refused, static_cast<int>(payload.size()));
}

TEST(AnalyticsFile, AnotherVersionIsNotRead) {
  std::string file = EncodeFile(Sample());
  file[11] = 2;
  const Result<Kept> kept = DecodeFile(file);
  ASSERT_FALSE(kept.ok());
  EXPECT_EQ(kept.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace vr::analytics
