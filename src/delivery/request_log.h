// One line and one count per request. Thread-safe; counting is a table look-up and an atomic add.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "cache/orchestrator.h"
#include "http/message.h"
#include "observe/metrics.h"

namespace vr::delivery {

/// What the endpoint knows of an answer and the log, or who stands in front, wants to know.
struct RequestNote final : http::ResponseNote {
  cache::Layer layer = cache::Layer::kTransform;
  bool has_layer = false;       ///< false: refused before any layer was asked
  bool is_passthrough = false;  ///< an origin's own answer, passed on
  bool is_quiet = false;        ///< health checks: neither logged nor counted
  cache::EntityRef entity;
  std::string key;           ///< when there is no entity
  std::string reason;        ///< API error code
  std::string detail;        ///< for the log only
  double saved_seconds = 0;  ///< CPU seconds that a hit saved
  /// A redirect to a path of ours that whoever may ask for this one may ask for too (StaysWithin).
  bool is_redirect_within = false;
};

class RequestLog {
 public:
  explicit RequestLog(Metrics& metrics);
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent);

 private:
  static constexpr size_t kLayers = 7;  ///< cache::Layer, "passthrough" and "none"
  Counter& CounterFor(size_t layer, int status);

  Metrics& metrics_;
  Counter saved_;
  Counter aborted_;
  std::array<std::unique_ptr<Histogram>, kLayers> seconds_;
  std::array<std::array<std::atomic<Counter*>, 600>, kLayers> counters_{};
  Mutex mutex_;
  std::vector<std::unique_ptr<Counter>> owned_ GUARDED_BY(mutex_);
};

}  // namespace vr::delivery
