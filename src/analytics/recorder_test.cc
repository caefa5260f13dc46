#include "analytics/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace vr::analytics {
namespace {

Event HitOf(std::string_view key, Outcome outcome = Outcome::kEdge, int status = 200) {
  Event event;
  event.outcome = outcome;
  event.status = status;
  event.bytes = 100;
  event.micros = 50;
  event.saved_micros = 2'000'000;
  event.saved_bytes = 1000;
  event.labels.key = key;
  event.labels.source = "videos/a.mp4";
  event.labels.origin = "videos";
  event.labels.derivative = "mobile";
  event.labels.format = "mp4";
  event.labels.mode = "video";
  return event;
}

struct Drained {
  Bucket bucket{100'000};
  std::vector<Failure> failures;
};

Drained DrainOf(Recorder& recorder) {
  Drained out;
  recorder.Drain(out.bucket, out.failures);
  return out;
}

const Tally* Find(const Bucket& bucket, Dimension dimension, std::string_view label) {
  for (const LabelTable::Row& row : bucket.tables[static_cast<size_t>(dimension)].rows()) {
    if (row.label == label) return &row.tally;
  }
  return nullptr;
}

TEST(Recorder, SumsByLayerLabelAndVariant) {
  Recorder recorder;
  recorder.Record(HitOf("video:a:w=1"));
  recorder.Record(HitOf("video:a:w=1"));
  recorder.Record(HitOf("video:a:w=2", Outcome::kMiss));
  const Bucket bucket = DrainOf(recorder).bucket;
  EXPECT_EQ(bucket.media_requests(), 3u);
  const LayerSum& edge = bucket.at(static_cast<size_t>(Outcome::kEdge));
  EXPECT_EQ(edge.tally.requests, 2u);
  EXPECT_EQ(edge.tally.hits, 2u);
  EXPECT_EQ(edge.tally.bytes, 200u);
  EXPECT_EQ(edge.tally.saved_micros, 4'000'000u);
  EXPECT_EQ(edge.latency.total(), 2u);
  const Tally* origin = Find(bucket, Dimension::kOrigin, "videos");
  ASSERT_NE(origin, nullptr);
  EXPECT_EQ(origin->requests, 3u);
  EXPECT_EQ(origin->hits, 2u);
  EXPECT_EQ(origin->saved_bytes, 3000u);
  const Tally* status = Find(bucket, Dimension::kStatus, "200");
  ASSERT_NE(status, nullptr);
  EXPECT_EQ(status->requests, 3u);
  const auto top = bucket.variants.Sorted(10);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].name, "video:a:w=1");
  EXPECT_EQ(top[0].tally.requests, 2u);
  ASSERT_EQ(bucket.sources.Sorted(10).size(), 1u);
}

TEST(Recorder, WhatWasDrainedIsNotCountedAgain) {
  Recorder recorder;
  for (int round = 0; round < 5; ++round) {
    recorder.Record(HitOf("video:a:w=1"));
    recorder.Record(Failure{.code = "NOT_FOUND"});
    recorder.Record(Production{.is_good = true, .encode_micros = 7});
    const Drained drained = DrainOf(recorder);
    EXPECT_EQ(drained.bucket.requests(), 1u);
    EXPECT_EQ(drained.bucket.variants.Sorted(10)[0].tally.requests, 1u);
    EXPECT_EQ(drained.failures.size(), 1u);
    EXPECT_EQ(drained.bucket.making.encode_micros, 7u);
  }
  EXPECT_EQ(DrainOf(recorder).bucket.requests(), 0u);
}

TEST(Recorder, TheSumsAreExactHoweverManyVariantsThereAre) {
  Recorder recorder;
  constexpr uint64_t kMany = 1'000'000;
  for (uint64_t i = 0; i < kMany; ++i) recorder.Record(HitOf("video:a:w=" + std::to_string(i)));
  const Bucket bucket = DrainOf(recorder).bucket;
  EXPECT_EQ(bucket.requests(), kMany);
  // Labels that found no variant's place are counted beside it.
  EXPECT_EQ(Find(bucket, Dimension::kOrigin, "videos")->requests, kMany);
  EXPECT_LE(bucket.variants.size(), Recorder::kSlots);
  EXPECT_EQ(recorder.unlabelled(), 0u);
}

TEST(Recorder, TheSumsAreExactHoweverManyLabelsThereAre) {
  Recorder recorder;
  constexpr uint64_t kMany = 100'000;
  for (uint64_t i = 0; i < kMany; ++i) {
    const std::string label = "label" + std::to_string(i);
    Event event = HitOf("k" + label);
    event.labels.origin = event.labels.derivative = event.labels.code = label;
    recorder.Record(event);
  }
  const Bucket bucket = DrainOf(recorder).bucket;
  EXPECT_EQ(bucket.requests(), kMany);
  uint64_t labelled = 0;
  for (const auto& row : bucket.tables[0].rows()) labelled += row.tally.requests;
  EXPECT_EQ(labelled + recorder.unlabelled(), kMany);
  for (size_t i = 0; i < kDimensions; ++i) {
    EXPECT_LE(bucket.tables[i].rows().size(), kMaxLabels[i] + 1);
  }
  EXPECT_NE(Find(bucket, Dimension::kOrigin, "other"), nullptr);
}

TEST(Recorder, NoRequestIsLostBetweenThreadsAndDrains) {
  Recorder recorder;
  constexpr int kThreads = 4, kEach = 20'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&recorder, t] {
      for (int i = 0; i < kEach; ++i) {
        recorder.Record(HitOf("video:" + std::to_string(t) + ":w=" + std::to_string(i % 10)));
      }
    });
  }
  Bucket all(100'000);
  std::vector<Failure> failures;
  for (int i = 0; i < 50; ++i) recorder.Drain(all, failures);
  for (std::thread& thread : threads) thread.join();
  recorder.Drain(all, failures);
  EXPECT_EQ(all.requests(), static_cast<uint64_t>(kThreads) * kEach);
  EXPECT_EQ(Find(all, Dimension::kStatus, "200")->requests,
            static_cast<uint64_t>(kThreads) * kEach);
}

TEST(Recorder, OfManyFailuresTheLastOnesStayInTheirOrder) {
  Recorder recorder;
  for (int i = 0; i < 1000; ++i) recorder.Record(Failure{.time_ms = i});
  const std::vector<Failure> failures = DrainOf(recorder).failures;
  ASSERT_EQ(failures.size(), Recorder::kFailuresHeld);
  EXPECT_EQ(failures.front().time_ms, 900);
  EXPECT_EQ(failures.back().time_ms, 999);
}

TEST(Recorder, QueriesOfUrlsAsSourcesAreNotShown) {
  Recorder recorder;
  Event event = HitOf("video:https%3A//h.example/a.mp4%3Ftoken%3Ds3cret:w=1");
  event.labels.source = "https://h.example/a.mp4?token=s3cret";
  recorder.Record(event);
  const Bucket bucket = DrainOf(recorder).bucket;
  EXPECT_EQ(bucket.variants.Sorted(1).at(0).name, "video:https%3A//h.example/a.mp4%3F***:w=1");
  EXPECT_EQ(bucket.sources.Sorted(1).at(0).name, "https://h.example/a.mp4?***");
}

TEST(Recorder, OnlyVariantsAreRanked) {
  Recorder recorder;
  recorder.Record(HitOf("passthrough:http://x/", Outcome::kPassthroughHit));
  recorder.Record(HitOf("", Outcome::kRefused, 400));
  const Bucket bucket = DrainOf(recorder).bucket;
  EXPECT_EQ(bucket.requests(), 2u);
  EXPECT_EQ(bucket.media_requests(), 0u);
  EXPECT_EQ(bucket.variants.size(), 0u);
}

}  // namespace
}  // namespace vr::analytics
