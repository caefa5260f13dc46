#include "delivery/transform_group.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "observe/log.h"

namespace vr::delivery {

namespace {

/// So long is waited for members of which nothing is heard: one has joined somebody else's
/// production, or its origin is slow.
constexpr std::chrono::seconds kPatience{10};
/// Somebody waits for one of them now: what is not half done is begun again for them alone.
constexpr uint32_t kNearlyDone = 50;

bool IsWaitedFor(const cache::ProductionRef& production) {
  return production->interest() == cache::Interest::kWaiting;
}

}  // namespace

std::shared_ptr<TransformGroup::Seat> TransformGroup::AddSeat() {
  {
    MutexLock lock(mutex_);
    ++missing_;
  }
  return std::make_shared<Seat>(shared_from_this());
}

void TransformGroup::Leave() {
  {
    MutexLock lock(mutex_);
    --missing_;
  }
  notifier_.NotifyAll();
}

Task<std::optional<transform::protocol::Done>> TransformGroup::Take(Context ctx, Order order) {
  const std::shared_ptr<TransformGroup> self = shared_from_this();
  const SharedFd stored = order.stored;
  const auto member = std::make_shared<Member>();
  member->order = std::move(order);
  {
    MutexLock lock(mutex_);
    --missing_;
    if (has_begun_) co_return std::nullopt;  // too late
    members_.push_back(member);
  }
  notifier_.NotifyAll();
  const SteadyTime patience = std::min(ctx.deadline, std::chrono::steady_clock::now() + kPatience);
  bool leads = false;
  std::vector<std::shared_ptr<Member>> members;
  for (;;) {
    const uint64_t ticket = notifier_.ticket();
    const bool is_late = std::chrono::steady_clock::now() >= patience;
    {
      MutexLock lock(mutex_);
      if (!has_begun_ && (missing_ == 0 || is_late)) {
        has_begun_ = leads = true;
        members = members_;
      }
      if (is_over_ || leads) break;
    }
    co_await notifier_.WaitChange(ticket, is_late ? SteadyTime::max() : patience);
  }
  if (leads) {
    co_await Make(std::move(ctx), std::move(members));
    {
      MutexLock lock(mutex_);
      is_over_ = true;
    }
    notifier_.NotifyAll();
  }
  std::optional<transform::protocol::Done> done;
  {
    MutexLock lock(mutex_);
    done = std::move(member->done);
  }
  if (!done && ::ftruncate(stored->get(), 0) != 0) {
    LogWarn("group_file_not_emptied", {{"errno", errno}});
  }
  co_return done;
}

Task<void> TransformGroup::Make(Context ctx, std::vector<std::shared_ptr<Member>> members) {
  const origin::SourceRef source = members.front()->order.source;
  std::erase_if(members, [&](const std::shared_ptr<Member>& member) {
    const cache::ProductionRef& production = member->order.production;
    // Between two of them the source may have changed.
    const origin::SourceInfo& info = member->order.source->info();
    const bool is_same =
        info.validator == source->info().validator && info.size == source->info().size;
    return !is_same || production->is_abandoned() || IsWaitedFor(production);
  });
  if (members.size() < 2) co_return;
  std::vector<transform::WorkerPool::Together> jobs;
  std::vector<cache::ProductionRef> productions;
  for (const auto& member : members) {
    jobs.push_back({member->order.job, member->order.stored});
    productions.push_back(member->order.production);
  }
  // When it does not get done, there has to be time for each alone.
  const SteadyTime now = std::chrono::steady_clock::now();
  if (ctx.deadline != SteadyTime::max()) ctx.deadline = now + (ctx.deadline - now) / 2;
  const auto cancel = std::make_shared<transform::CancelToken>();
  transform::Claim claim;
  claim.origin = members.front()->order.origin;
  claim.priority = [productions, cancel] {
    // Asked for as long as it waits or runs, every few milliseconds.
    for (const cache::ProductionRef& production : productions) {
      const bool is_hurried = IsWaitedFor(production) && production->percent() < kNearlyDone;
      if (is_hurried || production->is_abandoned()) cancel->Cancel();
    }
    const bool is_waited_for = std::any_of(productions.begin(), productions.end(), IsWaitedFor);
    return is_waited_for ? transform::Priority::kWaiting : transform::Priority::kPrewarm;
  };
  claim.on_start = [productions] {
    for (const cache::ProductionRef& production : productions) production->MarkStarted();
  };
  // An estimate is one job's, decoding included, which they share.
  constexpr double kOfEach = 0.6;
  const double enough = std::chrono::duration<double>(ctx.deadline - now).count() /
                        (kOfEach * static_cast<double>(members.size()));
  transform::WorkerPool::ProgressFn on_progress =
      [productions, cancel, enough](const transform::protocol::Progress& progress) {
        if (progress.estimated_seconds > enough) cancel->Cancel();
        for (const cache::ProductionRef& production : productions) {
          production->SetPercent(progress.percent);
        }
      };
  Result<std::vector<transform::protocol::Done>> dones = co_await pool_.RunTogether(
      std::move(ctx), std::move(jobs), source, std::move(on_progress), cancel, std::move(claim));
  if (!dones.ok()) {
    LogInfo("prewarm_not_together",
            {{"members", members.size()}, {"error", dones.error().ToLogString()}});
    co_return;
  }
  MutexLock lock(mutex_);
  for (size_t i = 0; i < members.size(); ++i) members[i]->done = std::move((*dones)[i]);
}

}  // namespace vr::delivery
