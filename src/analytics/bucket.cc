#include "analytics/bucket.h"

namespace vr::analytics {

Bucket::Bucket(const Bucket& other)
    : start_s(other.start_s),
      making(other.making),
      tables(other.tables),
      variants(other.variants),
      sources(other.sources) {
  for (size_t i = 0; i < layers.size(); ++i) {
    if (other.layers[i]) layers[i] = std::make_unique<LayerSum>(*other.layers[i]);
  }
}

Bucket& Bucket::operator=(const Bucket& other) {
  if (this != &other) *this = Bucket(other);
  return *this;
}

LayerSum& Bucket::layer(Outcome outcome) {
  std::unique_ptr<LayerSum>& slot = layers[static_cast<size_t>(outcome)];
  if (!slot) slot = std::make_unique<LayerSum>();
  return *slot;
}

const LayerSum& Bucket::at(size_t outcome) const {
  static const LayerSum none;
  return layers[outcome] ? *layers[outcome] : none;
}

void Bucket::Merge(const Bucket& more) {
  for (size_t i = 0; i < layers.size(); ++i) {
    if (more.layers[i]) layer(static_cast<Outcome>(i)).Merge(*more.layers[i]);
  }
  making.Add(more.making);
  for (size_t i = 0; i < tables.size(); ++i) tables[i].Merge(more.tables[i], kMaxLabels[i]);
  variants.Merge(more.variants);
  sources.Merge(more.sources);
}

uint64_t Bucket::requests() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < kOutcomes; ++i) sum += at(i).tally.requests;
  return sum;
}

uint64_t Bucket::media_requests() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < kMediaOutcomes; ++i) sum += at(i).tally.requests;
  return sum;
}

}  // namespace vr::analytics
