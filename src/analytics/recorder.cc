#include "analytics/recorder.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/hash.h"

namespace vr::analytics {

namespace {

constexpr size_t kProbes = 8;
constexpr size_t kLabels = 7;

std::array<std::string_view, kLabels> Listed(const Labels& labels) {
  return {labels.key,    labels.source, labels.origin, labels.derivative,
          labels.format, labels.mode,   labels.code};
}

/// All labels in one text, so that a slot has one allocation, which it keeps.
struct PackedLabels {
  std::string text;
  std::array<uint16_t, kLabels> ends{};

  void Set(const Labels& labels) {
    text.clear();
    size_t i = 0;
    for (std::string_view label : Listed(labels)) {
      text += label.substr(0, TopList::kMaxName);
      ends[i++] = static_cast<uint16_t>(text.size());
    }
  }
  std::string_view at(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }
  Labels Get() const { return {at(0), at(1), at(2), at(3), at(4), at(5), at(6)}; }
};

void CountLabels(Bucket& to, const Labels& labels, const Tally& tally) {
  to.Count(Dimension::kOrigin, labels.origin, tally);
  to.Count(Dimension::kDerivative, labels.derivative, tally);
  to.Count(Dimension::kFormat, labels.format, tally);
  to.Count(Dimension::kMode, labels.mode, tally);
  to.Count(Dimension::kCode, labels.code, tally);
}

/// A source may be a URL whose query proves something: what is shown and kept does without. In a
/// key it is percent-encoded, and ends where the options begin.
std::string WithoutQuery(std::string_view name, std::string_view mark) {
  std::string shown(name);
  const size_t at = shown.find(mark);
  if (at == shown.npos) return shown;
  const size_t end = mark == "?" ? shown.size() : std::min(shown.find(':', at), shown.size());
  shown.replace(at, end - at, std::string(mark) + "***");
  return shown;
}
std::string ShownKey(std::string_view key) {
  return WithoutQuery(key, "%3F");
}
std::string ShownSource(std::string_view source) {
  return WithoutQuery(source, "?");
}

/// Numbers of threads that record, in the order of their first time.
size_t NumberOfThread() {
  static std::atomic<size_t> last{0};
  thread_local const size_t number = last.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

struct Recorder::Slot {
  uint64_t id = 0;  ///< 0: free
  uint64_t key_hash = 0;
  Tally tally;
  Outcome outcome = Outcome::kOther;
  int status = 0;
  PackedLabels labels;
};

struct Recorder::Pages {
  struct Layer {
    Tally tally;
    uint64_t incomplete = 0;
    LatencyCounts latency;
  };
  std::array<Layer, kOutcomes> layers;
  std::array<Slot, kSlots> slots;
  std::array<Slot, kCoarseSlots> coarse;
  std::vector<Slot*> used;

  Pages() { used.reserve(kSlots + kCoarseSlots); }

  /// A slot of that id, or a free one; null when its neighbourhood is full.
  template <size_t N>
  static Slot* Find(std::array<Slot, N>& slots, uint64_t id) {
    for (size_t i = 0; i < kProbes; ++i) {
      Slot& slot = slots[(id + i) % N];
      if (slot.id == id || slot.id == 0) return &slot;
    }
    return nullptr;
  }
};

struct Recorder::Shard {
  Mutex mutex;
  std::unique_ptr<Pages> pages GUARDED_BY(mutex);
  std::unique_ptr<Pages> spare;  ///< Drain()'s
};

struct Recorder::Made {
  PackedLabels labels;
  bool is_good = false;
  uint64_t encode_micros = 0;
};

Recorder::Recorder() {
  for (auto& shard : shards_) shard = std::make_unique<Shard>();
}
Recorder::~Recorder() = default;

Recorder::Shard& Recorder::ShardOfThread() {
  return *shards_[NumberOfThread() % kShards];
}

void Recorder::Record(const Event& event) noexcept {
  Shard& shard = ShardOfThread();
  MutexLock lock(shard.mutex);
  if (!shard.pages) {
    try {
      shard.pages = std::make_unique<Pages>();
    } catch (...) {
      unlabelled_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
  Pages& pages = *shard.pages;
  const auto add = [&event](Tally& tally) {
    ++tally.requests;
    tally.hits += IsHit(event.outcome);
    tally.errors += event.is_error;
    tally.bytes += event.bytes;
    tally.saved_micros += event.saved_micros;
    tally.saved_bytes += event.saved_bytes;
  };
  Pages::Layer& layer = pages.layers[static_cast<size_t>(event.outcome)];
  add(layer.tally);
  layer.incomplete += !event.is_complete;
  layer.latency.Add(event.micros);

  // Beside the key these tell slots apart; all other labels follow from the key.
  uint64_t kind =
      (static_cast<uint64_t>(event.status) << 8 | static_cast<uint64_t>(event.outcome)) *
      0x9e3779b97f4a7c15u;
  if (!event.labels.code.empty()) kind ^= Hash64Of(event.labels.code);
  const std::string_view key = event.labels.key;
  const uint64_t key_hash = key.empty() ? 0 : Hash64Of(key);
  uint64_t id = (key_hash ^ kind) | 1;  // never 0, which is free
  Slot* slot = key.empty() ? nullptr : Pages::Find(pages.slots, id);
  Labels coarse;
  const Labels* labels = &event.labels;
  if (slot == nullptr) {
    coarse = event.labels;
    coarse.key = coarse.source = {};
    labels = &coarse;
    id = kind;
    for (const std::string_view label : Listed(coarse)) id = id * 31 + Hash64Of(label);
    id |= 1;
    slot = Pages::Find(pages.coarse, id);
  }
  if (slot == nullptr) {
    unlabelled_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (slot->id == 0) {
    try {
      slot->labels.Set(*labels);
    } catch (...) {
      unlabelled_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    slot->id = id;
    slot->key_hash = labels->key.empty() ? 0 : key_hash;
    slot->outcome = event.outcome;
    slot->status = event.status;
    slot->tally = Tally();
    pages.used.push_back(slot);
  }
  add(slot->tally);
}

void Recorder::Record(const Production& production) noexcept {
  try {
    MutexLock lock(mutex_);
    ++(production.is_good ? making_.productions : making_.failed);
    making_.encode_micros += production.encode_micros;
    making_.origin_bytes += production.origin_bytes;
    if (made_.size() >= kProductionsHeld) return;
    Made& made = made_.emplace_back();
    made.labels.Set(production.labels);
    made.is_good = production.is_good;
    made.encode_micros = production.encode_micros;
  } catch (...) {
    unlabelled_.fetch_add(1, std::memory_order_relaxed);
  }
}

void Recorder::Record(Failure failure) noexcept {
  try {
    MutexLock lock(mutex_);
    if (failures_.size() < kFailuresHeld) {
      failures_.push_back(std::move(failure));
    } else {
      failures_[next_failure_++ % kFailuresHeld] = std::move(failure);
    }
  } catch (...) {
    unlabelled_.fetch_add(1, std::memory_order_relaxed);
  }
}

void Recorder::Empty(Pages& pages, Bucket& to) {
  for (size_t i = 0; i < kOutcomes; ++i) {
    Pages::Layer& layer = pages.layers[i];
    if (layer.tally.requests == 0) continue;
    LayerSum sum;
    sum.tally = layer.tally;
    sum.incomplete = layer.incomplete;
    sum.latency = layer.latency;
    to.layer(static_cast<Outcome>(i)).Merge(sum);
    layer = Pages::Layer();
  }
  for (Slot* const slot : pages.used) {
    const Labels labels = slot->labels.Get();
    CountLabels(to, labels, slot->tally);
    to.Count(Dimension::kStatus, std::to_string(slot->status), slot->tally);
    if (slot->key_hash != 0 && IsMedia(slot->outcome)) {
      to.variants.Add(slot->key_hash, ShownKey(labels.key), slot->tally);
      if (!labels.source.empty()) {
        to.sources.Add(Hash64Of(labels.source), ShownSource(labels.source), slot->tally);
      }
    }
    slot->id = 0;
  }
  pages.used.clear();
}

void Recorder::Drain(Bucket& to, std::vector<Failure>& failures) {
  for (const auto& shard : shards_) {
    {
      MutexLock lock(shard->mutex);
      if (!shard->pages) continue;
      std::swap(shard->pages, shard->spare);
      // Its memory stays where it is: the next time round it is this shard's again.
    }
    Empty(*shard->spare, to);
  }
  std::vector<Made> made;
  std::vector<Failure> failed;
  {
    MutexLock lock(mutex_);
    to.making.Add(std::exchange(making_, Making()));
    made.swap(made_);
    failed.swap(failures_);
    if (next_failure_ > 0) {
      std::rotate(failed.begin(),
                  failed.begin() + static_cast<std::ptrdiff_t>(next_failure_ % failed.size()),
                  failed.end());
    }
    next_failure_ = 0;
  }
  for (const Made& one : made) {
    Tally tally;
    tally.encode_micros = one.encode_micros;
    const Labels labels = one.labels.Get();
    CountLabels(to, labels, tally);
    if (!one.is_good || tally.encode_micros == 0) continue;
    to.variants.Add(Hash64Of(labels.key), ShownKey(labels.key), tally);
    to.sources.Add(Hash64Of(labels.source), ShownSource(labels.source), tally);
  }
  failures.insert(failures.end(), std::make_move_iterator(failed.begin()),
                  std::make_move_iterator(failed.end()));
}

}  // namespace vr::analytics
