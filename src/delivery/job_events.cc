#include "delivery/job_events.h"

#include <utility>

#include "delivery/request_log.h"
#include "delivery/status.h"
#include "http/respond.h"
#include "observe/log.h"

namespace vr::delivery {

namespace {

using http::Request;
using http::Response;

/// A browser whose connection broke comes back after this long, milliseconds.
constexpr std::string_view kRetryLine = "retry: 2000\n";

http::MemoryPiece PieceOf(std::string text) {
  http::MemoryPiece piece;
  piece.length = text.size();
  piece.data = std::make_shared<const std::string>(std::move(text));
  return piece;
}

std::shared_ptr<RequestNote> NoteOf(std::string key, std::string_view reason = {}) {
  auto note = std::make_shared<RequestNote>();
  note->key = std::move(key);
  note->reason = reason;
  return note;
}

void AddCommonFields(Response& response, const Request& request) {
  response.Add("X-Request-ID", request.id);
  response.Add("Via", "1.1 video-resizer");
}

}  // namespace

std::string RenderJobEvent(const cache::Job::View& view, std::string_view target) {
  std::string event = "data: {\"status\":\"";
  event += cache::ToString(view.state);
  event += "\",\"percent\":" + std::to_string(view.percent);
  if (view.state == cache::JobState::kComplete) {
    event += ",\"path\":";
    AppendJsonString(event, target);
  }
  if (view.error) {
    // {"error":{...}} and a line's end.
    const std::string body = ErrorBody(*view.error);
    event += ',' + body.substr(1, body.rfind('}') - 1);
  }
  event += "}\n\n";
  return event;
}

/// What one client sees of a job. Bound to its connection's loop.
class JobEvents::Stream final : public http::BodyStream {
 public:
  Stream(cache::JobRef job, std::shared_ptr<State> state, std::chrono::milliseconds heartbeat)
      : job_(std::move(job)), state_(std::move(state)), heartbeat_(heartbeat) {}
  ~Stream() override { --state_->open; }

  Task<Result<std::optional<http::Piece>>> Next(Context ctx) override {
    for (;;) {
      const uint64_t ticket = job_->ticket();
      const cache::Job::View view = job_->Look();
      std::optional<http::Piece> next;
      if (!last_ || last_->state != view.state || last_->percent != view.percent) {
        if (last_ && last_->has_ended()) co_return next;
        std::string text(last_ ? std::string_view() : kRetryLine);
        text += RenderJobEvent(view, job_->names().target);
        last_ = view;
        next = PieceOf(std::move(text));
        co_return next;
      }
      if (last_->has_ended() || state_->is_draining) co_return next;
      const SteadyTime beat = std::chrono::steady_clock::now() + heartbeat_;
      const bool has_changed = co_await job_->WaitChange(ticket, std::min(beat, ctx.deadline));
      if (has_changed) continue;
      next = PieceOf(":\n\n");
      co_return next;
    }
  }

 private:
  const cache::JobRef job_;
  const std::shared_ptr<State> state_;
  const std::chrono::milliseconds heartbeat_;
  std::optional<cache::Job::View> last_;  ///< as last told
};

JobEvents::JobEvents(SnapshotHolder& snapshots, cache::JobRegistry& jobs, Metrics& metrics,
                     std::chrono::milliseconds heartbeat)
    : snapshots_(snapshots), jobs_(jobs), heartbeat_(heartbeat) {
  auto gauge = metrics.GetGauge("video_resizer_event_streams", "Clients that follow a job");
  metrics.OnRender(
      [state = state_, gauge]() mutable { gauge.Set(static_cast<double>(state->open.load())); });
}

Response JobEvents::Answer(const Request& request) {
  if (request.method != http::Method::kGet && !request.is_head()) {
    const Error refused = Error(Code::kInvalidArgument, "only GET and HEAD are answered here")
                              .WithReason("METHOD_NOT_ALLOWED")
                              .WithFact("allowed", "GET, HEAD");
    Response response = ErrorResponse(refused, cache::TtlOptions());
    response.Add("Allow", "GET, HEAD");
    AddCommonFields(response, request);
    response.note = NoteOf({}, ReasonOf(refused));
    return response;
  }
  std::string_view id = request.path.substr(kPrefix.size());
  if (id.ends_with('/')) id.remove_suffix(1);
  const cache::JobRef job = jobs_.Find(id);
  const bool is_stream = job && !request.is_head();
  if (is_stream && ++state_->open > snapshots_.Get()->delivery.max_event_streams) {
    --state_->open;
    const Error refused =
        Error(Code::kResourceExhausted, "too many clients follow jobs, try again later")
            .WithReason("OVERLOADED");
    Response response = ErrorResponse(refused, cache::TtlOptions());
    AddCommonFields(response, request);
    response.note = NoteOf(job->names().key, ReasonOf(refused));
    return response;
  }
  Response response;
  response.Add("Content-Type", "text/event-stream");
  response.Add("Cache-Control", "no-store");
  response.Add("X-Content-Type-Options", "nosniff");
  response.Add("X-Accel-Buffering", "no");  // nginx: pass each event on at once
  AddCommonFields(response, request);
  response.close = is_stream;
  if (is_stream) {
    http::StreamBody body;
    body.stream = std::make_shared<Stream>(job, state_, heartbeat_);
    response.body = std::move(body);
  } else if (!job) {
    response.SetBody("data: {\"status\":\"not_found\"}\n\n");
  } else {
    response.body = http::StreamBody();
  }
  response.note = NoteOf(job ? job->names().key : std::string());
  return response;
}

void JobEvents::Drain() {
  state_->is_draining = true;
  jobs_.WakeAll();
}

}  // namespace vr::delivery
