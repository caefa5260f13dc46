#include "cache/prewarmer.h"

#include <sys/random.h>

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "http/url.h"
#include "io/timer.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

/// How often it is looked whether a worker is free, while something waits.
constexpr std::chrono::milliseconds kLook{50};
/// What found no room is tried again after this, twice this, ...
constexpr std::chrono::milliseconds kPause{500};
constexpr int kMostTries = 6;
/// Targets that are looked at without a pause: well below a millisecond.
constexpr size_t kAtOnce = 20;
/// Orders that have ended are remembered.
constexpr size_t kKeptOrders = 200;
constexpr size_t kKeptFailures = 20;
/// Sources whose requests are counted; beyond, those of past windows are forgotten, then all.
constexpr size_t kMostCounted = 20'000;
/// A hot source is not looked at again for so long.
constexpr std::chrono::minutes kQuiet{15};

std::string NewId() {
  Hash128 id;
  while (::getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id)) {
  }
  return id.ToHex();
}

/// It says nothing about the variant, only about the moment.
bool IsForLater(const Error& error) {
  if (error.reason == "OVERLOADED") return true;
  if (error.reason != "TRANSFORM_TIMEOUT") return false;
  return std::any_of(error.facts.begin(), error.facts.end(), [](const auto& fact) {
    return fact.first == "cause" && fact.second == "queue";
  });
}

std::string Filled(std::string_view pattern, std::string_view bucket, std::string_view key) {
  std::string path;
  while (!pattern.empty()) {
    const auto put = [&](std::string_view name, std::string_view value) {
      if (!pattern.starts_with(name)) return false;
      path += http::PercentEncode(value, http::kPathChars);
      pattern.remove_prefix(name.size());
      return true;
    };
    if (put("${bucket}", bucket) || put("${key}", key)) continue;
    path += pattern.front();
    pattern.remove_prefix(1);
  }
  return path;
}

std::vector<std::string> TargetsOf(const std::string& path,
                                   const std::vector<std::string>& derivatives) {
  std::vector<std::string> targets;
  for (const std::string& name : derivatives) {
    targets.push_back(path + "?derivative=" + http::PercentEncode(name));
  }
  return targets;
}

Error TooMany(size_t wanted, size_t waiting, size_t most) {
  return Error(Code::kResourceExhausted,
               std::to_string(wanted) + " more variants do not fit: " + std::to_string(waiting) +
                   " of " + std::to_string(most) + " wait already (prewarm.queue)")
      .WithReason("OVERLOADED");
}

}  // namespace

std::string_view ToString(Warmed warmed) {
  switch (warmed) {
    case Warmed::kMade:
      return "made";
    case Warmed::kHeld:
      return "held";
    case Warmed::kJoined:
      return "joined";
  }
  return "made";
}

std::string_view ToString(Prewarmer::Cause cause) {
  switch (cause) {
    case Prewarmer::Cause::kOrder:
      return "order";
    case Prewarmer::Cause::kUpload:
      return "upload";
    case Prewarmer::Cause::kHot:
      return "hot";
  }
  return "order";
}

Prewarmer::Prewarmer(Deps deps, PrewarmOptions options)
    : deps_(std::move(deps)),
      queue_gauge_(deps_.metrics.GetGauge("video_resizer_prewarm_queue",
                                          "Variants that wait to be made before anybody asks")) {
  // So that they can be seen before anything has happened.
  for (const char* result : {"made", "held", "joined", "failed", "postponed", "refused"}) {
    Count(result);
  }
  SetOptions(std::move(options));
}

Counter Prewarmer::Count(std::string_view result) {
  return deps_.metrics.GetCounter("video_resizer_prewarm_total", "Variants prewarmed, by result",
                                  {{"result", std::string(result)}});
}

PrewarmOptions Prewarmer::options() const {
  MutexLock lock(mutex_);
  return options_;
}

void Prewarmer::SetOptions(PrewarmOptions options) {
  {
    MutexLock lock(heat_mutex_);
    hot_requests_ = options.derivatives.empty() ? 0 : options.hot_requests;
    hot_window_ = options.hot_window;
    if (hot_requests_ == 0) heat_.clear();
    counts_ = hot_requests_ > 0;
  }
  {
    MutexLock lock(mutex_);
    options_ = std::move(options);
  }
  StartDrivers();
}

Result<WarmTarget> Prewarmer::Resolve(Cause cause, const std::string& text) const {
  Result<WarmTarget> target = deps_.resolve(text);
  if (!target.ok()) {
    Error error = std::move(target).error();
    error.public_message = "\"" + text + "\": " + error.public_message;
    return error;
  }
  target->compare = cause == Cause::kUpload;
  return target;
}

Result<Prewarmer::View> Prewarmer::Submit(Cause cause, const std::vector<std::string>& targets) {
  std::vector<WarmTarget> resolved;
  std::unordered_set<std::string_view> seen;
  for (const std::string& text : targets) {
    if (!seen.insert(text).second) continue;
    TRY(WarmTarget target, Resolve(cause, text));
    resolved.push_back(std::move(target));
  }
  return Begin(cause, std::move(resolved));
}

Task<Result<Prewarmer::View>> Prewarmer::SubmitSlowly(Cause cause,
                                                      std::vector<std::string> targets) {
  std::vector<WarmTarget> resolved;
  std::unordered_set<std::string_view> seen;
  for (const std::string& text : targets) {
    if (!seen.insert(text).second) continue;
    if (seen.size() % kAtOnce == 0) co_await io::SleepUntil(std::chrono::steady_clock::now());
    CO_TRY(WarmTarget target, Resolve(cause, text));
    resolved.push_back(std::move(target));
  }
  co_return Begin(cause, std::move(resolved));
}

Result<Prewarmer::View> Prewarmer::Begin(Cause cause, std::vector<WarmTarget> resolved) {
  auto batch = std::make_shared<Batch>();
  View& view = batch->view;
  view.id = NewId();
  view.cause = cause;
  view.created_ms = ToUnixMillis(deps_.clock.Now());
  view.total = view.queued = resolved.size();
  Result<View> taken = Take(batch, std::move(resolved));
  if (taken.ok()) {
    StartKeeping();
    StartDrivers();
  }
  return taken;
}

Result<Prewarmer::View> Prewarmer::Take(const BatchRef& batch, std::vector<WarmTarget> resolved) {
  MutexLock lock(mutex_);
  if (is_stopped_) return Error(Code::kUnavailable, "the server is stopping");
  if (waiting_.size() + resolved.size() > options_.queue) {
    Count("refused").Add(static_cast<double>(resolved.size()));
    return TooMany(resolved.size(), waiting_.size(), options_.queue);
  }
  for (WarmTarget& target : resolved) {
    waiting_.push_back(Item{batch, std::move(target), 0, SteadyTime()});
  }
  batches_.push_back(batch);
  EndIfOverLocked(batch);
  if (batches_.size() > kKeptOrders) {
    const auto ended = std::find_if(batches_.begin(), batches_.end(),
                                    [](const BatchRef& old) { return old->view.ended_ms != 0; });
    if (ended != batches_.end()) batches_.erase(ended);
  }
  queue_gauge_.Set(static_cast<double>(waiting_.size()));
  is_changed_ = true;
  return batch->view;
}

Result<std::optional<Prewarmer::View>> Prewarmer::Uploaded(std::string_view bucket,
                                                           std::string_view key) {
  const PrewarmOptions options = this->options();
  std::vector<std::string> targets;
  for (std::string& target :
       TargetsOf(Filled(options.upload_path, bucket, key), options.on_upload)) {
    // A bucket holds more than videos.
    if (deps_.resolve(target).ok()) targets.push_back(std::move(target));
  }
  if (targets.empty()) return std::optional<View>();
  TRY(View view, Submit(Cause::kUpload, targets));
  return std::optional<View>(std::move(view));
}

void Prewarmer::BecameHot(std::string_view source) {
  std::string path = "/";
  path += http::PercentEncode(source, http::kPathChars);
  Result<View> taken = Submit(Cause::kHot, TargetsOf(path, options().derivatives));
  if (taken.ok()) {
    LogInfo("source_is_hot", {{"source", source}, {"prewarm", taken->id}});
  } else {
    LogWarn("prewarm_refused", {{"source", source}, {"error", taken.error().ToLogString()}});
  }
}

void Prewarmer::CountRequest(std::string_view source) {
  if (!counts_requests() || source.find("://") != source.npos) return;
  const SteadyTime now = std::chrono::steady_clock::now();
  {
    MutexLock lock(heat_mutex_);
    if (hot_requests_ == 0) return;
    if (heat_.size() >= kMostCounted) {
      std::erase_if(heat_, [now](const auto& entry) {
        return entry.second.window_end <= now && entry.second.quiet_until <= now;
      });
      if (heat_.size() >= kMostCounted) heat_.clear();
    }
    Heat& heat = heat_[std::string(source)];
    if (now < heat.quiet_until) return;
    if (now >= heat.window_end) heat = Heat{0, now + hot_window_, SteadyTime()};
    if (++heat.requests < hot_requests_) return;
    heat = Heat{0, SteadyTime(), now + kQuiet};
  }
  // Not on the loop of who asked.
  group_.Spawn(deps_.executor, [this, name = std::string(source)]() -> Task<void> {
    BecameHot(name);
    co_return;
  });
}

std::optional<Prewarmer::View> Prewarmer::Find(std::string_view id) const {
  MutexLock lock(mutex_);
  for (const BatchRef& batch : batches_) {
    if (batch->view.id == id) return batch->view;
  }
  return std::nullopt;
}

std::vector<Prewarmer::View> Prewarmer::List() const {
  MutexLock lock(mutex_);
  std::vector<View> views;
  for (auto batch = batches_.rbegin(); batch != batches_.rend(); ++batch) {
    views.push_back((*batch)->view);
  }
  return views;
}

bool Prewarmer::Cancel(std::string_view id) {
  const bool is_found = TakeOff(id);
  if (is_found) StartKeeping();
  return is_found;
}

bool Prewarmer::TakeOff(std::string_view id) {
  MutexLock lock(mutex_);
  const auto found = std::find_if(batches_.begin(), batches_.end(),
                                  [id](const BatchRef& batch) { return batch->view.id == id; });
  if (found == batches_.end()) return false;
  const BatchRef batch = *found;
  std::erase_if(waiting_, [&](const Item& item) { return item.batch == batch; });
  batch->view.cancelled += std::exchange(batch->view.queued, 0);
  EndIfOverLocked(batch);
  queue_gauge_.Set(static_cast<double>(waiting_.size()));
  is_changed_ = true;
  return true;
}

void Prewarmer::EndIfOverLocked(const BatchRef& batch) {
  View& view = batch->view;
  if (view.ended_ms != 0 || view.queued > 0 || view.running > 0) return;
  view.ended_ms = ToUnixMillis(deps_.clock.Now());
}

void Prewarmer::StartDrivers() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      const size_t wanted = std::min<size_t>(std::max(options_.concurrency, 1u), waiting_.size());
      if (is_stopped_ || drivers_ >= wanted) return;
      ++drivers_;
    }
    // Not under the lock: it may begin at once.
    if (group_.Spawn(deps_.executor, [this]() -> Task<void> { return Drive(); })) continue;
    MutexLock lock(mutex_);
    --drivers_;
    return;
  }
}

std::vector<Prewarmer::Item> Prewarmer::TakeLocked(SteadyTime now) {
  std::vector<Item> taken;
  const auto first = std::find_if(waiting_.begin(), waiting_.end(),
                                  [now](const Item& item) { return item.not_before <= now; });
  if (first == waiting_.end()) return taken;
  const std::string source = first->target.source;
  std::unordered_set<std::string> targets;
  for (auto item = first; item != waiting_.end() && taken.size() < options_.together;) {
    const bool goes = item->target.source == source && item->not_before <= now &&
                      targets.insert(item->target.target).second;
    if (!goes) {
      ++item;
      continue;
    }
    --item->batch->view.queued;
    ++item->batch->view.running;
    taken.push_back(std::move(*item));
    item = waiting_.erase(item);
  }
  queue_gauge_.Set(static_cast<double>(waiting_.size()));
  return taken;
}

Task<void> Prewarmer::Drive() {
  for (;;) {
    std::vector<WarmTarget> targets;
    Making::iterator making;
    const bool is_idle = deps_.is_idle();
    const SteadyTime now = std::chrono::steady_clock::now();
    {
      MutexLock lock(mutex_);
      if (is_stopped_ || waiting_.empty() || drivers_ > std::max(options_.concurrency, 1u)) {
        --drivers_;
        co_return;
      }
      std::vector<Item> items;
      if (is_idle) items = TakeLocked(now);
      for (const Item& item : items) targets.push_back(item.target);
      if (!items.empty()) making = making_.insert(making_.end(), std::move(items));
    }
    if (targets.empty()) {
      co_await io::SleepUntil(now + kLook);
      continue;
    }
    std::vector<Result<Warmed>> results = co_await deps_.make(std::move(targets));
    Settle(making, std::move(results));
    StartKeeping();
  }
}

void Prewarmer::NoteFailure(View& view, const std::string& target, const Error& error) {
  ++view.failed;
  if (view.failures.size() >= kKeptFailures) return;
  Failure failure;
  failure.target = target;
  failure.code = error.reason.empty() ? std::string(vr::ToString(error.code)) : error.reason;
  failure.message = error.public_message;
  view.failures.push_back(std::move(failure));
}

void Prewarmer::Settle(Making::iterator making, std::vector<Result<Warmed>> results) {
  const SteadyTime now = std::chrono::steady_clock::now();
  MutexLock lock(mutex_);
  std::vector<Item> items = std::move(*making);
  making_.erase(making);
  is_changed_ = true;
  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    View& view = item.batch->view;
    --view.running;
    const Result<Warmed>& result = results[i];
    if (result.ok()) {
      ++(*result == Warmed::kMade ? view.made : *result == Warmed::kHeld ? view.held : view.joined);
      Count(ToString(*result)).Add();
    } else if (is_stopped_ && deps_.keep) {
      // Given up, most likely. The next process sees what is wrong with it.
      ++view.queued;
      waiting_.push_back(std::move(item));
      continue;
    } else if (IsForLater(result.error()) && ++item.tries < kMostTries && !is_stopped_) {
      Count("postponed").Add();
      ++view.queued;
      item.not_before = now + kPause * (1 << item.tries);
      waiting_.push_back(std::move(item));
      continue;
    } else {
      Count("failed").Add();
      NoteFailure(view, item.target.target, result.error());
    }
    EndIfOverLocked(item.batch);
  }
  queue_gauge_.Set(static_cast<double>(waiting_.size()));
}

// --- over restarts

bool Prewarmer::is_changed() const {
  MutexLock lock(mutex_);
  return is_changed_;
}

std::vector<KeptOrder> Prewarmer::Unended() const {
  MutexLock lock(mutex_);
  return UnendedLocked();
}

std::vector<KeptOrder> Prewarmer::UnendedLocked() const {
  std::vector<KeptOrder> orders(unrestored_.begin(), unrestored_.end());
  std::unordered_map<const Batch*, size_t> places;
  for (const BatchRef& batch : batches_) {
    const View& view = batch->view;
    if (view.ended_ms != 0) continue;
    places[batch.get()] = orders.size();
    KeptOrder& order = orders.emplace_back();
    order.id = view.id;
    order.cause = static_cast<uint8_t>(view.cause);
    order.created_ms = view.created_ms;
    static_cast<WarmCounts&>(order) = view;
  }
  const auto add = [&](const Item& item) {
    const auto place = places.find(item.batch.get());
    if (place != places.end()) orders[place->second].targets.push_back(item.target.target);
  };
  for (const std::vector<Item>& items : making_) std::for_each(items.begin(), items.end(), add);
  std::for_each(waiting_.begin(), waiting_.end(), add);
  return orders;
}

void Prewarmer::StartKeeping() {
  if (!deps_.keep) return;
  {
    MutexLock lock(mutex_);
    if (is_stopped_ || is_keeping_) return;
    is_keeping_ = true;
  }
  if (group_.Spawn(deps_.executor, [this]() -> Task<void> { return Keep(); })) return;
  MutexLock lock(mutex_);
  is_keeping_ = false;
}

Task<void> Prewarmer::Keep() {
  for (;;) {
    std::vector<KeptOrder> orders;
    std::chrono::milliseconds pause;
    {
      MutexLock lock(mutex_);
      pause = options_.keep_every;
      if (is_stopped_ || !is_changed_) {
        is_keeping_ = false;
        co_return;
      }
      is_changed_ = false;
      orders = UnendedLocked();
    }
    Result<void> kept = co_await deps_.keep(std::move(orders));
    if (!kept.ok()) LogWarn("prewarm_orders_not_kept", {{"error", kept.error().ToLogString()}});
    // In small steps: a stop does not wait for it.
    const SteadyTime next = std::chrono::steady_clock::now() + pause;
    for (SteadyTime now = next - pause; now < next; now += kLook) {
      {
        MutexLock lock(mutex_);
        if (is_stopped_) break;
      }
      co_await io::SleepUntil(std::min(next, now + kLook));
    }
  }
}

void Prewarmer::Restore(std::vector<KeptOrder> orders) {
  if (orders.empty()) return;
  {
    MutexLock lock(mutex_);
    unrestored_.assign(std::make_move_iterator(orders.begin()),
                       std::make_move_iterator(orders.end()));
  }
  group_.Spawn(deps_.executor, [this]() -> Task<void> { return RestoreAll(); });
}

Task<void> Prewarmer::RestoreAll() {
  for (;;) {
    KeptOrder order;
    {
      MutexLock lock(mutex_);
      if (is_stopped_ || unrestored_.empty()) co_return;
      order = unrestored_.front();
    }
    auto batch = std::make_shared<Batch>();
    View& view = batch->view;
    view.id = order.id;
    view.cause = static_cast<Cause>(order.cause);
    view.created_ms = order.created_ms;
    static_cast<WarmCounts&>(view) = order;
    view.total = order.sum() + order.targets.size();
    std::vector<Item> items;
    for (size_t i = 0; i < order.targets.size(); ++i) {
      if (i % kAtOnce == 0) co_await io::SleepUntil(std::chrono::steady_clock::now());
      Result<WarmTarget> target = Resolve(view.cause, order.targets[i]);
      if (target.ok()) {
        items.push_back(Item{batch, std::move(*target), 0, SteadyTime()});
      } else {
        Count("failed").Add();
        NoteFailure(view, order.targets[i], target.error());
      }
    }
    view.queued = items.size();
    {
      MutexLock lock(mutex_);
      unrestored_.pop_front();
      // However long the list may be now: they were accepted.
      std::move(items.begin(), items.end(), std::back_inserter(waiting_));
      batches_.push_back(batch);
      EndIfOverLocked(batch);
      queue_gauge_.Set(static_cast<double>(waiting_.size()));
      is_changed_ = true;
      LogInfo("prewarm_restored",
              {{"prewarm", view.id}, {"queued", view.queued}, {"failed", view.failed}});
    }
    StartKeeping();
    StartDrivers();
  }
}

bool Prewarmer::Drain(SteadyTime deadline) {
  {
    MutexLock lock(mutex_);
    is_stopped_ = true;
    if (!deps_.keep) {
      for (const Item& item : waiting_) {
        --item.batch->view.queued;
        ++item.batch->view.cancelled;
        EndIfOverLocked(item.batch);
      }
      waiting_.clear();
    }
  }
  group_.Close();
  return group_.WaitEmpty(deadline);
}

}  // namespace vr::cache
