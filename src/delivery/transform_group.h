// TransformGroup: productions of one source that begin at the same time, on nobody's behalf, and
// have one worker make them all, so that the source is decoded once (docs/prewarm.md).
//
// Each member is a seat. Whoever holds one brings its job (Take), or gives it up by destroying it;
// when all have been heard of, the first to come has the worker make what was brought and hands the
// results out. Whatever goes wrong, or when somebody begins to wait for one of them, the members
// are told to go on alone: a group can cost time, never a result. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cache/production.h"
#include "io/notifier.h"
#include "io/task.h"
#include "transform/worker_pool.h"

namespace vr::delivery {

class TransformGroup : public std::enable_shared_from_this<TransformGroup> {
 public:
  class Seat;
  /// What a member wants made.
  struct Order {
    transform::protocol::Job job;
    origin::SourceRef source;
    SharedFd stored;
    cache::ProductionRef production;
    std::string origin;  ///< its name
  };

  explicit TransformGroup(transform::WorkerPool& pool) : pool_(pool) {}
  /// All of them before the first is used. Held by its member.
  std::shared_ptr<Seat> AddSeat();

 private:
  struct Member {
    Order order;
    std::optional<transform::protocol::Done> done;
  };

  void Leave();
  Task<std::optional<transform::protocol::Done>> Take(Context ctx, Order order);
  Task<void> Make(Context ctx, std::vector<std::shared_ptr<Member>> members);

  transform::WorkerPool& pool_;
  Mutex mutex_;
  size_t missing_ GUARDED_BY(mutex_) = 0;  ///< seats that have not been heard of
  bool has_begun_ GUARDED_BY(mutex_) = false;
  bool is_over_ GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<Member>> members_ GUARDED_BY(mutex_);
  io::Notifier notifier_;
};

class TransformGroup::Seat {
 public:
  explicit Seat(std::shared_ptr<TransformGroup> group) : group_(std::move(group)) {}
  ~Seat() {
    if (!is_used_) group_->Leave();
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

  /// Waits for the others, and for the result. Once.
  /// @return nullopt: make it alone; `stored` is empty
  Task<std::optional<transform::protocol::Done>> Take(Context ctx, Order order) {
    is_used_ = true;
    return group_->Take(std::move(ctx), std::move(order));
  }

 private:
  const std::shared_ptr<TransformGroup> group_;
  bool is_used_ = false;
};

}  // namespace vr::delivery
