// Blocking: a bounded pool of threads for calls that would stop a loop: RocksDB, opening files,
// fsync, unlink, DNS, hashing. Two lanes, so that a burst of writes cannot delay reads.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/notifier.h"
#include "io/task.h"

namespace vr::io {

enum class Lane { kRead, kWrite };

/// Thread-safe. Destruction runs what is queued, then joins.
class Blocking {
 public:
  struct Options {
    int read_threads = 4;
    int write_threads = 2;
    size_t max_queue = 4096;  ///< per lane
  };
  explicit Blocking(Options options);
  Blocking() : Blocking(Options()) {}
  ~Blocking();

  /// Runs `f` (which returns a Result<T>) on a pool thread, resumes on the caller's loop.
  /// Name the lambda before the co_await statement (g++ 12.2 destroys a captured temporary twice).
  /// A caller that is destroyed meanwhile leaves `f` to run to its end.
  /// @errors kResourceExhausted (lane full) besides what f returns
  template <class F>
  Task<std::invoke_result_t<F&>> Run(Lane lane, F f) {
    using R = std::invoke_result_t<F&>;
    auto shot = std::make_shared<OneShot<R>>();
    auto job = MakeJob([shot, f = std::move(f)]() mutable { shot->Set(f()); });
    if (!Enqueue(lane, std::move(job))) {
      co_return Error(Code::kResourceExhausted, "the server is busy",
                      "blocking pool queue is full");
    }
    std::optional<R> result = co_await shot->Wait();
    // Without a deadline only a cancelled coroutine (its client has left) comes back empty-handed.
    if (!result)
      co_return Error(Code::kCancelled, "nobody waits any more", "blocking call abandoned");
    co_return std::move(*result);
  }

  /// Runs `f` (returning void) some time; nobody waits. @return false when the lane is full.
  template <class F>
  bool Post(Lane lane, F f) {
    return Enqueue(lane, MakeJob(std::move(f)));
  }

  size_t queued() const;

 private:
  struct Job {
    virtual ~Job() = default;
    virtual void Run() = 0;
  };
  template <class F>
  struct JobOf final : Job {
    explicit JobOf(F f) : f(std::move(f)) {}
    void Run() override { f(); }
    F f;
  };
  template <class F>
  static std::unique_ptr<Job> MakeJob(F f) {
    return std::make_unique<JobOf<F>>(std::move(f));
  }
  bool Enqueue(Lane lane, std::unique_ptr<Job> job);
  void Work(int lane);

  struct Queue {
    std::deque<std::unique_ptr<Job>> jobs;
    std::condition_variable ready;
  };
  const Options options_;
  mutable std::mutex mutex_;
  Queue queues_[2];
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace vr::io
