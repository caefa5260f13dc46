#include "observe/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace vr {
namespace {

TEST(Metrics, RendersPrometheusText) {
  Metrics metrics;
  metrics.GetCounter("vr_requests_total", "Requests.", {{"layer", "edge"}}).Add();
  metrics.GetCounter("vr_requests_total", "Requests.", {{"layer", "kv"}}).Add(2);
  metrics.GetGauge("vr_bytes", "Bytes.").Set(7);
  Histogram seconds = metrics.GetHistogram("vr_seconds", "Seconds.", {}, {0.1, 1});
  seconds.Observe(0.05);
  seconds.Observe(0.5);
  seconds.Observe(5);
  const std::string text = metrics.Render();
  for (const char* line :
       {"# HELP vr_requests_total Requests.\n", "# TYPE vr_requests_total counter\n",
        "vr_requests_total{layer=\"edge\"} 1\n", "vr_requests_total{layer=\"kv\"} 2\n",
        "# TYPE vr_bytes gauge\n", "vr_bytes 7\n", "vr_seconds_count 3\n", "vr_seconds_sum 5.55",
        "vr_seconds_bucket{le=\"0.1\"} 1\n", "vr_seconds_bucket{le=\"1\"} 2\n",
        "vr_seconds_bucket{le=\"+Inf\"} 3\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  }
}

TEST(Metrics, SameNameAndLabelsAreTheSameCounter) {
  Metrics metrics;
  Counter a = metrics.GetCounter("c", "C.", {{"x", "1"}});
  Counter b = metrics.GetCounter("c", "C.", {{"x", "1"}});
  Counter other = metrics.GetCounter("c", "C.", {{"x", "2"}});
  a.Add();
  b.Add(2);
  EXPECT_EQ(a.value(), 3);
  EXPECT_EQ(b.value(), 3);
  EXPECT_EQ(other.value(), 0);
  Gauge gauge = metrics.GetGauge("g", "G.");
  gauge.Set(5);
  gauge.Add(-2);
  EXPECT_EQ(metrics.GetGauge("g", "G.").value(), 3);
}

TEST(Metrics, CountsExactlyFromManyThreads) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      Counter counter = metrics.GetCounter("c", "C.");
      for (int i = 0; i < 5000; ++i) counter.Add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metrics.GetCounter("c", "C.").value(), 40000);
}

TEST(Metrics, CollectorsRunBeforeEveryRender) {
  Metrics metrics;
  Gauge gauge = metrics.GetGauge("depth", "Depth.");
  int calls = 0;
  metrics.OnRender([&] { gauge.Set(++calls * 10); });
  EXPECT_NE(metrics.Render().find("depth 10\n"), std::string::npos);
  EXPECT_NE(metrics.Render().find("depth 20\n"), std::string::npos);
}

TEST(Metrics, LabelValuesAreEscaped) {
  Metrics metrics;
  metrics.GetCounter("c", "C.", {{"origin", "a\"b\\c\nd"}}).Add();
  EXPECT_NE(metrics.Render().find(R"(c{origin="a\"b\\c\nd"} 1)"), std::string::npos)
      << metrics.Render();
}

}  // namespace
}  // namespace vr
