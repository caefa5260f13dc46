#include "http/respond.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>

#include "http/conditions.h"
#include "http/date.h"
#include "http/range.h"
#include "observe/log.h"

namespace vr::http {

namespace {

using Body = std::variant<std::shared_ptr<const std::string>, FileBody, GrowingBody>;

uint64_t SizeOf(const Body& body) {
  if (const auto* file = std::get_if<FileBody>(&body)) return file->size;
  if (const auto* growing = std::get_if<GrowingBody>(&body)) return growing->size;
  const auto& text = std::get<0>(body);
  return text ? text->size() : 0;
}

/// @param body not a GrowingBody: its bytes are no pieces yet
Piece Slice(const Body& body, uint64_t offset, uint64_t length) {
  if (const auto* file = std::get_if<FileBody>(&body)) {
    return FilePiece{file->file, file->offset + offset, length};
  }
  return MemoryPiece{std::get<0>(body), offset, length};
}

void SetPart(Response& response, const Body& body, uint64_t offset, uint64_t length) {
  if (const auto* growing = std::get_if<GrowingBody>(&body)) {
    StreamBody stream;
    stream.stream = growing->open(offset, length);
    stream.length = length;
    response.body = std::move(stream);
    return;
  }
  std::vector<Piece> pieces;
  pieces.push_back(Slice(body, offset, length));
  response.body = std::move(pieces);
}

void AppendLine(std::string& fields, std::string_view name, std::string_view value) {
  fields += name;
  fields += ": ";
  fields += value;
  fields += "\r\n";
}

/// Unique per answer; must only not occur in the parts by accident.
std::string MakeBoundary() {
  static const uint64_t start =
      static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
      (static_cast<uint64_t>(::getpid()) << 40);
  static std::atomic<uint64_t> counter{0};
  uint64_t x = start + 0x9e3779b97f4a7c15U * counter.fetch_add(1, std::memory_order_relaxed);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  x ^= x >> 31;
  x |= uint64_t{1} << 63;  // always 16 digits: equal answers are equally long
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, x, 16).ptr;
  return "vr-part-" + std::string(digits, end);
}

/// All part heads live in one string; the pieces are slices of it and of the body.
void SetMultipart(Response& response, const Representation& r, const std::vector<ByteRange>& ranges,
                  uint64_t size) {
  const std::string boundary = MakeBoundary();
  std::string heads;
  std::vector<std::pair<size_t, size_t>> spans;
  for (const ByteRange& range : ranges) {
    const size_t begin = heads.size();
    heads += begin == 0 ? "--" : "\r\n--";
    heads += boundary;
    heads += "\r\n";
    if (!r.content_type.empty()) AppendLine(heads, "Content-Type", r.content_type);
    AppendLine(heads, "Content-Range", ContentRange(range, size));
    heads += "\r\n";
    spans.emplace_back(begin, heads.size() - begin);
  }
  const size_t begin = heads.size();
  heads += "\r\n--" + boundary + "--\r\n";
  spans.emplace_back(begin, heads.size() - begin);

  const auto shared = std::make_shared<const std::string>(std::move(heads));
  std::vector<Piece> pieces;
  pieces.reserve(2 * ranges.size() + 1);
  for (size_t i = 0; i < ranges.size(); ++i) {
    pieces.push_back(MemoryPiece{shared, spans[i].first, spans[i].second});
    pieces.push_back(Slice(r.body, ranges[i].first, ranges[i].length()));
  }
  pieces.push_back(MemoryPiece{shared, spans.back().first, spans.back().second});
  response.body = std::move(pieces);
  AppendLine(response.fields, "Content-Type", "multipart/byteranges; boundary=" + boundary);
}

/// Moves the fields of every answer into an error answer.
Response Refuse(int status, std::string_view code, std::string_view message, Representation& r) {
  Response response;
  response.status = status;
  response.fields = std::move(r.fields);
  AppendLine(response.fields, "Content-Type", "application/json");
  AppendLine(response.fields, "Cache-Control", "no-store");
  if (r.refuses_with_shared_fields) {
    response.shared_fields = std::move(r.shared_fields);
  } else {
    AppendLine(response.fields, "X-Content-Type-Options", "nosniff");
  }
  response.SetBody(ErrorBody(code, message));
  return response;
}

}  // namespace

Response RespondWith(Representation r, const Request& request) {
  const uint64_t size = SizeOf(r.body);
  ConditionResult conditions;
  if (r.status == 200) {
    Validators validators{r.etag, r.last_modified, r.date};
    conditions = EvaluateConditions(request, validators);
  }
  if (conditions.verdict == Verdict::kPreconditionFailed) {
    return Refuse(412, "PRECONDITION_FAILED", "the representation is not the one asked for", r);
  }
  Response response;
  if (conditions.verdict == Verdict::kNotModified) {
    response.status = 304;
    if (!r.cache_control.empty()) AppendLine(r.fields, "Cache-Control", r.cache_control);
    response.fields = std::move(r.fields);
    response.shared_fields = std::move(r.shared_fields);
    return response;
  }
  RangeSet ranges;
  if (!conditions.range.empty()) ranges = ParseRange(conditions.range, size);
  if (ranges.kind == RangeSet::Kind::kUnsatisfiable) {
    response = Refuse(416, "RANGE_NOT_SATISFIABLE", "no byte of the range exists", r);
    AppendLine(response.fields, "Content-Range", ContentRangeUnsatisfied(size));
    return response;
  }
  response.status = r.status;
  if (!r.cache_control.empty()) AppendLine(r.fields, "Cache-Control", r.cache_control);
  response.fields = std::move(r.fields);
  response.shared_fields = std::move(r.shared_fields);
  if (ranges.kind == RangeSet::Kind::kMany && !std::holds_alternative<GrowingBody>(r.body)) {
    response.status = 206;
    SetMultipart(response, r, ranges.many, size);
    return response;
  }
  if (!r.content_type.empty()) AppendLine(response.fields, "Content-Type", r.content_type);
  if (ranges.kind == RangeSet::Kind::kOne) {
    response.status = 206;
    AppendLine(response.fields, "Content-Range", ContentRange(ranges.one, size));
    SetPart(response, r.body, ranges.one.first, ranges.one.length());
  } else {
    SetPart(response, r.body, 0, size);
  }
  return response;
}

void AppendValidatorFields(std::string& fields, std::string_view etag,
                           std::optional<WallTime> last_modified) {
  if (!etag.empty()) AppendLine(fields, "ETag", etag);
  if (last_modified) AppendLine(fields, "Last-Modified", FormatDate(*last_modified));
  AppendLine(fields, "Accept-Ranges", "bytes");
}

std::string ErrorBody(std::string_view code, std::string_view message,
                      std::span<const std::pair<std::string, std::string>> facts) {
  std::string text = "{\"error\":{\"code\":";
  AppendJsonString(text, code);
  text += ",\"message\":";
  AppendJsonString(text, message);
  if (!facts.empty()) {
    text += ",\"details\":{";
    bool first = true;
    for (const auto& [name, value] : facts) {
      if (!first) text += ',';
      first = false;
      AppendJsonString(text, name);
      text += ':';
      AppendJsonString(text, value);
    }
    text += '}';
  }
  text += "}}";
  return text;
}

Response ErrorResponse(int status, std::string_view code, std::string_view message,
                       std::span<const std::pair<std::string, std::string>> facts) {
  Response response;
  response.status = status;
  response.fields = "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n";
  response.SetBody(ErrorBody(code, message, facts));
  return response;
}

}  // namespace vr::http
