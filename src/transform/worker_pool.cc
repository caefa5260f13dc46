#include "transform/worker_pool.h"

#include <poll.h>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "transform/job_run.h"
#include "transform/protocol/fd_passing.h"
#include "transform/worker_pool_core.h"

namespace vr::transform {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstHelloPatience{15'000};
/// Beyond the drain time: killing, collecting, and the turns of the loop.
constexpr milliseconds kStopPatience{3'000};

/// Waits for the first worker's Hello; blocks.
Result<protocol::Hello> AwaitHello(int worker, int control, SteadyTime deadline) {
  std::string bytes;
  std::vector<UniqueFd> fds;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0)
      return Error(Code::kUnavailable, "no transform can be made now", "the worker is silent");
    // Of the control socket only its end is of interest; what it says is read later, by the loop.
    pollfd sockets[] = {{worker, POLLIN, 0}, {control, 0, 0}};
    if (poll(sockets, 2, static_cast<int>(left)) < 0 && errno != EINTR) {
      return ErrnoError(errno, "waiting for the first worker");
    }
    TRY(const protocol::Received received, protocol::TryReceive(worker, bytes, fds));
    if (received == protocol::Received::kClosed ||
        (sockets[1].revents & (POLLHUP | POLLERR)) != 0) {
      return Error(Code::kUnavailable, "no transform can be made now",
                   "the worker ended while it started");
    }
    TRY(const auto message, protocol::TakeFrame(bytes));
    if (!message) continue;
    if (const auto* hello = std::get_if<protocol::Hello>(&*message)) return *hello;
    return Error(Code::kCorruption, "no transform can be made now",
                 "the worker's first word is not Hello");
  }
}

/// Tells the pool when the caller's coroutine ends, whichever way.
class CallerGuard {
 public:
  explicit CallerGuard(JobRunRef run) : run_(std::move(run)) {}
  ~CallerGuard() {
    run_->is_abandoned = true;
    run_->on_progress = nullptr;
  }
  CallerGuard(const CallerGuard&) = delete;
  CallerGuard& operator=(const CallerGuard&) = delete;

 private:
  JobRunRef run_;
};

/// Submits and waits. `submit` hands the job to the pool's loop.
Task<Result<protocol::Done>> WaitForEnd(JobRunRef run, std::function<void(JobRunRef)> submit,
                                        uint64_t max_source_bytes) {
  const CallerGuard guard(run);
  run->caller = co_await boost::asio::this_coro::executor;
  const auto& size = run->source->info().size;
  if (size) {
    run->job.source_size = *size;
  } else if (run->job.source_size == 0) {
    // The demuxer needs to know the end, so the whole of such a source comes first.
    CO_TRY(run->job.source_size, co_await run->source->Ensure(run->ctx, 0, max_source_bytes));
  }
  run->job.source_complete = run->source->is_complete();
  submit(run);
  std::optional<Result<protocol::Done>> end = co_await run->end.Wait();
  co_return std::move(*end);
}

}  // namespace

Result<std::unique_ptr<WorkerPool>> WorkerPool::Create(Options options, io::LoopPool& loops,
                                                       Metrics& metrics) {
  if (options.worker_path.empty()) options.worker_path = DefaultWorkerPath();
  const protocol::WorkerLimits limits{.memory_bytes = options.worker_memory,
                                      .cpu_seconds = static_cast<uint64_t>(options.max_cpu.count()),
                                      .max_output_bytes = options.max_output_bytes};
  auto started = ZygoteProcess::Start(options.worker_path, limits, options.niceness);
  if (!started.ok()) return std::move(started).error().In("starting the worker program");
  ZygoteProcess zygote = std::move(*started);
  TRY(auto pair, protocol::MakeSocketPair());
  const int theirs[] = {pair.second.get()};
  const SteadyTime deadline = steady_clock::now() + kFirstHelloPatience;
  const int control = zygote.socket();
  CHECK_OK(protocol::SendAll(control, protocol::Encode(protocol::Spawn{.id = 1}), theirs));
  pair.second.Reset();
  auto hello = AwaitHello(pair.first.get(), control, deadline);
  if (!hello.ok()) return std::move(hello).error().In("starting " + options.worker_path);

  auto core = std::make_shared<Core>(std::move(options), loops.Any(), metrics);
  core->SetRecipe(hello->recipe);
  core->is_ready = true;
  struct Start {
    ZygoteProcess zygote;
    UniqueFd first_worker;
  };
  auto start = std::make_shared<Start>(Start{std::move(zygote), std::move(pair.first)});
  core->loop().Post(
      [core, start] { core->Adopt(std::move(start->zygote), std::move(start->first_worker)); });
  return std::unique_ptr<WorkerPool>(new WorkerPool(std::move(core)));
}

WorkerPool::WorkerPool(std::shared_ptr<Core> core) : core_(std::move(core)) {}

WorkerPool::~WorkerPool() {
  StopWithin(milliseconds(0));
}

Task<Result<protocol::Done>> WorkerPool::Run(Context ctx, protocol::Job job,
                                             origin::SourceRef source, Outputs outputs,
                                             ProgressFn on_progress,
                                             std::shared_ptr<CancelToken> cancel, Claim claim) {
  VR_CHECK(source != nullptr && outputs.stored != nullptr);
  auto run = std::make_shared<JobRun>();
  run->ctx = std::move(ctx);
  run->job = std::move(job);
  run->job.stream = outputs.stream != nullptr;
  run->source = std::move(source);
  run->outputs = std::move(outputs);
  run->on_progress = std::move(on_progress);
  run->cancel = std::move(cancel);
  run->claim = std::move(claim);
  std::function<void(JobRunRef)> submit = [core = core_](JobRunRef r) {
    core->loop().Post([core, r = std::move(r)]() mutable { core->Submit(std::move(r)); });
  };
  return WaitForEnd(std::move(run), std::move(submit), core_->options().max_source_bytes);
}

Task<Result<std::vector<protocol::Done>>> WorkerPool::RunTogether(
    Context ctx, std::vector<Together> jobs, origin::SourceRef source, ProgressFn on_progress,
    std::shared_ptr<CancelToken> cancel, Claim claim) {
  VR_CHECK(source != nullptr && !jobs.empty());
  auto run = std::make_shared<JobRun>();
  run->ctx = std::move(ctx);
  run->job = std::move(jobs.front().job);
  run->job.stream = false;
  run->job.more = static_cast<uint32_t>(jobs.size() - 1);
  run->source = std::move(source);
  run->outputs.stored = std::move(jobs.front().stored);
  for (size_t i = 1; i < jobs.size(); ++i) {
    jobs[i].job.stream = false;
    run->companions.push_back({std::move(jobs[i].job), std::move(jobs[i].stored)});
  }
  run->on_progress = std::move(on_progress);
  run->cancel = std::move(cancel);
  run->claim = std::move(claim);
  std::function<void(JobRunRef)> submit = [core = core_](JobRunRef r) {
    core->loop().Post([core, r = std::move(r)]() mutable { core->Submit(std::move(r)); });
  };
  CO_TRY(protocol::Done last,
         co_await WaitForEnd(run, std::move(submit), core_->options().max_source_bytes));
  std::vector<protocol::Done> dones = std::move(run->dones);
  dones.push_back(std::move(last));
  co_return dones;
}

Result<void> WorkerPool::HasRoom(std::string_view origin, std::string_view client) {
  return core_->HasRoom(origin, client);
}

std::string WorkerPool::recipe() const {
  return core_->recipe();
}
bool WorkerPool::ready() const {
  return core_->is_ready;
}
bool WorkerPool::is_idle() const {
  return core_->is_ready && core_->queue_depth == 0 && core_->running < core_->max_running();
}
size_t WorkerPool::queue_depth() const {
  return core_->queue_depth;
}
size_t WorkerPool::running() const {
  return core_->running;
}
pid_t WorkerPool::zygote_pid() const {
  return core_->zygote_pid;
}

void WorkerPool::Stop() {
  StopWithin(core_->options().drain_timeout);
}

void WorkerPool::StopWithin(std::chrono::milliseconds drain) {
  if (is_stopped_) return;
  core_->loop().Post([core = core_, drain] { core->BeginStop(drain); });
  is_stopped_ = core_->WaitStopped(steady_clock::now() + drain + kStopPatience);
}

}  // namespace vr::transform
