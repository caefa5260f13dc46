#include "delivery/loop_guard.h"

#include <algorithm>
#include <deque>

#include "delivery/refusal.h"
#include "http/ascii.h"
#include "http/forwarding.h"
#include "http/request_id.h"

namespace vr::delivery {

LoopGuard::LoopGuard() : pseudonym_("video-resizer-" + http::NewRequestId()) {}

std::optional<http::Response> LoopGuard::Refuse(const http::Request& request) const {
  if (!request.Get("Via")) return std::nullopt;
  const std::string via = request.GetAll("Via");
  const char* why = nullptr;
  // Searched as text: nobody else is called so, and no quotation mark in front of it may hide it.
  if (via.find(pseudonym_) != std::string::npos) {
    why = "this request has been here before";
  } else if (http::ViaHops(via) > kMaxHops) {
    why = "this request came through too many servers";
  }
  if (why == nullptr) return std::nullopt;
  return Refusal(request, Error(Code::kInvalidArgument, why).WithReason("LOOP_DETECTED"));
}

std::string KinOf(const http::Request& request) {
  constexpr size_t kMost = 4;
  constexpr size_t kLongest = 64;
  constexpr std::string_view kName = " video-resizer-";
  if (!request.Get("Via")) return {};
  const std::string via = request.GetAll("Via");
  std::deque<std::string_view> kin;
  for (std::string_view rest = via; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view member = http::Trim(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const bool is_kin = (member.starts_with("1.0") || member.starts_with("1.1")) &&
                        member.substr(3).starts_with(kName) && member.size() <= kLongest;
    const std::string_view id = is_kin ? member.substr(3 + kName.size()) : std::string_view();
    if (id.empty() || id.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz") != id.npos)
      continue;
    kin.push_back(member);
    if (kin.size() > kMost) kin.pop_front();
  }
  std::string out;
  for (const std::string_view member : kin) {
    if (!out.empty()) out += ", ";
    out += member;
  }
  return out;
}

}  // namespace vr::delivery
