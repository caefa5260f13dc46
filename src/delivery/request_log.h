// One line and one count per request. Thread-safe; counting is a table look-up and an atomic add.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "analytics/recorder.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "cache/orchestrator.h"
#include "http/message.h"
#include "observe/metrics.h"
#include "variant/variant_request.h"

namespace vr::delivery {

/// What analytics counts a request under.
struct RequestLabels {
  std::string origin, source, derivative, format, mode;
};

RequestLabels LabelsOf(const variant::VariantRequest& request, std::string origin);

/// What the endpoint knows of an answer and the log, or who stands in front, wants to know.
struct RequestNote final : http::ResponseNote {
  cache::Layer layer = cache::Layer::kTransform;
  bool has_layer = false;       ///< false: refused before any layer was asked
  bool is_passthrough = false;  ///< an origin's own answer, passed on
  bool is_quiet = false;        ///< health checks: neither logged nor counted
  cache::EntityRef entity;
  std::string key;     ///< when there is no entity
  std::string reason;  ///< API error code
  std::string detail;  ///< for the log only
  cache::Freshness freshness = cache::Freshness::kFresh;
  std::unique_ptr<RequestLabels> labels;  ///< as far as `entity` does not say it
  /// A redirect to a path of ours that whoever may ask for this one may ask for too (StaysWithin).
  bool is_redirect_within = false;
};

/// How a request was answered, as analytics counts it (docs/analytics.md).
/// @param note  null: the server itself refused it, or it was cut before there was an answer
analytics::Outcome OutcomeOf(const RequestNote* note);

/// Path and query of a request as administrators may see them: values of parameters that are not
/// ours, and a user part in a media URL, are masked; at most `kMaxShownTarget` bytes.
std::string ShownTarget(const http::Request& request);
inline constexpr size_t kMaxShownTarget = 300;

class RequestLog {
 public:
  /// @param recorder null: nobody analyses
  RequestLog(Metrics& metrics, const Clock& clock, analytics::Recorder* recorder);
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent);

 private:
  static constexpr size_t kLayers = 7;  ///< cache::Layer, "passthrough" and "none"
  Counter& CounterFor(size_t layer, int status);
  void Tell(const http::Request& request, const http::Response& response, const http::Sent& sent,
            const RequestNote* note, bool is_saving);

  Metrics& metrics_;
  const Clock& clock_;
  analytics::Recorder* const recorder_;
  Counter saved_, saved_bytes_;
  Counter aborted_;
  std::array<std::unique_ptr<Histogram>, kLayers> seconds_;
  std::array<std::array<std::atomic<Counter*>, 600>, kLayers> counters_{};
  Mutex mutex_;
  std::vector<std::unique_ptr<Counter>> owned_ GUARDED_BY(mutex_);
};

}  // namespace vr::delivery
