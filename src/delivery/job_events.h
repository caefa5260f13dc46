// JobEvents: GET /sse/job/{id}, the progress of one production as server-sent events (HTML living
// standard, "Server-sent events").
//
//   data: {"status":"transcoding","percent":45}
//
// One event at once, one for each change, a comment now and then so that nobody on the way takes
// the silence for an end; after "complete", "failed", "cancelled" or "not_found" the answer ends.
// The id is the only key: it is told to who got a 202. Streams are limited in number, hold no
// descriptor but their connection's, and end when the server drains. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cache/job_registry.h"
#include "delivery/snapshot.h"
#include "http/message.h"
#include "observe/metrics.h"

namespace vr::delivery {

/// `data: {...}\n\n` of this state. `target`: where a complete result is.
std::string RenderJobEvent(const cache::Job::View& view, std::string_view target);

class JobEvents {
 public:
  static constexpr std::string_view kPrefix = "/sse/job/";
  static bool IsMine(std::string_view path) { return path.starts_with(kPrefix); }
  /// "/sse/job/{id}".
  static std::string PathOf(const cache::Job& job) { return std::string(kPrefix) + job.id(); }

  /// @param heartbeat  between comments while nothing changes
  JobEvents(SnapshotHolder& snapshots, cache::JobRegistry& jobs, Metrics& metrics,
            std::chrono::milliseconds heartbeat = std::chrono::seconds(15));

  /// Never needs to wait before it answers.
  http::Response Answer(const http::Request& request);
  /// Ends all streams, and each new one after its first event.
  void Drain();
  int open_streams() const { return state_->open; }

 private:
  struct State {
    std::atomic<int> open{0};
    std::atomic<bool> is_draining{false};
  };
  class Stream;

  SnapshotHolder& snapshots_;
  cache::JobRegistry& jobs_;
  const std::chrono::milliseconds heartbeat_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace vr::delivery
