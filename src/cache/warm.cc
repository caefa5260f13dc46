// Making what nobody has asked for yet (docs/prewarm.md): the production is as any other, but that
// nobody waits for it, so it is the least urgent there is until somebody joins.
#include <boost/asio/this_coro.hpp>

#include "cache/orchestrator.h"
#include "http/codes.h"

namespace vr::cache {

namespace {
constexpr int kMostRefused = 8;
}  // namespace

Task<Result<Warmed>> Orchestrator::Warm(Query query, std::shared_ptr<Producer> producer,
                                        bool compare) {
  const io::Executor executor = co_await boost::asio::this_coro::executor;
  int refused = 0;  // joined what was not admitted, which is not held against us
  for (;;) {
    EntityRef held = query.read_edge ? LookupEdge(query.key, query.digest) : nullptr;
    if (held && held->meta.status != http::kOk) {
      co_return Error(Code::kUnavailable, "it has failed just now, which is remembered")
          .WithReason("REMEMBERED_FAILURE");
    }
    Warmed warmed = Warmed::kHeld;
    if (!held) {
      bool leads = false;
      const std::string flight = FlightOf(query);
      const ProductionRef production = JoinOrLead(query, flight, &leads);
      if (leads) Launch(executor, query, production, producer, flight);
      for (;;) {
        const uint64_t ticket = production->ticket();
        if (production->Look().phase >= Production::Phase::kDone) break;
        co_await production->WaitChange(ticket, SteadyTime::max());
      }
      if (!leads && production->is_refused() && ++refused < kMostRefused) continue;
      if (production->Look().phase == Production::Phase::kFailed) {
        co_return Error(*production->error());
      }
      const Outcome outcome = production->outcome();
      if (outcome.from != Outcome::From::kMade) {
        held = outcome.entity;
      } else {
        warmed = leads ? Warmed::kMade : Warmed::kJoined;
        const JobRef job = production->job();
        for (;;) {
          const uint64_t ticket = job->ticket();
          if (job->Look().has_ended()) break;
          co_await job->WaitChange(ticket, SteadyTime::max());
        }
        const std::shared_ptr<const Error> lost = job->Look().error;
        if (lost) co_return Error(*lost);
        const Explanation now = co_await Explain(Context(), query.key, query.digest);
        if (!(now.kv.present && now.kv.same_plan) && !(now.edge.present && now.edge.same_plan)) {
          co_return Error(Code::kResourceExhausted, "the variant was made and could not be kept")
              .WithReason("NOT_STORED");
        }
      }
    }
    if (!held || !compare) co_return warmed;
    Context ctx;
    ctx.deadline = std::chrono::steady_clock::now() + options_.production_timeout;
    ctx.request_id = query.key;
    Result<bool> unchanged = co_await producer->IsUnchanged(std::move(ctx), held->meta);
    if (!unchanged.ok()) co_return std::move(unchanged).error();
    if (*unchanged) co_return Warmed::kHeld;
    changed_.Add();
    // What the edge has must not outlive it.
    query.read_edge = query.read_kv = false;
    query.write_edge = true;
    compare = false;
  }
}

}  // namespace vr::cache
