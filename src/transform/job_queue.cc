#include "transform/job_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace vr::transform {

JobRunRef JobQueue::Take(size_t index) {
  JobRunRef run = std::move(waiting_[index]);
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
  return run;
}

JobRunRef JobQueue::Pop() {
  if (waiting_.empty()) return nullptr;
  using Rank = std::tuple<Priority, uint64_t>;  // the smaller the earlier; ties: who came first
  size_t best = 0;
  Rank best_rank;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const JobRun& run = *waiting_[i];
    const auto turn = last_turn_.find(run.claim.origin);
    const Rank rank{run.priority(), turn == last_turn_.end() ? 0 : turn->second};
    if (i != 0 && rank >= best_rank) continue;
    best = i;
    best_rank = rank;
  }
  JobRunRef run = Take(best);
  last_turn_[run->claim.origin] = ++turn_;
  return run;
}

JobRunRef JobQueue::PopSurplus() {
  if (waiting_.empty()) return nullptr;
  std::vector<Priority> priorities;
  for (const JobRunRef& run : waiting_) priorities.push_back(run->priority());
  const Priority least = *std::max_element(priorities.begin(), priorities.end());
  std::map<std::string_view, size_t> lines;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (priorities[i] == least) ++lines[waiting_[i]->claim.origin];
  }
  size_t longest = 0;
  for (const auto& [origin, length] : lines) longest = std::max(longest, length);
  for (size_t i = waiting_.size(); i-- > 0;) {
    if (priorities[i] == least && lines[waiting_[i]->claim.origin] == longest) return Take(i);
  }
  return nullptr;
}

std::vector<JobRunRef> JobQueue::TakeIf(const std::function<bool(const JobRun&)>& condition) {
  std::vector<JobRunRef> taken;
  std::deque<JobRunRef> staying;
  for (JobRunRef& run : waiting_) {
    if (condition(*run)) {
      taken.push_back(std::move(run));
    } else {
      staying.push_back(std::move(run));
    }
  }
  waiting_ = std::move(staying);
  return taken;
}

}  // namespace vr::transform
