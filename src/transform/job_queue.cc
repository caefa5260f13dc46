#include "transform/job_queue.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace vr::transform {

/// Counted by address: names would be compared some hundred times a call. Null is a newcomer.
struct JobQueue::Lengths {
  std::unordered_map<const Origin*, size_t> origins;
  std::unordered_map<const Line*, size_t> lines;

  void Add(const Line& line) { Add(line.origin, &line); }
  void Add(const Origin* origin, const Line* line) {
    ++origins[origin];
    ++lines[line];
  }
  Length Of(const Line& line) const { return Of(line.origin, &line); }
  Length Of(const Origin* origin, const Line* line) const {
    return {origins.at(origin), lines.at(line)};
  }
};

JobQueue::Lines::iterator JobQueue::Join(const JobRun& run) {
  auto line = lines_.find(LineName(run.claim.origin, run.claim.client));
  if (line == lines_.end()) {
    line = lines_.emplace(std::pair(run.claim.origin, run.claim.client), Line()).first;
    line->second.origin = &origins_[run.claim.origin];
    line->second.turn = turn_;
  }
  ++line->second.waiting;
  return line;
}

void JobQueue::Leave(const Entry& entry) {
  if (--entry.line->second.waiting == 0) lines_.erase(entry.line);
}

void JobQueue::Push(JobRunRef run) {
  MutexLock lock(mutex_);
  const Lines::iterator line = Join(*run);
  waiting_.push_back(Entry{std::move(run), line});
}

void JobQueue::PushFirst(JobRunRef run) {
  MutexLock lock(mutex_);
  const Lines::iterator line = Join(*run);
  waiting_.push_front(Entry{std::move(run), line});
}

JobRunRef JobQueue::Take(size_t index) {
  Entry entry = std::move(waiting_[index]);
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
  Leave(entry);
  return std::move(entry.run);
}

JobRunRef JobQueue::Pop(Priority least) {
  MutexLock lock(mutex_);
  // The smaller the earlier; ties: who came first.
  using Rank = std::tuple<Priority, uint64_t, uint64_t>;
  std::optional<size_t> best;
  Rank best_rank;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const Line& line = waiting_[i].line->second;
    const Rank rank{waiting_[i].run->priority(), line.origin->turn, line.turn};
    if (std::get<0>(rank) > least || (best && rank >= best_rank)) continue;
    best = i;
    best_rank = rank;
  }
  if (!best) return nullptr;
  Line& line = waiting_[*best].line->second;
  line.origin->turn = ++turn_;
  line.turn = turn_;
  return Take(*best);
}

JobRunRef JobQueue::PopSurplus() {
  MutexLock lock(mutex_);
  if (waiting_.empty()) return nullptr;
  std::vector<Priority> priorities;
  for (const Entry& entry : waiting_) priorities.push_back(entry.run->priority());
  const Priority least = *std::max_element(priorities.begin(), priorities.end());
  Lengths lengths;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (priorities[i] == least) lengths.Add(waiting_[i].line->second);
  }
  size_t best = waiting_.size();
  Length longest;
  for (size_t i = waiting_.size(); i-- > 0;) {
    if (priorities[i] != least) continue;
    const Length length = lengths.Of(waiting_[i].line->second);
    if (length <= longest) continue;
    longest = length;
    best = i;
  }
  return Take(best);
}

bool JobQueue::IsSurplus(std::string_view origin_name, std::string_view client,
                         Priority priority) const {
  MutexLock lock(mutex_);
  const auto origin_at = origins_.find(origin_name);
  const auto line_at = lines_.find(LineName(origin_name, client));
  const Origin* const origin = origin_at == origins_.end() ? nullptr : &origin_at->second;
  const Line* const line = line_at == lines_.end() ? nullptr : &line_at->second;
  Lengths lengths;
  lengths.Add(origin, line);
  for (const Entry& entry : waiting_) {
    const Priority its = entry.run->priority();
    if (its > priority) return false;  // less urgent
    if (its == priority) lengths.Add(entry.line->second);
  }
  // The last to come is the surplus among lines of the same length.
  const Length length = lengths.Of(origin, line);
  return std::none_of(lengths.lines.begin(), lengths.lines.end(), [&](const auto& other) {
    return other.first && lengths.Of(*other.first) > length;
  });
}

std::vector<JobRunRef> JobQueue::TakeIf(const std::function<bool(const JobRun&)>& condition) {
  MutexLock lock(mutex_);
  std::vector<JobRunRef> taken;
  std::deque<Entry> staying;
  for (Entry& entry : waiting_) {
    if (condition(*entry.run)) {
      Leave(entry);
      taken.push_back(std::move(entry.run));
    } else {
      staying.push_back(std::move(entry));
    }
  }
  waiting_ = std::move(staying);
  return taken;
}

size_t JobQueue::size() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

}  // namespace vr::transform
