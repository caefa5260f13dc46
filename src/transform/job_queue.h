// JobQueue: jobs that wait for a worker, and whose turn it is.
//
// The most urgent first; within a priority the origins take turns, so that one that sends a
// thousand requests delays another by one job and not by a thousand; within an origin the clients
// take turns likewise; and of one client first come, first served. The origin counts first because
// the configuration makes it and nobody can make up another. How urgent a job is may change while
// it waits (its client leaves, another joins), so it is asked at each turn. Bound to the pool's
// loop. Every call looks at all that wait: some hundreds.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transform/job_run.h"

namespace vr::transform {

class JobQueue {
 public:
  void Push(JobRunRef run);
  /// For what had its turn already: the first of its client again.
  void PushFirst(JobRunRef run);
  /// Whose turn it is; null when nobody waits.
  JobRunRef Pop();
  /// Whom to refuse when there are too many: among the least urgent the last of the longest line
  /// (of a client, within the origin whose line is the longest); null when nobody waits.
  JobRunRef PopSurplus();
  /// Takes out what `condition` is true for, in order of arrival.
  std::vector<JobRunRef> TakeIf(const std::function<bool(const JobRun&)>& condition);

  size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

 private:
  /// The clients of an origin. What is remembered of one ends with its last job here: who comes
  /// back queues up behind those that wait, which is where its last turn would put it too.
  struct Line {
    size_t waiting = 0;
    uint64_t turn = 0;  ///< the client's last one, or when it came
  };
  using LineName = std::pair<std::string_view, std::string_view>;
  struct LineLess {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return LineName(a.first, a.second) < LineName(b.first, b.second);
    }
  };
  static LineName NameOf(const JobRun& run) { return {run.claim.origin, run.claim.client}; }
  void Join(const JobRun& run);
  void Leave(const JobRun& run);
  JobRunRef Take(size_t index);

  std::deque<JobRunRef> waiting_;  ///< in order of arrival
  /// When each origin had its last turn. Origins are names of the configuration: few.
  std::map<std::string, uint64_t, std::less<>> last_turn_;
  std::map<std::pair<std::string, std::string>, Line, LineLess> lines_;  ///< (origin, client)
  uint64_t turn_ = 0;
};

}  // namespace vr::transform
