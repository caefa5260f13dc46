#include "delivery/loop_guard.h"

#include "cache/ttl.h"
#include "delivery/request_log.h"
#include "delivery/status.h"
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
  const Error loop = Error(Code::kInvalidArgument, why).WithReason("LOOP_DETECTED");
  http::Response response = ErrorResponse(loop, cache::TtlOptions());
  response.Add("X-Request-ID", request.id);
  response.Add("Via", "1.1 video-resizer");
  auto note = std::make_shared<RequestNote>();
  note->reason = loop.reason;
  response.note = std::move(note);
  return response;
}

}  // namespace vr::delivery
