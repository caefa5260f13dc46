// The pool's state machine. Everything here happens on one loop, but for the members marked
// otherwise.
//
// A worker is *starting* (forked, not heard of), *idle* (sandboxed, said Hello), *busy* (has its
// job) or *ending* (result known, or killed, or its socket closed; waiting for Exited, the zygote's
// word on how it went). A job's error is made when Exited comes, because only then cause and memory
// are known; success is told at once. One timer ticks while anything waits, and none when the pool
// is quiet.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "io/task_group.h"
#include "transform/channel.h"
#include "transform/job_queue.h"
#include "transform/job_run.h"
#include "transform/worker_end.h"
#include "transform/worker_pool.h"
#include "transform/zygote_process.h"

namespace vr::transform {

class WorkerPool::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Options options, io::Loop& loop, Metrics& metrics);

  // Any thread.
  const Options& options() const { return options_; }
  io::Loop& loop() { return loop_; }
  size_t max_running() const { return max_running_; }
  std::string recipe() const {
    return recipe_.With([](const std::string& r) { return r; });
  }
  void SetRecipe(const std::string& recipe);
  std::atomic<bool> is_ready{false};
  std::atomic<bool> is_stopping{false};
  std::atomic<size_t> queue_depth{0};
  std::atomic<size_t> running{0};
  std::atomic<pid_t> zygote_pid{-1};
  /// See WorkerPool::HasRoom().
  Result<void> HasRoom(std::string_view origin, std::string_view client);
  /// Blocks until the stop has finished. @return false when the deadline came first
  bool WaitStopped(SteadyTime deadline);

  // The loop only (or before it runs).
  /// Takes over a zygote whose first worker (id 1) has said Hello on `first_worker`.
  void Adopt(ZygoteProcess zygote, UniqueFd first_worker);
  void Submit(JobRunRef run);
  void BeginStop(std::chrono::milliseconds drain);

 private:
  enum class State { kStarting, kIdle, kBusy, kEnding };
  struct Worker {
    uint64_t id = 0;
    State state = State::kStarting;
    SteadyTime since;  ///< in this state
    std::shared_ptr<Channel> channel;
    JobRunRef run;                           ///< until its end has been told
    std::optional<Cause> killed_for;         ///< we asked for its end
    std::optional<protocol::Failed> failed;  ///< what it said
    bool had_job = false;
    bool has_spoken = false;  ///< since it got its job
    bool has_done = false;
    bool gives_way = false;  ///< to everything else on the cores
    int32_t pid = -1;
  };
  using WorkerRef = std::shared_ptr<Worker>;

  // The zygote.
  void StartZygote();
  void UseZygote(ZygoteProcess zygote);
  void OnZygoteMessage(protocol::Message message);
  /// It ended or does not answer: everything it made is gone; jobs fail, a new one starts after a
  /// pause.
  void LoseZygote(std::string_view why);
  SteadyTime NextTry() const;

  // Workers.
  WorkerRef AddWorker(uint64_t id, UniqueFd socket);
  void SpawnWorker();
  void OnWorkerMessage(const WorkerRef& worker, protocol::Message message);
  void OnHello(const WorkerRef& worker, const protocol::Hello& hello);
  void OnNeed(const WorkerRef& worker, const protocol::Need& need);
  void OnProgress(const WorkerRef& worker, const protocol::Progress& progress);
  void OnDone(const WorkerRef& worker, protocol::Done done);
  void OnWorkerClosed(const WorkerRef& worker, std::optional<Error> error);
  void OnExited(const protocol::Exited& exited);
  void Kill(const WorkerRef& worker, Cause cause);
  void SetState(const WorkerRef& worker, State state);
  void CountDeath(const Worker& worker, Cause cause, const protocol::Exited* exited);
  static Task<void> AnswerNeed(std::shared_ptr<Core> self, WorkerRef worker, JobRunRef run,
                               protocol::Need need);

  // Jobs.
  void Dispatch();
  void Start(const WorkerRef& worker, const JobRunRef& run);
  void End(const JobRunRef& run, Result<protocol::Done> result);
  /// Gives the job of a worker that never read it back to the queue, unless it has been there
  /// twice.
  /// @return whether it did; then the worker has no job any more
  bool TryAgain(const WorkerRef& worker);
  void FailQueue(const Error& error);
  Error Overloaded();

  // Time.
  void Update();  ///< after every event: refill, dispatch, gauges, timer
  void Tick();
  void TickWorker(const WorkerRef& worker, SteadyTime now);
  void ContinueStop(SteadyTime now);
  size_t CountOf(State state) const;
  /// Busy with what somebody asked for.
  size_t CountUsers() const;
  /// As nice as its job is little urgent.
  void Renice(Worker& worker);

  const Options options_;
  const size_t cores_;  ///< that this process may use
  const size_t max_running_;
  io::Loop& loop_;
  Counter encode_seconds_;
  Gauge queue_gauge_, starting_gauge_, idle_gauge_, busy_gauge_;
  Counter zygote_starts_, second_tries_, refused_;
  Histogram queue_wait_, job_seconds_;
  std::map<Cause, Counter> deaths_;
  Guarded<std::string> recipe_;

  std::optional<ZygoteProcess> zygote_;
  SteadyTime zygote_since_;
  std::shared_ptr<Channel> zygote_channel_;
  std::deque<ZygoteProcess> lost_zygotes_;  ///< killed, not collected yet
  int start_failures_ = 0;                  ///< in a row, of zygotes and workers
  SteadyTime next_try_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, WorkerRef> workers_;
  bool can_lift_ = true;  ///< a worker made nicer can be made less nice again
  JobQueue queue_;
  std::atomic<bool> is_full_{false};  ///< any thread: one more job would be one too many
  boost::asio::basic_waitable_timer<
      std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, io::Executor>
      timer_;
  bool timer_runs_ = false;

  bool stop_begun_ = false;
  bool zygote_closed_ = false;
  SteadyTime stop_deadline_;
  std::mutex stopped_mutex_;
  std::condition_variable stopped_changed_;
  bool stopped_ = false;

  io::TaskGroup needs_;
};

}  // namespace vr::transform
