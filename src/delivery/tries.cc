#include "delivery/tries.h"

#include <utility>

#include "http/client.h"
#include "origin/opener.h"

namespace vr::delivery {

Tries::Tries(std::vector<std::string> types) {
  for (std::string& type : types) places_.push_back(Place{std::move(type), {}});
}

bool Tries::Next(TryEnd end) {
  places_[at_].ends.push_back(std::move(end.text));
  were_all_skipped_ = were_all_skipped_ && end.was_skipped;
  if (end.was_sent || at_ + 1 >= places_.size()) return false;
  ++at_;
  return true;
}

std::string Tries::Text() const {
  std::string out;
  for (const Place& place : places_) origin::AddAttempt(out, place.type, place.ends);
  return out;
}

std::string TryText(const Error& error) {
  if (error.code == Code::kDeadlineExceeded) return "timeout";
  if (error.code == Code::kResourceExhausted) return "not asked";
  return http::IsUnreachable(error) ? "unreachable" : "no answer";
}

}  // namespace vr::delivery
