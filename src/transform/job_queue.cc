#include "transform/job_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace vr::transform {

void JobQueue::Join(const JobRun& run) {
  auto line = lines_.find(NameOf(run));
  if (line == lines_.end()) {
    line = lines_.emplace(std::pair(run.claim.origin, run.claim.client), Line{0, turn_}).first;
  }
  ++line->second.waiting;
}

void JobQueue::Leave(const JobRun& run) {
  const auto line = lines_.find(NameOf(run));
  if (--line->second.waiting == 0) lines_.erase(line);
}

void JobQueue::Push(JobRunRef run) {
  Join(*run);
  waiting_.push_back(std::move(run));
}

void JobQueue::PushFirst(JobRunRef run) {
  Join(*run);
  waiting_.push_front(std::move(run));
}

JobRunRef JobQueue::Take(size_t index) {
  JobRunRef run = std::move(waiting_[index]);
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
  Leave(*run);
  return run;
}

JobRunRef JobQueue::Pop() {
  if (waiting_.empty()) return nullptr;
  // The smaller the earlier; ties: who came first.
  using Rank = std::tuple<Priority, uint64_t, uint64_t>;
  size_t best = 0;
  Rank best_rank;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const JobRun& run = *waiting_[i];
    const auto turn = last_turn_.find(run.claim.origin);
    const Rank rank{run.priority(), turn == last_turn_.end() ? 0 : turn->second,
                    lines_.find(NameOf(run))->second.turn};
    if (i != 0 && rank >= best_rank) continue;
    best = i;
    best_rank = rank;
  }
  const JobRun& next = *waiting_[best];
  last_turn_[next.claim.origin] = ++turn_;
  lines_.find(NameOf(next))->second.turn = turn_;
  return Take(best);
}

JobRunRef JobQueue::PopSurplus() {
  if (waiting_.empty()) return nullptr;
  std::vector<Priority> priorities;
  for (const JobRunRef& run : waiting_) priorities.push_back(run->priority());
  const Priority least = *std::max_element(priorities.begin(), priorities.end());
  std::map<std::string_view, size_t> origins;
  std::map<LineName, size_t> clients;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (priorities[i] != least) continue;
    ++origins[waiting_[i]->claim.origin];
    ++clients[NameOf(*waiting_[i])];
  }
  size_t best = waiting_.size();
  std::pair<size_t, size_t> longest;
  for (size_t i = waiting_.size(); i-- > 0;) {
    if (priorities[i] != least) continue;
    const std::pair length(origins[waiting_[i]->claim.origin], clients[NameOf(*waiting_[i])]);
    if (length <= longest) continue;
    longest = length;
    best = i;
  }
  return Take(best);
}

std::vector<JobRunRef> JobQueue::TakeIf(const std::function<bool(const JobRun&)>& condition) {
  std::vector<JobRunRef> taken;
  std::deque<JobRunRef> staying;
  for (JobRunRef& run : waiting_) {
    if (condition(*run)) {
      Leave(*run);
      taken.push_back(std::move(run));
    } else {
      staying.push_back(std::move(run));
    }
  }
  waiting_ = std::move(staying);
  return taken;
}

}  // namespace vr::transform
