#include "transform/worker_pool_core.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "io/cores.h"
#include "observe/log.h"
#include "transform/protocol/fd_passing.h"

namespace vr::transform {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTick{20};
/// Linking libav and sandboxing takes some 100 ms; a machine under load deserves patience.
constexpr milliseconds kHelloPatience{15'000};
/// From its last word, or our kill, to Exited.
constexpr milliseconds kExitPatience{2'000};
constexpr milliseconds kZygoteExitPatience{1'000};
constexpr milliseconds kZygoteProbation{1'000};
constexpr int kMaxOpenNeeds = 8;
constexpr uint64_t kMaxNeedBytes = 64ull << 20;
/// A worker that does not read its answers; they are some 20 bytes each.
constexpr size_t kMaxPendingBytes = 64 * 1024;
/// After this many failed starts in a row waiting jobs are told so.
constexpr int kHopeless = 5;
constexpr uint32_t kLoneJobThreads = 3;
constexpr int kMostNice = 19;

uint64_t SizeOfFile(const SharedFd& file) {
  struct stat info {};
  if (!file || fstat(file->get(), &info) != 0) return 0;
  return static_cast<uint64_t>(info.st_size);
}

Error Stopping() {
  return Error(Code::kUnavailable, "the server is stopping");
}

}  // namespace

WorkerPool::Core::Core(Options options, io::Loop& loop, Metrics& metrics)
    : options_(std::move(options)),
      cores_(io::UsableCores()),
      max_running_(options_.workers > 0 ? options_.workers : cores_),
      loop_(loop),
      encode_seconds_(
          metrics.GetCounter("video_resizer_encode_seconds_total", "CPU seconds of ended workers")),
      queue_gauge_(metrics.GetGauge("video_resizer_queue_depth", "Jobs waiting for a worker")),
      starting_gauge_(metrics.GetGauge("video_resizer_workers", "Worker processes by state",
                                       {{"state", "starting"}})),
      idle_gauge_(metrics.GetGauge("video_resizer_workers", "Worker processes by state",
                                   {{"state", "idle"}})),
      busy_gauge_(metrics.GetGauge("video_resizer_workers", "Worker processes by state",
                                   {{"state", "busy"}})),
      zygote_starts_(metrics.GetCounter("video_resizer_zygote_starts_total",
                                        "Starts of the process that makes the workers")),
      second_tries_(metrics.GetCounter(
          "video_resizer_job_second_tries_total",
          "Jobs whose worker died before it read them, and that went to another one")),
      refused_(metrics.GetCounter("video_resizer_queue_refusals_total",
                                  "Jobs refused because too many were waiting")),
      queue_wait_(metrics.GetHistogram("video_resizer_queue_wait_seconds",
                                       "Time jobs waited for a worker", {},
                                       {0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300})),
      job_seconds_(metrics.GetHistogram(
          "video_resizer_job_seconds", "Time from handing a job to a worker until it says: done",
          {}, {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300})),
      timer_(loop.executor()) {
  for (Cause cause :
       {Cause::kDeadline, Cause::kNoProgress, Cause::kCpu, Cause::kOutputSize, Cause::kMemory,
        Cause::kCrash, Cause::kSandbox, Cause::kCancelled, Cause::kProtocol, Cause::kZygote}) {
    deaths_.emplace(cause, metrics.GetCounter("video_resizer_worker_deaths_total",
                                              "Workers that ended without a result, by cause",
                                              {{"cause", std::string(ToString(cause))}}));
  }
}

void WorkerPool::Core::SetRecipe(const std::string& recipe) {
  const std::string before = recipe_.With([&](std::string& r) { return std::exchange(r, recipe); });
  if (!before.empty() && before != recipe) {
    LogWarn("worker_recipe_changed", {{"before", before}, {"now", recipe}});
  }
}

bool WorkerPool::Core::WaitStopped(SteadyTime deadline) {
  std::unique_lock lock(stopped_mutex_);
  return stopped_changed_.wait_until(lock, deadline, [&] { return stopped_; });
}

// ---- the zygote

void WorkerPool::Core::Adopt(ZygoteProcess zygote, UniqueFd first_worker) {
  UseZygote(std::move(zygote));
  const WorkerRef worker = AddWorker(next_id_++, std::move(first_worker));
  SetState(worker, State::kIdle);
  Update();
}

void WorkerPool::Core::UseZygote(ZygoteProcess zygote) {
  zygote_.emplace(std::move(zygote));
  zygote_pid = zygote_->pid();
  zygote_since_ = steady_clock::now();
  zygote_starts_.Add();
  zygote_channel_ = std::make_shared<Channel>(loop_.executor(), zygote_->TakeSocket());
  const std::weak_ptr<Core> weak = weak_from_this();
  zygote_channel_->Start(
      [weak](protocol::Message message) {
        if (const auto self = weak.lock()) self->OnZygoteMessage(std::move(message));
      },
      [weak](std::optional<Error> error) {
        if (const auto self = weak.lock()) self->LoseZygote(error ? error->detail : "it ended");
      });
}

void WorkerPool::Core::StartZygote() {
  const std::string program =
      options_.worker_path.empty() ? DefaultWorkerPath() : options_.worker_path;
  auto started =
      ZygoteProcess::Start(program,
                           {.memory_bytes = options_.worker_memory,
                            .cpu_seconds = static_cast<uint64_t>(options_.max_cpu.count()),
                            .max_output_bytes = options_.max_output_bytes},
                           options_.niceness);
  if (!started.ok()) {
    LogError("zygote_start_failed", {{"error", started.error().ToLogString()}});
    ++start_failures_;
    next_try_ = NextTry();
    return;
  }
  UseZygote(std::move(*started));
}

SteadyTime WorkerPool::Core::NextTry() const {
  // The first failure after a success costs no pause: what is rare should not be felt.
  if (start_failures_ == 0) return steady_clock::now();
  return steady_clock::now() + options_.restart_backoff * (1 << std::min(start_failures_ - 1, 5));
}

void WorkerPool::Core::OnZygoteMessage(protocol::Message message) {
  if (const auto* spawned = std::get_if<protocol::Spawned>(&message)) {
    const auto at = workers_.find(spawned->id);
    if (at == workers_.end()) return;
    at->second->pid = spawned->pid;
    if (spawned->pid > 0) return;
    LogError("worker_fork_failed", {{"errno", -spawned->pid}});
    at->second->channel->Close();
    workers_.erase(at);
    ++start_failures_;
    next_try_ = NextTry();
    Update();
  } else if (const auto* exited = std::get_if<protocol::Exited>(&message)) {
    OnExited(*exited);
    Update();
  } else {
    LoseZygote("it sent a message that is not its own");
  }
}

void WorkerPool::Core::LoseZygote(std::string_view why) {
  if (!zygote_) return;
  if (!zygote_closed_) {
    LogError("zygote_lost", {{"pid", static_cast<int64_t>(zygote_->pid())}, {"why", why}});
  }
  zygote_->Kill();
  lost_zygotes_.push_back(std::move(*zygote_));
  zygote_.reset();
  zygote_pid = -1;
  zygote_channel_->Close();
  zygote_channel_.reset();
  // One that made no worker, or ended at once, is likely to do so again.
  const bool worked = CountOf(State::kStarting) < workers_.size() &&
                      steady_clock::now() - zygote_since_ > kZygoteProbation;
  if (!worked) ++start_failures_;
  next_try_ = NextTry();
  std::map<uint64_t, WorkerRef> workers;
  workers.swap(workers_);
  for (const auto& [id, worker] : workers) {
    // It may have finished just before.
    if (worker->state == State::kBusy) worker->channel->Drain();
    worker->channel->Close();
    if (!worker->run) continue;
    const Cause cause = worker->killed_for.value_or(Cause::kZygote);
    CountDeath(*worker, cause, nullptr);
    if (TryAgain(worker)) continue;
    const JobRunRef run = std::move(worker->run);
    if (run->source_error) {
      End(run, *run->source_error);
    } else if (worker->failed) {
      End(run, ErrorOf(*worker->failed, nullptr, options_));
    } else {
      End(run, ErrorOf(cause, "zygote lost"));
    }
  }
  Update();
}

// ---- workers

WorkerPool::Core::WorkerRef WorkerPool::Core::AddWorker(uint64_t id, UniqueFd socket) {
  auto worker = std::make_shared<Worker>();
  worker->id = id;
  worker->since = steady_clock::now();
  worker->channel = std::make_shared<Channel>(loop_.executor(), std::move(socket));
  workers_.emplace(id, worker);
  const std::weak_ptr<Core> weak = weak_from_this();
  const std::weak_ptr<Worker> weak_worker = worker;
  worker->channel->Start(
      [weak, weak_worker](protocol::Message message) {
        const auto self = weak.lock();
        const auto w = weak_worker.lock();
        if (self && w) self->OnWorkerMessage(w, std::move(message));
      },
      [weak, weak_worker](std::optional<Error> error) {
        const auto self = weak.lock();
        const auto w = weak_worker.lock();
        if (self && w) self->OnWorkerClosed(w, std::move(error));
      });
  return worker;
}

void WorkerPool::Core::SpawnWorker() {
  auto pair = protocol::MakeSocketPair();
  if (!pair.ok()) {
    LogError("worker_socket_failed", {{"error", pair.error().ToLogString()}});
    ++start_failures_;
    next_try_ = NextTry();
    return;
  }
  const uint64_t id = next_id_++;
  AddWorker(id, std::move(pair->first));
  std::vector<SharedFd> fds;
  fds.push_back(std::make_shared<const UniqueFd>(std::move(pair->second)));
  zygote_channel_->Send(protocol::Spawn{.id = id}, std::move(fds));
}

void WorkerPool::Core::SetState(const WorkerRef& worker, State state) {
  worker->state = state;
  worker->since = steady_clock::now();
}

void WorkerPool::Core::OnWorkerMessage(const WorkerRef& worker, protocol::Message message) {
  if (worker->state == State::kStarting) {
    if (const auto* hello = std::get_if<protocol::Hello>(&message)) {
      OnHello(worker, *hello);
    } else {
      Kill(worker, Cause::kProtocol);
    }
  } else if (worker->state == State::kBusy) {
    worker->run->last_sign = steady_clock::now();
    worker->has_spoken = true;
    if (const auto* progress = std::get_if<protocol::Progress>(&message)) {
      OnProgress(worker, *progress);
      return;  // the many ones; nothing else changes
    }
    if (const auto* need = std::get_if<protocol::Need>(&message)) {
      OnNeed(worker, *need);
    } else if (auto* done = std::get_if<protocol::Done>(&message)) {
      OnDone(worker, std::move(*done));
    } else if (auto* failed = std::get_if<protocol::Failed>(&message)) {
      worker->failed = std::move(*failed);
      SetState(worker, State::kEnding);
    } else {
      Kill(worker, Cause::kProtocol);
    }
  } else if (worker->state == State::kIdle) {
    Kill(worker, Cause::kProtocol);  // nobody asked it anything
  }
  Update();
}

void WorkerPool::Core::OnHello(const WorkerRef& worker, const protocol::Hello& hello) {
  start_failures_ = 0;
  SetRecipe(hello.recipe);
  SetState(worker, State::kIdle);
}

void WorkerPool::Core::OnProgress(const WorkerRef& worker, const protocol::Progress& progress) {
  const JobRunRef& run = worker->run;
  const uint64_t limit = std::min(options_.max_output_bytes, run->job.limits.max_output_bytes);
  if (progress.stream_bytes > limit || progress.stored_bytes > limit) {
    Kill(worker, Cause::kOutputSize);
  } else if (progress.stream_bytes < run->stream_bytes ||
             progress.stream_bytes > SizeOfFile(run->outputs.stream)) {
    // Readers would be sent bytes that are not there.
    Kill(worker, Cause::kProtocol);
  } else {
    run->stream_bytes = progress.stream_bytes;
    DeliverProgress(run, progress);
  }
}

void WorkerPool::Core::OnDone(const WorkerRef& worker, protocol::Done done) {
  const JobRunRef run = worker->run;
  const size_t before = run->dones.size();
  const SharedFd& stored =
      before == 0 ? run->outputs.stored : run->companions.at(before - 1).stored;
  if (!CheckDone(done).ok() || done.stored_bytes > SizeOfFile(stored) ||
      done.stream_bytes < run->stream_bytes ||
      done.stream_bytes > SizeOfFile(run->outputs.stream)) {
    Kill(worker, Cause::kProtocol);
    return;
  }
  if (before < run->companions.size()) {
    run->dones.push_back(std::move(done));
    return;
  }
  worker->has_done = true;
  job_seconds_.Observe(
      std::chrono::duration<double>(steady_clock::now() - run->started_at).count());
  worker->run.reset();
  SetState(worker, State::kEnding);
  End(run, std::move(done));
}

void WorkerPool::Core::OnNeed(const WorkerRef& worker, const protocol::Need& need) {
  const JobRunRef run = worker->run;
  if (run->open_needs >= kMaxOpenNeeds || worker->channel->pending_bytes() > kMaxPendingBytes) {
    Kill(worker, Cause::kProtocol);
    return;
  }
  ++run->open_needs;
  protocol::Need bounded = need;
  bounded.length = std::min(bounded.length, kMaxNeedBytes);
  needs_.Spawn(loop_.executor(), [self = shared_from_this(), worker, run, bounded]() -> Task<void> {
    return AnswerNeed(self, worker, run, bounded);
  });
}

Task<void> WorkerPool::Core::AnswerNeed([[maybe_unused]] std::shared_ptr<Core> self,
                                        WorkerRef worker, JobRunRef run, protocol::Need need) {
  Context ctx = run->ctx;
  ctx.deadline = run->deadline;
  Result<uint64_t> available = co_await run->source->Ensure(ctx, need.offset, need.length);
  --run->open_needs;
  if (worker->run != run || worker->state != State::kBusy) co_return;
  run->last_sign = steady_clock::now();
  if (available.ok()) {
    worker->channel->Send(protocol::SourceReady{.offset = need.offset, .available = *available});
    co_return;
  }
  // The worker learns that it failed, the caller why.
  const std::string message = available.error().public_message;
  if (!run->source_error) run->source_error = std::move(available).error();
  worker->channel->Send(protocol::SourceFailed{.message = message.substr(0, 1000)});
}

void WorkerPool::Core::OnWorkerClosed(const WorkerRef& worker, std::optional<Error> error) {
  if (error) {
    LogWarn("worker_message_damaged", {{"worker", worker->id}, {"error", error->ToLogString()}});
    Kill(worker, Cause::kProtocol);
  } else if (worker->state != State::kEnding) {
    SetState(worker, State::kEnding);
  }
  Update();
}

void WorkerPool::Core::Kill(const WorkerRef& worker, Cause cause) {
  if (!worker->killed_for && !worker->has_done && !worker->failed) worker->killed_for = cause;
  SetState(worker, State::kEnding);
  if (zygote_channel_) zygote_channel_->Send(protocol::Kill{.id = worker->id});
}

void WorkerPool::Core::OnExited(const protocol::Exited& exited) {
  encode_seconds_.Add(std::max(0.0, exited.cpu_seconds));
  const auto at = workers_.find(exited.id);
  if (at == workers_.end()) return;
  const WorkerRef worker = at->second;
  // Its last words may still be in the socket: the two sockets know no common order.
  if (worker->state == State::kBusy) worker->channel->Drain();
  worker->channel->Close();
  workers_.erase(exited.id);
  if (!worker->had_job) {
    // Not even a job to blame: a pause keeps this from becoming a storm of forks.
    ++start_failures_;
    next_try_ = NextTry();
  }
  if (worker->has_done) return;
  if (!worker->failed) {
    const Cause cause = worker->killed_for.value_or(CauseOf(exited, options_));
    CountDeath(*worker, cause, &exited);
    if (worker->run && !TryAgain(worker)) {
      const JobRunRef run = std::move(worker->run);
      if (run->source_error) {
        End(run, *run->source_error);
      } else {
        End(run, ErrorOf(cause, DescribeStatus(exited.wait_status)));
      }
    }
    return;
  }
  const JobRunRef run = std::move(worker->run);
  if (!run) return;
  // Why the source failed is told by the source; the worker only knows that it did.
  End(run, run->source_error ? *run->source_error : ErrorOf(*worker->failed, &exited, options_));
}

void WorkerPool::Core::CountDeath(const Worker& worker, Cause cause,
                                  const protocol::Exited* exited) {
  if (zygote_closed_) return;  // the end of the pool, not of a job
  deaths_.at(cause).Add();
  LogWarn("worker_died", {{"cause", ToString(cause)},
                          {"worker", worker.id},
                          {"pid", worker.pid},
                          {"request_id", worker.run ? worker.run->ctx.request_id : std::string()},
                          {"status", exited != nullptr ? DescribeStatus(exited->wait_status)
                                                       : std::string("unknown")},
                          {"cpu_seconds", exited != nullptr ? exited->cpu_seconds : 0.0},
                          {"max_rss_bytes", exited != nullptr ? exited->max_rss_bytes : 0}});
}

// ---- jobs

void WorkerPool::Core::Submit(JobRunRef run) {
  run->queued_at = steady_clock::now();
  if (stop_begun_) {
    End(run, Stopping());
    return;
  }
  if (run->job.source_size > options_.max_source_bytes) {
    End(run, Error(Code::kResourceExhausted, "the source is larger than allowed")
                 .WithReason("SOURCE_TOO_LARGE")
                 .WithFact("limit", "bytes")
                 .WithFact("value", std::to_string(run->job.source_size))
                 .WithFact("allowed", std::to_string(options_.max_source_bytes)));
    return;
  }
  queue_.Push(std::move(run));
  Dispatch();
  // Only what could not start at once waits, and only so many.
  if (queue_.size() > options_.queue) End(queue_.PopSurplus(), Overloaded());
  Update();
}

Result<void> WorkerPool::Core::HasRoom(std::string_view origin, std::string_view client) {
  if (!is_full_ || !queue_.IsSurplus(origin, client, Priority::kWaiting)) return {};
  return Overloaded();
}

Error WorkerPool::Core::Overloaded() {
  refused_.Add();
  return Error(Code::kResourceExhausted, "too many transforms are waiting, try again later")
      .WithReason("OVERLOADED");
}

void WorkerPool::Core::Dispatch() {
  while (!queue_.empty()) {
    // What nobody has asked for takes a free place, and then takes none away: it gives way on the
    // cores, see Renice().
    const bool is_free = CountOf(State::kBusy) < max_running_;
    if (!is_free && CountUsers() >= max_running_) return;
    const auto idle = std::find_if(workers_.begin(), workers_.end(), [](const auto& entry) {
      return entry.second->state == State::kIdle;
    });
    if (idle == workers_.end()) return;
    const JobRunRef run = queue_.Pop(is_free ? Priority::kPrewarm : Priority::kUnattended);
    if (!run) return;
    if (run->is_unwanted()) {
      End(run, ErrorOf(Cause::kCancelled, "while waiting for a worker"));
      continue;
    }
    Start(idle->second, run);
  }
}

void WorkerPool::Core::Start(const WorkerRef& worker, const JobRunRef& run) {
  const SteadyTime now = steady_clock::now();
  queue_wait_.Observe(std::chrono::duration<double>(now - run->queued_at).count());
  run->deadline = std::min(run->ctx.deadline, now + options_.timeout);
  run->last_sign = run->started_at = now;
  // More decoder threads make a lone job faster and never change its bytes; together they only get
  // in each other's way.
  const bool is_alone =
      queue_.empty() && CountUsers() == 0 && run->priority() != Priority::kPrewarm;
  run->job.decoder_threads =
      is_alone ? static_cast<uint32_t>(std::min<size_t>(cores_, kLoneJobThreads)) : 1;
  worker->run = run;
  worker->had_job = true;
  SetState(worker, State::kBusy);
  Renice(*worker);
  std::vector<SharedFd> fds{run->source->file(), run->outputs.stored};
  if (run->outputs.stream) fds.push_back(run->outputs.stream);
  worker->channel->Send(run->job, std::move(fds));
  for (JobRun::Companion& companion : run->companions) {
    companion.job.source_size = run->job.source_size;
    companion.job.source_complete = run->job.source_complete;
    companion.job.decoder_threads = run->job.decoder_threads;
    std::vector<SharedFd> its{companion.stored};
    worker->channel->Send(companion.job, std::move(its));
  }
  if (run->claim.on_start) run->claim.on_start();
}

bool WorkerPool::Core::TryAgain(const WorkerRef& worker) {
  const JobRunRef run = worker->run;
  // Only the socket's own word counts: bytes of ours that the worker never took. Whoever has read a
  // job may have died of it, and the job would take the next worker along.
  const bool is_innocent = worker->channel->lost_output() && !worker->has_spoken;
  if (!is_innocent || worker->killed_for || worker->failed || run->is_second_try || stop_begun_ ||
      run->source_error) {
    return false;
  }
  worker->run.reset();
  run->is_second_try = true;
  second_tries_.Add();
  queue_.PushFirst(run);
  return true;
}

void WorkerPool::Core::End(const JobRunRef& run, Result<protocol::Done> result) {
  VR_CHECK(!run->has_ended);
  run->has_ended = true;
  run->end.Set(std::move(result));
}

void WorkerPool::Core::FailQueue(const Error& error) {
  for (const JobRunRef& run : queue_.TakeIf([](const JobRun&) { return true; })) End(run, error);
}

// ---- time

size_t WorkerPool::Core::CountOf(State state) const {
  return static_cast<size_t>(
      std::count_if(workers_.begin(), workers_.end(),
                    [&](const auto& entry) { return entry.second->state == state; }));
}

size_t WorkerPool::Core::CountUsers() const {
  return static_cast<size_t>(std::count_if(workers_.begin(), workers_.end(), [](const auto& entry) {
    const Worker& worker = *entry.second;
    return worker.state == State::kBusy && worker.run->priority() != Priority::kPrewarm;
  }));
}

void WorkerPool::Core::Renice(Worker& worker) {
  const bool gives_way = worker.run->priority() == Priority::kPrewarm;
  if (gives_way == worker.gives_way || worker.pid <= 0) return;
  if (gives_way && !can_lift_) return;
  worker.gives_way = gives_way;
  const int wanted = gives_way ? kMostNice : options_.niceness;
  // Niceness is a thread's own; those that come later have it from who made them.
  std::error_code error;
  std::filesystem::directory_iterator thread("/proc/" + std::to_string(worker.pid) + "/task",
                                             error);
  bool is_done = true;
  for (; !error && thread != std::filesystem::directory_iterator(); thread.increment(error)) {
    const auto id = static_cast<id_t>(std::atol(thread->path().filename().c_str()));
    if (setpriority(PRIO_PROCESS, id, wanted) != 0 && errno != ESRCH) is_done = false;
  }
  // Without CAP_SYS_NICE there is no way back: then nobody is sent down it again.
  if (!is_done && !gives_way) can_lift_ = false;
}

void WorkerPool::Core::Update() {
  if (stopped_) return;
  const SteadyTime now = steady_clock::now();
  if (!stop_begun_) {
    if (start_failures_ >= kHopeless) {
      FailQueue(Error(Code::kUnavailable, "no transform can be made now", "workers do not start"));
    }
    if (!zygote_ && now >= next_try_) StartZygote();
    Dispatch();
  } else if (!zygote_closed_) {
    ContinueStop(now);
  }
  const size_t busy = CountOf(State::kBusy);
  const size_t users = CountUsers();
  if (zygote_ && !zygote_closed_ && now >= next_try_ && !stop_begun_) {
    // One stands ready even when all are busy, so that the next job costs one message.
    const size_t wanted = std::max<size_t>(max_running_ - std::min(users, max_running_), 1);
    for (size_t have = CountOf(State::kIdle) + CountOf(State::kStarting); have < wanted; ++have)
      SpawnWorker();
  }
  const size_t idle = CountOf(State::kIdle);
  const size_t starting = CountOf(State::kStarting);
  queue_depth = queue_.size();
  is_full_ = queue_depth >= options_.queue && (idle == 0 || users >= max_running_) && !stop_begun_;
  running = busy;
  is_ready = zygote_ && idle + busy > 0 && !stop_begun_;
  queue_gauge_.Set(static_cast<double>(queue_.size()));
  busy_gauge_.Set(static_cast<double>(busy));
  idle_gauge_.Set(static_cast<double>(idle));
  starting_gauge_.Set(static_cast<double>(starting));

  const bool is_quiet = zygote_ && lost_zygotes_.empty() && queue_.empty() && !stop_begun_ &&
                        idle == workers_.size() && idle >= 1 && now >= next_try_;
  if (is_quiet || timer_runs_) return;
  timer_runs_ = true;
  timer_.expires_after(kTick);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    self->timer_runs_ = false;
    self->Tick();
  });
}

void WorkerPool::Core::Tick() {
  const SteadyTime now = steady_clock::now();
  std::erase_if(lost_zygotes_, [](ZygoteProcess& zygote) { return zygote.TryReap(); });
  const auto is_over = [now](const JobRun& run) {
    return run.is_unwanted() || now >= run.ctx.deadline;
  };
  for (const JobRunRef& run : queue_.TakeIf(is_over)) {
    if (run->is_unwanted()) {
      End(run, ErrorOf(Cause::kCancelled, "while waiting for a worker"));
    } else {
      End(run,
          Error(Code::kDeadlineExceeded, "no worker became free in time", "waited in the queue")
              .WithReason("TRANSFORM_TIMEOUT")
              .WithFact("cause", "queue"));
    }
  }
  const std::map<uint64_t, WorkerRef> workers = workers_;
  for (const auto& [id, worker] : workers) {
    // All of them may be lost within this loop.
    if (workers_.count(id) != 0) TickWorker(worker, now);
  }
  Update();
}

void WorkerPool::Core::TickWorker(const WorkerRef& worker, SteadyTime now) {
  switch (worker->state) {
    case State::kIdle:
      return;
    case State::kStarting:
      if (now - worker->since > kHelloPatience) Kill(worker, Cause::kCrash);
      return;
    case State::kBusy: {
      const JobRun& run = *worker->run;
      Renice(*worker);
      if (run.is_unwanted()) {
        Kill(worker, Cause::kCancelled);
      } else if (now >= run.deadline) {
        Kill(worker, Cause::kDeadline);
      } else if (run.open_needs == 0 && now - run.last_sign > options_.no_progress_timeout) {
        Kill(worker, Cause::kNoProgress);
      }
      return;
    }
    case State::kEnding:
      if (now - worker->since <= kExitPatience) return;
      if (worker->killed_for) {
        // Killed, and nobody tells us of its end: the zygote is stuck.
        LoseZygote("it does not answer");
      } else {
        // It said its last word, or closed its socket, and lives on.
        worker->killed_for = worker->run && !worker->failed ? Cause::kCrash : Cause::kProtocol;
        SetState(worker, State::kEnding);
        zygote_channel_->Send(protocol::Kill{.id = worker->id});
      }
      return;
  }
}

// ---- the end

void WorkerPool::Core::BeginStop(std::chrono::milliseconds drain) {
  if (stop_begun_) {
    stop_deadline_ = std::min(stop_deadline_, steady_clock::now() + drain);
    return;
  }
  stop_begun_ = true;
  stop_deadline_ = steady_clock::now() + drain;
  FailQueue(Stopping());
  Update();
}

void WorkerPool::Core::ContinueStop(SteadyTime now) {
  bool has_runs = false;
  for (const auto& [id, worker] : workers_) {
    if (!worker->run) continue;
    has_runs = true;
    if (now >= stop_deadline_ && worker->state == State::kBusy) Kill(worker, Cause::kCancelled);
  }
  if (has_runs && zygote_) return;
  zygote_closed_ = true;
  for (const auto& [id, worker] : workers_) worker->channel->Close();
  workers_.clear();
  if (zygote_channel_) zygote_channel_->Close();
  zygote_channel_.reset();
  zygote_pid = -1;
  // It ends by itself when its socket closes: some milliseconds, and a second at the very most.
  if (zygote_) zygote_->WaitOrKill(kZygoteExitPatience);
  zygote_.reset();
  for (ZygoteProcess& lost : lost_zygotes_) lost.WaitOrKill(milliseconds(0));
  lost_zygotes_.clear();
  needs_.Close();
  {
    std::lock_guard lock(stopped_mutex_);
    stopped_ = true;
  }
  stopped_changed_.notify_all();
}

}  // namespace vr::transform
