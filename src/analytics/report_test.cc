#include "analytics/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vr::analytics {
namespace {

using Json = nlohmann::json;

void Add(Bucket& bucket, Outcome outcome, uint64_t requests, uint64_t micros = 1000) {
  LayerSum& layer = bucket.layer(outcome);
  layer.tally.requests += requests;
  layer.tally.hits += IsHit(outcome) ? requests : 0;
  for (uint64_t i = 0; i < requests; ++i) layer.latency.Add(micros);
}

Json Told(const Summary& summary) {
  return Json::parse(RenderReport(summary, {1, 2, 3, 4, 5, 6, 0}, 24));
}

TEST(Report, RatesAreOfThoseThatCameToTheLayer) {
  Summary summary;
  Bucket& b = summary.total;
  Add(b, Outcome::kEdge, 60);
  Add(b, Outcome::kKv, 20);
  Add(b, Outcome::kStale, 10);
  Add(b, Outcome::kJoined, 4);
  Add(b, Outcome::kMiss, 6);
  Add(b, Outcome::kBypass, 100);
  Add(b, Outcome::kPassthrough, 7);
  Add(b, Outcome::kRefused, 3);
  const Json j = Told(summary);
  EXPECT_EQ(j["totals"]["mediaRequests"], 200);
  EXPECT_EQ(j["totals"]["requests"], 210);
  EXPECT_EQ(j["totals"]["hitRate"]["all"], 0.9);
  EXPECT_EQ(j["totals"]["hitRate"]["edge"], 0.6);
  EXPECT_NEAR(j["totals"]["hitRate"]["kv"].get<double>(), 20.0 / 30, 1e-4);
  EXPECT_EQ(j["layers"]["edge"]["share"], 0.3);
  EXPECT_EQ(j["others"]["refused"]["requests"], 3);
  uint64_t sum = 0;
  for (const Json& layer : j["layers"]) sum += layer["requests"].get<uint64_t>();
  EXPECT_EQ(sum, 200u);
}

TEST(Report, NothingCountedIsNoDivisionByZero) {
  const Json j = Told(Summary());
  EXPECT_EQ(j["totals"]["hitRate"]["all"], 0);
  EXPECT_EQ(j["layers"]["edge"]["latencyMs"]["p95"], 0);
  EXPECT_TRUE(j["series"].empty() && j["recentErrors"].empty() && j["topVariants"].empty());
}

TEST(Report, UnitsAreSecondsMillisecondsAndBytes) {
  Summary summary;
  Add(summary.total, Outcome::kEdge, 100, 50'000);
  summary.total.layer(Outcome::kEdge).tally.saved_micros = 2'500'000;
  summary.total.making = {3, 1, 4'000'000, 5'000'000, 777};
  const Json j = Told(summary);
  EXPECT_NEAR(j["layers"]["edge"]["latencyMs"]["p50"].get<double>(), 50, 7);
  EXPECT_EQ(j["totals"]["encodeSeconds"]["saved"], 2.5);
  EXPECT_EQ(j["totals"]["encodeSeconds"]["spent"], 5.0);
  EXPECT_EQ(j["totals"]["encodeSeconds"]["spentOnResults"], 4.0);
  EXPECT_EQ(j["totals"]["originBytes"]["read"], 777);
  EXPECT_EQ(j["totals"]["productions"]["failed"], 1);
  EXPECT_EQ(j["storage"]["kv"]["maxBytes"], 6);
  EXPECT_FALSE(j["storage"]["kv"].contains("maxEntries"));
}

TEST(Report, NamesThatAreNoTextCostNothing) {
  Summary summary;
  summary.total = Bucket(4);
  summary.total.variants.Add(1, "video:\xff\xfe", {.requests = 1});
  summary.failures.push_back({.code = "X", .request_id = "\xc3"});
  EXPECT_EQ(Told(summary)["topVariants"].size(), 1u);
}

}  // namespace
}  // namespace vr::analytics
