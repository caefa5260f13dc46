// VideoEndpoint, prewarming (docs/prewarm.md): what a request would have made is made without one.
#include <atomic>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "delivery/transform_group.h"
#include "delivery/video_endpoint.h"
#include "io/notifier.h"
#include "io/task_group.h"

namespace vr::delivery {

namespace {

/// A GET of `target` that carries nothing else. Views into `target`.
http::Request BareRequest(std::string_view target) {
  http::Request request;
  request.method = http::Method::kGet;
  request.method_name = "GET";
  request.target = target;
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != target.npos) request.query = target.substr(mark + 1);
  return request;
}

}  // namespace

Result<VideoEndpoint::Prepared> VideoEndpoint::PrepareWarm(std::string_view target,
                                                           cache::Query& query) const {
  if (!target.starts_with('/')) {
    return Error(Code::kInvalidArgument, "a target is a path that begins with /")
        .WithReason("INVALID_PARAMETER");
  }
  const http::Request request = BareRequest(target);
  TRY(Prepared p, Prepare(request));
  query = QueryFor(request, p);
  query.tags = TagsOf(p);
  query.write_edge = query.write_edge && !query.write_kv;
  const bool is_kept =
      (query.write_kv || (query.write_edge && deps_.orchestrator.edge().enabled())) &&
      query.ttl.ok.count() > 0;
  if (!query.join || !is_kept || p.parsed.flags.debug_view) {
    return Error(Code::kInvalidArgument, "nothing would keep this variant")
        .WithReason("INVALID_PARAMETER");
  }
  return p;
}

Result<cache::WarmTarget> VideoEndpoint::ResolveWarm(std::string target) const {
  cache::Query query;
  TRY(const Prepared p, PrepareWarm(target, query));
  if (!p.parsed.warnings.empty()) {
    // A client gets something near to it; nobody wants that made for later.
    const variant::Warning& first = p.parsed.warnings.front();
    return Error(Code::kInvalidArgument, first.param + ": " + first.reason)
        .WithReason("INVALID_PARAMETER");
  }
  if (!p.parsed.request.is_original()) {
    CHECK_OK(transform::MakePlan(p.parsed.request, p.snapshot->transform));
  }
  cache::WarmTarget resolved;
  resolved.source = p.resolved.identity;
  resolved.target = std::move(target);
  return resolved;
}

Task<bool> VideoEndpoint::CanBeMadeTogether(const cache::WarmTarget& target) const {
  cache::Query query;
  const Result<Prepared> p = PrepareWarm(target.target, query);
  if (!p.ok()) co_return false;
  const Result<transform::Plan> plan =
      transform::MakePlan(p->parsed.request, p->snapshot->transform);
  if (!plan.ok() || plan->original ||
      plan->job.operation != transform::protocol::Operation::kVideo) {
    co_return false;
  }
  const cache::Explanation held =
      co_await deps_.orchestrator.Explain(Context(), query.key, query.digest);
  const bool has_it =
      (held.kv.present && held.kv.same_plan) || (held.edge.present && held.edge.same_plan);
  co_return !held.in_production && (!has_it || target.compare);
}

Task<Result<cache::Warmed>> VideoEndpoint::WarmOne(
    cache::WarmTarget target, std::shared_ptr<TransformGroup::Seat> seat) const {
  cache::Query query;
  CO_TRY(const Prepared p, PrepareWarm(target.target, query));
  CO_TRY(transform::Plan plan, transform::MakePlan(p.parsed.request, p.snapshot->transform));
  auto producer =
      std::make_shared<VideoProducer>(deps_.producer, SpecFor(p, std::move(plan)), std::move(seat));
  Result<cache::Warmed> warmed =
      co_await deps_.orchestrator.Warm(std::move(query), std::move(producer), target.compare);
  co_return warmed;
}

Task<std::vector<Result<cache::Warmed>>> VideoEndpoint::Warm(
    std::vector<cache::WarmTarget> targets) const {
  std::vector<bool> is_grouped(targets.size());
  size_t grouped = 0;
  if (targets.size() > 1) {
    for (size_t i = 0; i < targets.size(); ++i) {
      const bool is_one = co_await CanBeMadeTogether(targets[i]);
      is_grouped[i] = is_one;
      grouped += is_one ? 1 : 0;
    }
  }
  std::vector<Result<cache::Warmed>> results(targets.size(),
                                             Error(Code::kUnavailable, "the server is stopping"));
  if (grouped > 1) {
    const auto group = std::make_shared<TransformGroup>(deps_.producer.pool);
    const auto left = std::make_shared<std::atomic<size_t>>(grouped);
    const auto changed = std::make_shared<io::Notifier>();
    const io::Executor executor = co_await boost::asio::this_coro::executor;
    io::TaskGroup tasks;
    std::vector<std::shared_ptr<TransformGroup::Seat>> seats(targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      if (is_grouped[i]) seats[i] = group->AddSeat();
    }
    for (size_t i = 0; i < targets.size(); ++i) {
      if (!is_grouped[i]) continue;
      Result<cache::Warmed>* const result = &results[i];
      // Nobody else keeps the seat: it is given up with the first who does not need it.
      std::function<Task<void>()> warm = [this, seat = std::move(seats[i]), left, changed, result,
                                          target = targets[i]]() mutable -> Task<void> {
        return WarmMember(target, std::move(seat), left, changed, result);
      };
      tasks.Spawn(executor, std::move(warm));
    }
    for (;;) {
      const uint64_t ticket = changed->ticket();
      if (*left == 0) break;
      co_await changed->WaitChange(ticket, SteadyTime::max());
    }
  } else {
    is_grouped.assign(targets.size(), false);
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (is_grouped[i]) continue;
    Result<cache::Warmed> one = co_await WarmOne(std::move(targets[i]), nullptr);
    results[i] = std::move(one);
  }
  co_return results;
}

Task<void> VideoEndpoint::WarmMember(cache::WarmTarget target,
                                     std::shared_ptr<TransformGroup::Seat> seat,
                                     std::shared_ptr<std::atomic<size_t>> left,
                                     std::shared_ptr<io::Notifier> changed,
                                     Result<cache::Warmed>* result) const {
  Result<cache::Warmed> warmed = co_await WarmOne(std::move(target), std::move(seat));
  *result = std::move(warmed);
  --*left;
  changed->NotifyAll();
}

}  // namespace vr::delivery
