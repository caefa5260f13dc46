// JobQueue: jobs that wait for a worker, and whose turn it is.
//
// The most urgent first; within a priority the origins take turns, so that one that sends a
// thousand requests delays another by one job and not by a thousand; within an origin first come,
// first served. How urgent a job is may change while it waits (its client leaves, another joins),
// so it is asked at each turn. Bound to the pool's loop. Every call looks at all that wait: some
// hundreds.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "transform/job_run.h"

namespace vr::transform {

class JobQueue {
 public:
  void Push(JobRunRef run) { waiting_.push_back(std::move(run)); }
  /// For what had its turn already: the first of its origin again.
  void PushFirst(JobRunRef run) { waiting_.push_front(std::move(run)); }
  /// Whose turn it is; null when nobody waits.
  JobRunRef Pop();
  /// Whom to refuse when there are too many: the last of the longest line (by origin) among the
  /// least urgent; null when nobody waits.
  JobRunRef PopSurplus();
  /// Takes out what `condition` is true for, in order of arrival.
  std::vector<JobRunRef> TakeIf(const std::function<bool(const JobRun&)>& condition);

  size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

 private:
  JobRunRef Take(size_t index);

  std::deque<JobRunRef> waiting_;  ///< in order of arrival
  /// When each origin had its last turn. Origins are names of the configuration: few.
  std::map<std::string, uint64_t, std::less<>> last_turn_;
  uint64_t turn_ = 0;
};

}  // namespace vr::transform
