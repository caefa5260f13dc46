#include "analytics/history.h"

#include <algorithm>
#include <utility>

namespace vr::analytics {

namespace {

constexpr int64_t kHoursByMinute = kKeepMinutes / 60;

}  // namespace

int64_t History::StartOf(Level level, int64_t now_s) {
  const int64_t length = kLevelSeconds[static_cast<size_t>(level)];
  return now_s / length * length;
}

Bucket& History::At(Level level, int64_t start_s) {
  std::deque<Bucket>& all = levels_[static_cast<size_t>(level)];
  // Nearly always the last one; a clock may have been set back.
  auto at = std::lower_bound(all.begin(), all.end(), start_s,
                             [](const Bucket& b, int64_t start) { return b.start_s < start; });
  if (at != all.end() && at->start_s == start_s) return *at;
  Bucket made(level == Level::kMinute ? 0 : kTopWhileOpen);
  made.start_s = start_s;
  return *all.insert(at, std::move(made));
}

void History::Add(const Bucket& delta, int64_t now_s) {
  if (!delta.is_empty()) {
    for (const Level level : {Level::kMinute, Level::kHour, Level::kDay}) {
      At(level, StartOf(level, now_s)).Merge(delta);
    }
  }
  Roll(now_s);
}

void History::AddFailure(Failure failure) {
  std::deque<Failure>& all = failures_[failure.is_servers];
  all.push_back(std::move(failure));
  if (all.size() > kFailuresKept) all.pop_front();
}

void History::Roll(int64_t now_s) {
  for (size_t i = 0; i < kLevels; ++i) {
    std::deque<Bucket>& all = levels_[i];
    const int64_t open = StartOf(static_cast<Level>(i), now_s);
    const int64_t oldest = open - (int64_t{keep_[i]} - 1) * kLevelSeconds[i];
    while (!all.empty() && all.front().start_s < oldest) all.pop_front();
    // Spans of a future that a clock once told of are worth no room.
    while (all.size() > keep_[i]) all.pop_back();
    for (auto bucket = all.rbegin(); bucket != all.rend(); ++bucket) {
      if (bucket->start_s >= open) continue;
      if (bucket->variants.capacity() <= kTopKept) break;  // and so are those in front of it
      bucket->variants.Shrink(kTopKept);
      bucket->sources.Shrink(kTopKept);
    }
  }
}

void History::Restore(Level level, Bucket bucket) {
  const int64_t start_s = bucket.start_s;
  Bucket& held = At(level, start_s);
  if (held.requests() + held.making.productions + held.making.failed >
      bucket.requests() + bucket.making.productions + bucket.making.failed) {
    return;
  }
  held = std::move(bucket);
}

Summary History::Summarise(int64_t hours, int64_t now_s) const {
  Summary out;
  out.level = hours <= kHoursByMinute      ? Level::kMinute
              : hours <= int64_t{keep_[1]} ? Level::kHour
                                           : Level::kDay;
  const int64_t length = kLevelSeconds[static_cast<size_t>(out.level)];
  const int64_t wanted_s = now_s - hours * 3600;
  out.from_s = std::max<int64_t>(0, wanted_s / length * length);
  out.until_s = now_s;
  out.total = Bucket(kTopWhileOpen * 16);
  out.total.start_s = out.from_s;
  for (const Bucket& bucket : buckets(out.level)) {
    if (bucket.start_s < out.from_s || bucket.start_s > now_s) continue;
    out.total.Merge(bucket);
    Bucket& point = out.series.emplace_back(bucket);
    point.variants = TopList(0);
    point.sources = TopList(0);
  }
  if (out.level == Level::kMinute) {
    // Minutes have no top lists: those of the hours that they touch.
    for (const Bucket& bucket : buckets(Level::kHour)) {
      if (bucket.start_s + 3600 <= out.from_s || bucket.start_s > now_s) continue;
      out.total.variants.Merge(bucket.variants);
      out.total.sources.Merge(bucket.sources);
    }
  }
  for (const std::deque<Failure>& some : failures_) {
    for (const Failure& failure : some) {
      if (failure.time_ms >= wanted_s * 1000) out.failures.push_back(failure);
    }
  }
  std::stable_sort(out.failures.begin(), out.failures.end(),
                   [](const Failure& a, const Failure& b) { return a.time_ms > b.time_ms; });
  return out;
}

}  // namespace vr::analytics
