#include "delivery/request_log.h"

#include <algorithm>
#include <utility>

#include "base/text_buffer.h"
#include "http/ascii.h"
#include "http/url_signature.h"
#include "observe/log.h"
#include "variant/media_url.h"
#include "variant/options.h"

namespace vr::delivery {

namespace {

constexpr std::array<std::string_view, 7> kLayerNames{
    "edge", "kv", "joined", "transform", "bypass", "passthrough", "none"};
constexpr size_t kPassthrough = 5;
/// What analytics calls a variant that is none of a preset, and one that is as its source is.
constexpr std::string_view kNoDerivative = "none";
constexpr std::string_view kOriginalFormat = "original";

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

/// Whether an answer stands for a production that did not have to be: a hit whose body was sent
/// from its beginning, or that told the client to keep what it has. The parts that a player asks
/// for later are of the same viewing; HEAD makes nothing anyway.
bool IsSaving(const http::Request& request, const http::Response& response,
              const RequestNote& note) {
  const bool is_hit = note.layer == cache::Layer::kEdge || note.layer == cache::Layer::kKv;
  if (!is_hit || !note.entity || request.method != http::Method::kGet) return false;
  if (response.status == 200 || response.status == 304) return true;
  if (response.status != 206) return false;
  return http::Trim(request.Get("Range").value_or("")).starts_with("bytes=0-");
}

/// The derivative that a key names.
std::string_view DerivativeIn(std::string_view key) {
  constexpr std::string_view kName = ":derivative=";
  const size_t at = key.find(kName);
  if (at == key.npos) return {};
  key.remove_prefix(at + kName.size());
  return key.substr(0, key.find(':'));
}

/// What hides in the source of a media URL is its owner's.
std::string ShownPath(std::string_view path) {
  std::string shown(path);
  if (!variant::IsMediaUrl(path)) return shown;
  const size_t options = std::string_view("/cdn-cgi/media/").size();
  const size_t source = path.find('/', std::min(options, path.size()));
  if (source == path.npos) return shown;
  const std::string_view rest = path.substr(source + 1);
  if (rest.find_first_of("@%?") != rest.npos) shown.replace(source + 1, shown.npos, "***");
  return shown;
}

/// To the nearest one.
uint64_t Micros(double seconds) {
  return static_cast<uint64_t>(std::clamp(seconds, 0.0, 1e9) * 1e6 + 0.5);
}

void AppendNumber(TextBuffer& line, std::string_view name, uint64_t value) {
  line.Append(name);
  line.AppendNumber(value);
}

/// In milliseconds: "12.345".
void AppendMillis(TextBuffer& line, std::string_view name, double seconds) {
  const uint64_t micros = Micros(seconds);
  AppendNumber(line, name, micros / 1000);
  const char rest[] = {'.', static_cast<char>('0' + micros / 100 % 10),
                       static_cast<char>('0' + micros / 10 % 10),
                       static_cast<char>('0' + micros % 10)};
  line.Append(std::string_view(rest, sizeof rest));
}

/// @param name  with comma, quotation marks and colon
void AppendString(TextBuffer& line, std::string_view name, std::string_view value) {
  line.Append(name);
  AppendJsonString(line, value);
}

}  // namespace

RequestLabels LabelsOf(const variant::VariantRequest& request, std::string origin) {
  RequestLabels labels;
  labels.origin = std::move(origin);
  labels.source = request.source_path;
  labels.derivative = request.derivative.empty() ? kNoDerivative : request.derivative;
  labels.format = request.is_original() ? kOriginalFormat : variant::ToString(request.format());
  labels.mode = variant::ToString(request.mode);
  return labels;
}

analytics::Outcome OutcomeOf(const RequestNote* note) {
  using analytics::Outcome;
  using cache::Layer;
  if (!note) return Outcome::kOther;
  if (note->is_passthrough) return Outcome::kPassthrough;
  if (!note->has_layer) return note->reason.empty() ? Outcome::kOther : Outcome::kRefused;
  const bool is_stale = note->freshness == cache::Freshness::kStale;
  switch (note->layer) {
    case Layer::kEdge:
      if (!note->entity) return Outcome::kPassthroughHit;
      return is_stale ? Outcome::kStale : Outcome::kEdge;
    case Layer::kKv:
      return is_stale ? Outcome::kStale : Outcome::kKv;
    case Layer::kJoined:
      return Outcome::kJoined;
    case Layer::kTransform:
      return Outcome::kMiss;
    case Layer::kBypass:
      return Outcome::kBypass;
  }
  return Outcome::kOther;
}

std::string ShownTarget(const http::Request& request) {
  std::string shown = ShownPath(request.path);
  char mark = '?';
  for (std::string_view rest = request.query; !rest.empty();) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::string_view name = pair.substr(0, pair.find('='));
    shown += std::exchange(mark, '&');
    // Of a name that is not ours who knows what it stands for.
    const bool is_known = variant::IsKnownParameter(name);
    shown += is_known ? pair : name.substr(0, 32);
    if (!is_known && pair.size() > name.size()) shown += "=***";
    if (shown.size() > kMaxShownTarget) break;
  }
  shown.resize(std::min(shown.size(), kMaxShownTarget));
  return shown;
}

void RequestLog::Tell(const http::Request& request, const http::Response& response,
                      const http::Sent& sent, const RequestNote* note, bool is_saving) {
  analytics::Event event;
  event.outcome = OutcomeOf(note);
  event.status = response.status;
  event.is_error = response.status >= 400;
  event.is_complete = sent.complete;
  event.bytes = sent.body_bytes;
  event.micros = Micros(sent.first_byte_seconds);
  analytics::Labels& labels = event.labels;
  if (note) labels.code = note->reason;
  if (note && note->entity) {
    const cache::Entity& entity = *note->entity;
    const cache::Metadata& meta = entity.meta;
    if (is_saving) {
      event.saved_micros = Micros(meta.encode_seconds);
      event.saved_bytes = meta.source_bytes;
    }
    labels.key = entity.key;
    labels.source = meta.source_path;
    labels.origin = meta.origin;
    labels.mode = labels.key.substr(0, labels.key.find(':'));
    if (entity.reason.empty()) {
      labels.derivative = meta.derivative.empty() ? kNoDerivative : meta.derivative;
      labels.format = meta.format.empty() ? kOriginalFormat : meta.format;
    } else {
      // A remembered failure; its format is nobody's.
      labels.code = entity.reason;
      labels.derivative = DerivativeIn(entity.key);
      if (labels.derivative.empty()) labels.derivative = kNoDerivative;
    }
  } else if (note && note->labels) {
    if (analytics::IsMedia(event.outcome)) labels.key = note->key;
    labels.source = note->labels->source;
    labels.origin = note->labels->origin;
    labels.derivative = note->labels->derivative;
    labels.format = note->labels->format;
    labels.mode = note->labels->mode;
  }
  if (!event.is_error) labels.code = {};  // a redirect's is none
  const bool is_cut = !sent.complete && sent.error == "body_failed";
  if (is_cut) labels.code = "BODY_FAILED";
  recorder_->Record(event);
  // Remembered failures were shown when they were new.
  const bool is_new = event.is_error && !labels.code.empty() && note && !note->entity;
  if (!is_new && !is_cut) return;
  analytics::Failure failure;
  failure.time_ms = ToUnixMillis(clock_.Now());
  failure.status = response.status;
  failure.is_servers = response.status >= 500 || is_cut;
  failure.outcome = event.outcome;
  failure.target = ShownTarget(request);
  failure.code = labels.code;
  failure.origin = labels.origin;
  failure.request_id = request.id.substr(0, 128);
  recorder_->Record(std::move(failure));
}

RequestLog::RequestLog(Metrics& metrics, const Clock& clock, analytics::Recorder* recorder)
    : metrics_(metrics),
      clock_(clock),
      recorder_(recorder),
      saved_(metrics.GetCounter("video_resizer_encode_seconds_saved_total",
                                "CPU seconds of encoding that hits made unnecessary")),
      saved_bytes_(metrics.GetCounter("video_resizer_origin_bytes_saved_total",
                                      "Bytes of sources that hits made it unnecessary to read")),
      aborted_(
          metrics.GetCounter("video_resizer_aborted_responses_total",
                             "Responses whose client left, or whose body failed, before the end")) {
  const std::vector<double> buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                    0.25,   0.5,   1,      2.5,   5,    10,    30,   120};
  for (size_t i = 0; i < kLayers; ++i) {
    seconds_[i] = std::make_unique<Histogram>(
        metrics.GetHistogram("video_resizer_request_seconds",
                             "Time from request head to first body byte handed to the kernel",
                             {{"layer", std::string(kLayerNames[i])}}, buckets));
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
      {{"layer", std::string(kLayerNames[layer])},
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
  const bool is_saving = note && IsSaving(request, response, *note);
  if (is_saving) {
    const cache::Metadata& meta = note->entity->meta;
    if (meta.encode_seconds > 0) saved_.Add(meta.encode_seconds);
    if (meta.source_bytes > 0) saved_bytes_.Add(static_cast<double>(meta.source_bytes));
  }
  if (recorder_) Tell(request, response, sent, note, is_saving);
  if (!LogEnabled(LogLevel::kInfo)) return;

  constexpr size_t kKept = 4096;
  thread_local TextBuffer line;
  line.Clear(kKept);
  AppendString(line, "\"method\":", request.method_name);
  const std::string_view target = request.target.substr(0, 2048);
  if (target.find(http::kSignatureParameter) == target.npos) {
    AppendString(line, ",\"target\":", target);
  } else {
    AppendString(line, ",\"target\":", WithoutSignature(target));
  }
  AppendNumber(line, ",\"status\":", static_cast<uint64_t>(std::max(response.status, 0)));
  line.Append(",\"layer\":\"");
  line.Append(kLayerNames[layer]);
  AppendNumber(line, "\",\"bytes\":", sent.body_bytes);
  AppendMillis(line, ",\"ms\":", sent.seconds);
  AppendMillis(line, ",\"first_byte_ms\":", sent.first_byte_seconds);
  line.Append(sent.complete ? ",\"complete\":true" : ",\"complete\":false");
  if (!sent.error.empty()) AppendString(line, ",\"error\":", sent.error);
  if (note) {
    const std::string_view key =
        note->entity ? std::string_view(note->entity->key) : std::string_view(note->key);
    if (!key.empty()) AppendString(line, ",\"key\":", key);
    if (note->entity) {
      AppendNumber(line, ",\"entity_bytes\":", note->entity->size());
      AppendMillis(line, ",\"encode_ms\":", note->entity->meta.encode_seconds);
    }
    if (!note->reason.empty()) AppendString(line, ",\"reason\":", note->reason);
    if (!note->detail.empty()) AppendString(line, ",\"detail\":", note->detail);
  }
  AppendString(line, ",\"peer\":", request.peer_address);
  if (!request.client_address.empty()) AppendString(line, ",\"client\":", request.client_address);
  AppendString(line, ",\"request_id\":", request.id);
  LogRendered(LogLevel::kInfo, "request", line.view());
}

}  // namespace vr::delivery
