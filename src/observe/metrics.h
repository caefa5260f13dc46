// Metrics: counters, gauges and histograms by name and labels, rendered in Prometheus' text format.
//
// Look a metric up once and keep the pointer; counting is then one atomic operation. Thread-safe.
// prometheus-cpp stays behind this header.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace vr {

using MetricLabels = std::map<std::string, std::string>;

class Counter {
 public:
  explicit Counter(prometheus::Counter& impl) : impl_(&impl) {}
  void Add(double by = 1);
  double value() const;

 private:
  prometheus::Counter* impl_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge& impl) : impl_(&impl) {}
  void Set(double value);
  void Add(double by);
  double value() const;

 private:
  prometheus::Gauge* impl_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram& impl) : impl_(&impl) {}
  void Observe(double value);

 private:
  prometheus::Histogram* impl_;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  /// The handle stays valid as long as this object. Same name and labels give the same counter.
  Counter GetCounter(const std::string& name, const std::string& help,
                     const MetricLabels& labels = {});
  Gauge GetGauge(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  Histogram GetHistogram(const std::string& name, const std::string& help,
                         const MetricLabels& labels, const std::vector<double>& buckets);
  /// `collect` runs before every Render(), to fill gauges that are read from elsewhere.
  void OnRender(std::function<void()> collect);
  /// Text exposition format 0.0.4.
  std::string Render() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vr
