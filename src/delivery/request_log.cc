#include "delivery/request_log.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "http/url_signature.h"
#include "observe/log.h"

namespace vr::delivery {

namespace {

constexpr std::array<const char*, 7> kLayerNames{"edge",   "kv",          "joined", "transform",
                                                 "bypass", "passthrough", "none"};
constexpr size_t kPassthrough = 5;

size_t LayerOf(const RequestNote* note) {
  if (note && note->is_passthrough) return kPassthrough;
  return note && note->has_layer ? static_cast<size_t>(note->layer) : kLayerNames.size() - 1;
}

/// Whoever reads the log must not be able to ask what only the URL's owner may.
std::string WithoutSignature(std::string_view target) {
  std::string out(target);
  for (size_t at = 0; (at = out.find(http::kSignatureParameter, at)) != out.npos;) {
    at += http::kSignatureParameter.size();
    const size_t end = std::min(out.find('&', at), out.size());
    out.replace(at, end - at, "=***");
  }
  return out;
}

void AppendNumber(std::string& line, std::string_view name, uint64_t value) {
  char digits[24];
  line += name;
  line.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

/// In milliseconds: "12.345".
void AppendMillis(std::string& line, std::string_view name, double seconds) {
  const auto micros = static_cast<uint64_t>(std::llround(std::clamp(seconds, 0.0, 1e9) * 1e6));
  AppendNumber(line, name, micros / 1000);
  const char rest[] = {'.', static_cast<char>('0' + micros / 100 % 10),
                       static_cast<char>('0' + micros / 10 % 10),
                       static_cast<char>('0' + micros % 10)};
  line.append(rest, sizeof rest);
}

void AppendString(std::string& line, std::string_view name, std::string_view value) {
  line += ",\"";
  line += name;
  line += "\":";
  AppendJsonString(line, value);
}

}  // namespace

RequestLog::RequestLog(Metrics& metrics)
    : metrics_(metrics),
      saved_(metrics.GetCounter("video_resizer_encode_seconds_saved_total",
                                "CPU seconds of encoding that hits made unnecessary")),
      aborted_(
          metrics.GetCounter("video_resizer_aborted_responses_total",
                             "Responses whose client left, or whose body failed, before the end")) {
  const std::vector<double> buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                    0.25,   0.5,   1,      2.5,   5,    10,    30,   120};
  for (size_t i = 0; i < kLayers; ++i) {
    seconds_[i] = std::make_unique<Histogram>(
        metrics.GetHistogram("video_resizer_request_seconds",
                             "Time from request head to first body byte handed to the kernel",
                             {{"layer", kLayerNames[i]}}, buckets));
  }
}

Counter& RequestLog::CounterFor(size_t layer, int status) {
  std::atomic<Counter*>& slot =
      counters_[layer][static_cast<size_t>(status >= 0 && status < 600 ? status : 0)];
  if (Counter* known = slot.load(std::memory_order_acquire)) return *known;
  MutexLock lock(mutex_);
  if (Counter* known = slot.load(std::memory_order_acquire)) return *known;
  owned_.push_back(std::make_unique<Counter>(metrics_.GetCounter(
      "video_resizer_requests_total", "Requests by the layer that answered, and status",
      {{"layer", kLayerNames[layer]},
       {"status", status < 600 ? std::to_string(status) : "other"}})));
  slot.store(owned_.back().get(), std::memory_order_release);
  return *owned_.back();
}

void RequestLog::Finished(const http::Request& request, const http::Response& response,
                          const http::Sent& sent) {
  const auto* note = dynamic_cast<const RequestNote*>(response.note.get());
  if (note && note->is_quiet) return;
  const size_t layer = LayerOf(note);
  CounterFor(layer, response.status).Add();
  seconds_[layer]->Observe(sent.first_byte_seconds);
  if (!sent.complete) aborted_.Add();
  if (note && note->saved_seconds > 0) saved_.Add(note->saved_seconds);
  if (!LogEnabled(LogLevel::kInfo)) return;

  constexpr size_t kKept = 4096;
  thread_local std::string line;
  line.clear();
  line += "\"method\":";
  AppendJsonString(line, request.method_name);
  const std::string_view target = request.target.substr(0, 2048);
  if (target.find(http::kSignatureParameter) == target.npos) {
    AppendString(line, "target", target);
  } else {
    AppendString(line, "target", WithoutSignature(target));
  }
  AppendNumber(line, ",\"status\":", static_cast<uint64_t>(std::max(response.status, 0)));
  line += ",\"layer\":\"";
  line += kLayerNames[layer];
  AppendNumber(line, "\",\"bytes\":", sent.body_bytes);
  AppendMillis(line, ",\"ms\":", sent.seconds);
  AppendMillis(line, ",\"first_byte_ms\":", sent.first_byte_seconds);
  line += sent.complete ? ",\"complete\":true" : ",\"complete\":false";
  if (!sent.error.empty()) AppendString(line, "error", sent.error);
  if (note) {
    const std::string_view key =
        note->entity ? std::string_view(note->entity->key) : std::string_view(note->key);
    if (!key.empty()) AppendString(line, "key", key);
    if (note->entity) {
      AppendNumber(line, ",\"entity_bytes\":", note->entity->size());
      AppendMillis(line, ",\"encode_ms\":", note->entity->meta.encode_seconds);
    }
    if (!note->reason.empty()) AppendString(line, "reason", note->reason);
    if (!note->detail.empty()) AppendString(line, "detail", note->detail);
  }
  AppendString(line, "peer", request.peer_address);
  if (!request.client_address.empty()) AppendString(line, "client", request.client_address);
  AppendString(line, "request_id", request.id);
  LogRendered(LogLevel::kInfo, "request", line);
  if (line.capacity() > kKept) line = std::string();
}

}  // namespace vr::delivery
