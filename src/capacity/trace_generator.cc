#include "capacity/trace_generator.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "capacity/measured_variants.h"

namespace vr::capacity {

namespace {

constexpr int64_t kHourMs = 3600 * 1000;

/// splitmix64: cheap to seed. The standard's distributions differ between libraries, so ours.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }
  /// At least 0, less than 1.
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  size_t Below(size_t limit) {
    return std::min(limit - 1, static_cast<size_t>(Unit() * static_cast<double>(limit)));
  }
  double Normal() {
    const double radius = std::sqrt(-2 * std::log(1 - Unit()));
    return radius * std::cos(2 * std::numbers::pi * Unit());
  }
  double LogNormal(double median, double sigma) { return median * std::exp(sigma * Normal()); }

 private:
  uint64_t state_;
};

/// Draws an index with a probability in proportion to its weight.
class Weighted {
 public:
  explicit Weighted(const std::vector<double>& weights) {
    sums_.reserve(weights.size());
    double sum = 0;
    for (const double weight : weights) sums_.push_back(sum += weight);
  }
  size_t Draw(Random& random) const {
    const double at = random.Unit() * sums_.back();
    const auto found = std::upper_bound(sums_.begin(), sums_.end(), at);
    return std::min(static_cast<size_t>(found - sums_.begin()), sums_.size() - 1);
  }

 private:
  std::vector<double> sums_;
};

/// What can be asked for.
class Catalogue {
 public:
  Catalogue(size_t sources, Random& random) : seed_(random.Below(1 << 30)) {
    std::vector<double> shares;
    for (const VariantKind& kind : VariantKinds()) shares.push_back(kind.share);
    kinds_.emplace(shares);
    for (size_t n = 0; n < sources; ++n) {
      constexpr double kMedianSeconds = 40, kSigma = 1.2, kShortest = 3, kLongest = 45 * 60;
      lengths_.push_back(std::clamp(random.LogNormal(kMedianSeconds, kSigma), kShortest, kLongest));
    }
  }
  size_t sources() const { return lengths_.size(); }
  size_t DrawKind(Random& random) const { return kinds_->Draw(random); }

  /// The same for the same source and kind, whenever it is asked for.
  TraceRequest RequestFor(size_t source, size_t kind, int64_t time_ms) const {
    const VariantKind& what = VariantKinds()[kind];
    const uint64_t id = source * 64 + kind + 1;
    // A source looks like one clip in all its variants; each has its own small deviation.
    Random of_source(seed_ ^ source << 32);
    Random of_variant(seed_ ^ id << 32 ^ 1);
    const double place = of_source.Unit() * static_cast<double>(what.measured.size());
    const MeasuredVariant& like = what.measured[static_cast<size_t>(place)];
    const double scale = what.scales ? lengths_[source] / like.clip_seconds : 1;
    TraceRequest request{time_ms, id, 0, 0};
    request.bytes = static_cast<uint64_t>(like.bytes * scale * of_variant.LogNormal(1, 0.15)) + 1;
    request.cost_seconds = like.cpu_seconds * scale * of_variant.LogNormal(1, 0.15);
    return request;
  }

 private:
  uint64_t seed_;
  std::vector<double> lengths_;  ///< seconds
  std::optional<Weighted> kinds_;
};

/// Which source a request of the audience is for.
class Audience {
 public:
  Audience(const GeneratorOptions& options, size_t sources, Random& random) : kind_(options.kind) {
    for (size_t n = 0; n < sources; ++n) {
      base_.push_back(std::pow(static_cast<double>(n + 1), -options.zipf));
    }
    for (size_t n = sources; n > 1; --n) std::swap(base_[n - 1], base_[random.Below(n)]);
    for (size_t n = 0; n < sources && kind_ == TraceKind::kChurn; ++n) {
      constexpr double kEvergreens = 0.15;
      const double span = options.days * 24.0;
      release_.push_back(span * (1.3 * random.Unit() - 0.3));
      fading_.push_back(random.Unit() < kEvergreens ? span * 10 : random.LogNormal(30, 0.8));
    }
    now_.emplace(base_);
  }
  /// Popularity moves from hour to hour.
  void MoveTo(int64_t time_ms) {
    const int64_t hour = time_ms / kHourMs;
    if (kind_ != TraceKind::kChurn || hour == hour_) return;
    hour_ = hour;
    std::vector<double> weights(base_.size());
    for (size_t n = 0; n < base_.size(); ++n) {
      const double age = static_cast<double>(hour) - release_[n];
      weights[n] = age < 0 ? 0 : base_[n] * std::exp(-age / fading_[n]);
    }
    now_.emplace(weights);
  }
  size_t Draw(Random& random) const { return now_->Draw(random); }

 private:
  TraceKind kind_;
  std::vector<double> base_;
  std::vector<double> release_;  ///< hours
  std::vector<double> fading_;   ///< hours
  std::optional<Weighted> now_;
  int64_t hour_ = -1;
};

/// A crawler's way through the catalogue: every source once, then another crawler begins anew.
class Crawler {
 public:
  explicit Crawler(size_t sources) : sources_(sources) {}
  size_t NextSource() { return next_++ % sources_; }

 private:
  size_t sources_;
  size_t next_ = 0;
};

/// Now and then a source that nobody asked for has everybody's attention for some minutes.
class Crowd {
 public:
  Crowd(size_t first_source, Random& random) : next_source_(first_source) { Plan(0, random); }
  /// The source that has it at that time.
  std::optional<size_t> At(int64_t time_ms, Random& random) {
    if (time_ms >= end_ms_) {
      ++next_source_;
      Plan(time_ms, random);
    }
    if (time_ms < begin_ms_) return std::nullopt;
    return next_source_;
  }

 private:
  void Plan(int64_t now_ms, Random& random) {
    constexpr double kPauseHours = 3, kLengthHours = 0.5;
    begin_ms_ = now_ms + static_cast<int64_t>(kHourMs * kPauseHours * random.Unit());
    end_ms_ = begin_ms_ + 1 + static_cast<int64_t>(kHourMs * kLengthHours * (0.3 + random.Unit()));
  }
  size_t next_source_;
  int64_t begin_ms_ = 0, end_ms_ = 0;
};

/// Gaps between requests that add up to the span: shorter by day.
int64_t NextGap(int64_t now_ms, double mean_ms, Random& random) {
  const double hour = static_cast<double>(now_ms) / kHourMs;
  const double rate = 1 + 0.6 * std::sin(2 * std::numbers::pi * (hour - 9) / 24);
  return static_cast<int64_t>(-std::log(1 - random.Unit()) * mean_ms / rate);
}

}  // namespace

std::optional<TraceKind> ParseTraceKind(std::string_view name) {
  if (name == "steady") return TraceKind::kSteady;
  if (name == "scan") return TraceKind::kScan;
  if (name == "churn") return TraceKind::kChurn;
  if (name == "burst") return TraceKind::kBurst;
  return std::nullopt;
}

std::vector<TraceRequest> GenerateTrace(const GeneratorOptions& options) {
  constexpr size_t kRequestsPerSource = 40, kLeastSources = 100;
  constexpr double kCrawled = 0.2, kCrowded = 0.5;
  Random random(options.seed);
  const size_t sources = kLeastSources + options.requests / kRequestsPerSource;
  const size_t crowds =
      options.kind == TraceKind::kBurst ? 24 * static_cast<size_t>(options.days) : 0;
  const Catalogue catalogue(sources + crowds, random);
  Audience audience(options, sources, random);
  Crawler crawler(sources);
  Crowd crowd(sources, random);
  const double mean_gap = static_cast<double>(options.days) * 24 * kHourMs /
                          static_cast<double>(std::max<uint64_t>(options.requests, 1));
  std::vector<TraceRequest> requests;
  requests.reserve(options.requests);
  int64_t now_ms = 0;
  while (requests.size() < options.requests) {
    now_ms += NextGap(now_ms, mean_gap, random);
    audience.MoveTo(now_ms);
    size_t source = audience.Draw(random);
    if (options.kind == TraceKind::kScan && random.Unit() < kCrawled) source = crawler.NextSource();
    if (options.kind == TraceKind::kBurst) {
      const auto crowded = crowd.At(now_ms, random);
      if (crowded && *crowded < catalogue.sources() && random.Unit() < kCrowded) source = *crowded;
    }
    requests.push_back(catalogue.RequestFor(source, catalogue.DrawKind(random), now_ms));
  }
  return requests;
}

}  // namespace vr::capacity
