#include "observe/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>

namespace vr {

void Counter::Add(double by) {
  impl_->Increment(by);
}
double Counter::value() const {
  return impl_->Value();
}
void Gauge::Set(double value) {
  impl_->Set(value);
}
void Gauge::Add(double by) {
  impl_->Increment(by);
}
double Gauge::value() const {
  return impl_->Value();
}
void Histogram::Observe(double value) {
  impl_->Observe(value);
}

struct Metrics::Impl {
  prometheus::Registry registry;
  std::mutex mutex;
  std::vector<std::function<void()>> collectors;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter Metrics::GetCounter(const std::string& name, const std::string& help,
                            const MetricLabels& labels) {
  return Counter(
      prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Gauge Metrics::GetGauge(const std::string& name, const std::string& help,
                        const MetricLabels& labels) {
  return Gauge(
      prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Histogram Metrics::GetHistogram(const std::string& name, const std::string& help,
                                const MetricLabels& labels, const std::vector<double>& buckets) {
  return Histogram(prometheus::BuildHistogram()
                       .Name(name)
                       .Help(help)
                       .Register(impl_->registry)
                       .Add(labels, buckets));
}

void Metrics::OnRender(std::function<void()> collect) {
  std::lock_guard lock(impl_->mutex);
  impl_->collectors.push_back(std::move(collect));
}

std::string Metrics::Render() const {
  {
    std::lock_guard lock(impl_->mutex);
    for (const auto& collect : impl_->collectors) collect();
  }
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace vr
