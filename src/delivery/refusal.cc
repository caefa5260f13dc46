#include "delivery/refusal.h"

#include <memory>
#include <utility>

#include "delivery/request_log.h"
#include "delivery/status.h"

namespace vr::delivery {

http::Response Refusal(const http::Request& request, const Error& error,
                       const cache::TtlOptions& ttl) {
  http::Response response = ErrorResponse(error, ttl);
  response.Add("X-Request-ID", request.id);
  response.Add("Via", "1.1 video-resizer");
  auto note = std::make_shared<RequestNote>();
  note->reason = ReasonOf(error);
  note->detail = error.detail;
  response.note = std::move(note);
  return response;
}

}  // namespace vr::delivery
