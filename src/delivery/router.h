// Router: whose request this is. Health checks, videos and /cdn-cgi/media/ are VideoEndpoint's, the
// progress of a
// production is JobEvents'; what an origin of mode "passthrough" answers is PassthroughEndpoint's.
//
// A request that goes round in a loop is nobody's (LoopGuard). The first origin that matches the
// path decides. A path that is no video and matches a transform origin goes on to the first
// passthrough origin that matches it. Thread-safe.
#pragma once

#include <optional>

#include "delivery/job_events.h"
#include "delivery/loop_guard.h"
#include "delivery/passthrough_endpoint.h"
#include "delivery/snapshot.h"
#include "delivery/video_endpoint.h"
#include "http/message.h"

namespace vr::delivery {

class Router final : public http::Handler {
 public:
  Router(SnapshotHolder& snapshots, VideoEndpoint& video, PassthroughEndpoint& passthrough,
         JobEvents& events, const LoopGuard& loops)
      : snapshots_(snapshots),
        video_(video),
        passthrough_(passthrough),
        events_(events),
        loops_(loops) {}

  std::optional<http::Response> TryNow(const http::Request& request) override;
  Task<http::Response> Handle(Context ctx, const http::Request& request) override;
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent) override;

 private:
  /// As VideoEndpoint::Handle, failures marked as Cloudflare's clients know them.
  Task<http::Response> HandleMedia(Context ctx, const http::Request& request);

  SnapshotHolder& snapshots_;
  VideoEndpoint& video_;
  PassthroughEndpoint& passthrough_;
  JobEvents& events_;
  const LoopGuard& loops_;
};

/// Whether a request is one in the scheme of /cdn-cgi/media/, whose failures carry Cf-Resized.
bool IsMediaUrl(const Snapshot& snapshot, const http::Request& request);

/// Where a request is passed through to; nullopt: it is not.
std::optional<origin::Resolved> MatchPassthrough(const Snapshot& snapshot,
                                                 const http::Request& request);

}  // namespace vr::delivery
