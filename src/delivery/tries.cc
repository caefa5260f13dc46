#include "delivery/tries.h"

#include <algorithm>
#include <utility>

#include "http/client.h"
#include "origin/opener.h"

namespace vr::delivery {

Tries::Tries(std::vector<std::string> types, int repeats) : repeats_(repeats) {
  for (std::string& type : types) places_.push_back(Place{std::move(type), {}, {}});
}

std::optional<std::chrono::milliseconds> Tries::Next(TryEnd end) {
  places_[at_].ends.push_back(std::move(end.text));
  places_[at_].retry = end.retry;
  were_all_skipped_ = were_all_skipped_ && end.was_skipped;
  if (!end.was_sent) {
    for (size_t next = at_ + 1; next < places_.size(); ++next) {
      if (!IsDue(places_[next])) continue;
      at_ = next;
      return std::chrono::milliseconds(0);
    }
  }
  if (!may_repeat() || (end.was_sent && !end.retry)) return std::nullopt;
  // One pause for all: as long as the most patient of them was asked to be.
  std::optional<std::chrono::milliseconds> wait;
  for (size_t i = places_.size(); i-- > 0;) {
    if (!places_[i].retry) continue;
    at_ = i;
    wait = std::max(wait.value_or(*places_[i].retry), *places_[i].retry);
  }
  if (wait) ++round_;
  return wait;
}

std::string Tries::Text() const {
  std::string out;
  for (const Place& place : places_) origin::AddAttempt(out, place.type, place.ends);
  return out;
}

std::string TryText(const Error& error) {
  for (const auto& [name, value] : error.facts) {
    if (name == "upstream") return value;
  }
  if (error.code == Code::kDeadlineExceeded) return "timeout";
  if (error.code == Code::kResourceExhausted) return "not asked";
  return http::IsUnreachable(error) ? "unreachable" : "no answer";
}

}  // namespace vr::delivery
