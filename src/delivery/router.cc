#include "delivery/router.h"

#include <utility>

#include "delivery/cf_resized.h"
#include "http/url.h"
#include "variant/media_url.h"
#include "variant/parse.h"

namespace vr::delivery {

namespace {

bool IsHealthCheck(std::string_view path) {
  return path == "/healthz" || path == "/readyz";
}

}  // namespace

bool IsMediaUrl(const Snapshot& snapshot, const http::Request& request) {
  return variant::IsMediaUrl(request.path) && snapshot.delivery.media_urls.enabled;
}

std::optional<origin::Resolved> MatchPassthrough(const Snapshot& snapshot,
                                                 const http::Request& request) {
  if (!snapshot.has_passthrough) return std::nullopt;
  if (IsHealthCheck(request.path)) return std::nullopt;
  if (IsMediaUrl(snapshot, request)) return std::nullopt;
  // Escapes that make no sense are the origin's to judge; here they are text.
  Result<std::string> decoded = http::PercentDecode(request.path);
  const std::string path = decoded.ok() ? std::move(*decoded) : std::string(request.path);
  std::optional<origin::Resolved> match = snapshot.origins->Match(path);
  if (!match) return std::nullopt;
  if (snapshot.origins->origin(match->origin_index).mode == origin::OriginMode::kPassthrough) {
    return match;
  }
  const size_t start = path.find_first_not_of('/');
  const std::string source = start == std::string::npos ? std::string() : path.substr(start);
  if (variant::IsVideoPath(source, snapshot.variant.video_formats)) return std::nullopt;
  return snapshot.origins->Match(path, origin::OriginMode::kPassthrough);
}

std::optional<http::Response> Router::TryNow(const http::Request& request) {
  if (JobEvents::IsMine(request.path)) return events_.Answer(request);
  SnapshotRef snapshot = snapshots_.Get();
  if (auto loop = loops_.Refuse(request); loop && !IsHealthCheck(request.path)) {
    if (IsMediaUrl(*snapshot, request)) AddCfResized(*loop);
    return loop;
  }
  std::optional<http::Response> answer = video_.TryKnown(request, *snapshot);
  std::optional<origin::Resolved> match;
  if (!answer) match = MatchPassthrough(*snapshot, request);
  if (!match) {
    if (!answer) answer = video_.TryNow(request);
    if (answer && IsMediaUrl(*snapshot, request)) AddCfResized(*answer);
    return answer;
  }
  return passthrough_.TryNow(request, std::move(snapshot), std::move(*match));
}

Task<http::Response> Router::Handle(Context ctx, const http::Request& request) {
  SnapshotRef snapshot = snapshots_.Get();
  std::optional<origin::Resolved> match = MatchPassthrough(*snapshot, request);
  if (!match && IsMediaUrl(*snapshot, request)) return HandleMedia(std::move(ctx), request);
  if (!match) return video_.Handle(std::move(ctx), request);
  return passthrough_.Handle(std::move(ctx), request, std::move(snapshot), std::move(*match));
}

Task<http::Response> Router::HandleMedia(Context ctx, const http::Request& request) {
  http::Response response = co_await video_.Handle(std::move(ctx), request);
  AddCfResized(response);
  co_return response;
}

void Router::Finished(const http::Request& request, const http::Response& response,
                      const http::Sent& sent) {
  video_.Finished(request, response, sent);
}

}  // namespace vr::delivery
