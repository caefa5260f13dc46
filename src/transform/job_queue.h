// JobQueue: jobs that wait for a worker, and whose turn it is.
//
// The most urgent first; within a priority the origins take turns, so that one that sends a
// thousand requests delays another by one job and not by a thousand; within an origin the clients
// take turns likewise; and of one client first come, first served. The origin counts first because
// the configuration makes it and nobody can make up another. How urgent a job is may change while
// it waits (its client leaves, another joins), so it is asked at each turn. Every call looks at all
// that wait: some hundreds. Thread-safe, so that whoever would come in vain can ask before; all
// else happens on the pool's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "transform/job_run.h"

namespace vr::transform {

class JobQueue {
 public:
  void Push(JobRunRef run);
  /// For what had its turn already: the first of its client again.
  void PushFirst(JobRunRef run);
  /// Whose turn it is; null when nobody waits who is as urgent as `least`.
  JobRunRef Pop(Priority least = Priority::kPrewarm);
  /// Whom to refuse when there are too many: among the least urgent the last of the longest line
  /// (of a client, within the origin whose line is the longest); null when nobody waits.
  JobRunRef PopSurplus();
  /// Takes out what `condition` is true for, in order of arrival.
  std::vector<JobRunRef> TakeIf(const std::function<bool(const JobRun&)>& condition);

  /// Whether a job of this client of this origin, were it pushed now, would be the surplus.
  bool IsSurplus(std::string_view origin, std::string_view client, Priority priority) const;

  size_t size() const;
  bool empty() const { return size() == 0; }

 private:
  /// Origins are names of the configuration: few, and never forgotten.
  struct Origin {
    uint64_t turn = 0;  ///< its last one
  };
  /// The clients of an origin. What is remembered of one ends with its last job here: who comes
  /// back queues up behind those that wait, which is where its last turn would put it too.
  struct Line {
    Origin* origin = nullptr;
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
  using Lines = std::map<std::pair<std::string, std::string>, Line, LineLess>;  // (origin, client)
  struct Entry {
    JobRunRef run;
    Lines::iterator line;
  };
  /// How many jobs of one priority an origin, and a client of it, have here.
  using Length = std::pair<size_t, size_t>;
  struct Lengths;

  Lines::iterator Join(const JobRun& run) REQUIRES(mutex_);
  void Leave(const Entry& entry) REQUIRES(mutex_);
  JobRunRef Take(size_t index) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::deque<Entry> waiting_ GUARDED_BY(mutex_);  ///< in order of arrival
  std::map<std::string, Origin, std::less<>> origins_ GUARDED_BY(mutex_);
  Lines lines_ GUARDED_BY(mutex_);
  uint64_t turn_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vr::transform
