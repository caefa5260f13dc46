#include "http/h2_stream.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "http/ascii.h"
#include "http/status.h"

namespace vr::http {

namespace {

constexpr ParseError kBadField{400, "BAD_REQUEST", "a header field is malformed"};
constexpr ParseError kBadHost{400, "BAD_REQUEST",
                              "the Host field is missing, repeated or malformed"};
constexpr ParseError kBadTarget{400, "INVALID_URL", "the request target is malformed"};
constexpr ParseError kTargetTooLong{414, "URI_TOO_LONG", "the request target is too long"};
constexpr ParseError kHeadTooLarge{431, "HEADERS_TOO_LARGE", "the request head is too large"};
constexpr ParseError kBodyTooLarge{413, "BODY_TOO_LARGE", "the request body is too large"};
/// Beside name and value in a line of HTTP/1.1.
constexpr uint64_t kLineExtra = 4;

/// Fields about one connection, which HTTP/2 has no use for and forbids.
bool IsOfConnection(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kNames{
      "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"};
  return std::any_of(kNames.begin(), kNames.end(),
                     [&](std::string_view known) { return EqualsNoCase(known, name); });
}

bool IsPath(std::string_view path) {
  return !path.empty() && (path.front() == '/' || path == "*") &&
         std::all_of(path.begin(), path.end(), [](char c) {
           const auto u = static_cast<unsigned char>(c);
           return u > 0x20 && u != 0x7f;
         });
}

}  // namespace

void H2RequestBuilder::AddField(std::string_view name, std::string_view value) {
  head_bytes_ += name.size() + value.size() + kLineExtra;
  if (error_) return;
  if (head_bytes_ > limits_.max_head_bytes) {
    error_ = name == ":path" ? kTargetTooLong : kHeadTooLarge;
    return;
  }
  if (name == ":method") {
    method_ = value;
  } else if (name == ":scheme") {
    scheme_ = value;
  } else if (name == ":authority") {
    authority_ = value;
  } else if (name == ":path") {
    path_ = value;
  } else if (!IsToken(name) || !IsFieldValue(value) || IsOfConnection(name)) {
    error_ = kBadField;
  } else if (name == "host") {
    if (!host_.empty() && host_ != value) error_ = kBadHost;
    host_ = value;
  } else if (name == "cookie") {
    if (!cookie_.empty()) cookie_ += "; ";
    cookie_ += value;
  } else if (name == "expect" && EqualsNoCase(value, "100-continue")) {
    expects_continue_ = true;
  } else if (name != "content-length") {  // the body says it, and nghttp2 compared them
    lines_.append(name).append(": ").append(value).append("\r\n");
  }
}

bool H2RequestBuilder::AddBody(std::string_view bytes) {
  if (bytes.size() > limits_.max_body_bytes - body_.size()) {
    if (!error_) error_ = kBodyTooLarge;
    body_ = std::string();
    return false;
  }
  body_ += bytes;
  return true;
}

std::optional<ParseError> H2RequestBuilder::Check() {
  if (error_) return error_;
  // Nothing may end a line of what is written below, or look like another form of target.
  if (!IsToken(method_)) return kBadField;
  if (!IsPath(path_) && method_ != "CONNECT") return kBadTarget;
  if (!IsFieldValue(authority_) || !IsFieldValue(host_)) return kBadHost;
  // RFC 9113 §8.3.1: they must not name two hosts.
  if (!authority_.empty() && !host_.empty() && !EqualsNoCase(authority_, host_)) return kBadHost;
  if (authority_.empty() && host_.empty()) return kBadHost;
  return std::nullopt;
}

std::optional<ParseError> H2RequestBuilder::Build(Request& request) {
  std::optional<ParseError> error = Check();
  RequestParser parser(limits_);
  std::string text;
  if (error) {
    // For the log, as far as it is presentable.
    if (!IsToken(method_)) method_ = "GET";
    text = method_ + ' ' + (IsPath(path_) && path_.size() < 1024 ? path_ : "/") +
           " HTTP/1.1\r\nhost: invalid\r\n\r\n";
  } else {
    if (path_.empty()) path_ = "/";  // CONNECT: refused below by its name
    text.reserve(method_.size() + path_.size() + authority_.size() + lines_.size() +
                 cookie_.size() + body_.size() + 96);
    text.append(method_).append(" ").append(path_).append(" HTTP/1.1\r\nhost: ");
    text.append(authority_.empty() ? host_ : authority_).append("\r\n").append(lines_);
    if (!cookie_.empty()) text.append("cookie: ").append(cookie_).append("\r\n");
    if (!body_.empty())
      text.append("content-length: ").append(std::to_string(body_.size())).append("\r\n");
    text.append("\r\n").append(body_);
  }
  std::string_view rest = text;
  RequestParser::Step step = RequestParser::Step::kNeedMore;
  while (step == RequestParser::Step::kNeedMore && !rest.empty()) {
    const std::span<char> space = parser.Prepare();
    const size_t n = std::min(space.size(), rest.size());
    std::memcpy(space.data(), rest.data(), n);
    parser.Commit(n);
    rest.remove_prefix(n);
    step = parser.Next();
  }
  parser.TakeInto(request);
  if (error) return error;
  if (step == RequestParser::Step::kError) return parser.error();
  if (step != RequestParser::Step::kReady || !rest.empty()) return kBadField;
  return std::nullopt;
}

// ---- fields of the answer ----

H2Fields::H2Fields(int status) {
  Add(":status", std::to_string(std::clamp(status, 100, 999)));
}

void H2Fields::Add(std::string_view name, std::string_view value) {
  for (const char c : name) text_ += ToLower(c);
  text_ += value;
  sizes_.emplace_back(name.size(), value.size());
}

void H2Fields::AddLines(std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view() : lines.substr(end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    // The length is the body's to say, as in HTTP/1.1.
    if (IsOfConnection(name) || EqualsNoCase(name, "content-length")) continue;
    Add(name, Trim(line.substr(colon + 1)));
  }
}

std::vector<H2Fields::Entry> H2Fields::entries() const {
  std::vector<Entry> out;
  out.reserve(sizes_.size());
  const std::string_view text = text_;
  size_t at = 0;
  for (const auto& [name, value] : sizes_) {
    out.emplace_back(text.substr(at, name), text.substr(at + name, value));
    at += name + value;
  }
  return out;
}

// ---- body of the answer ----

namespace {

uint64_t LengthOf(const Piece& piece) {
  return std::visit([](const auto& p) { return p.length; }, piece);
}

}  // namespace

bool H2Body::Start(const Response& response, bool is_head) {
  const bool no_body = HasNoBody(response.status);
  if (const auto* stream = std::get_if<StreamBody>(&response.body)) {
    is_stream_ = true;
    if (!no_body) length_ = stream->length;
    stream_left_ = stream->length.value_or(0);
    return !no_body && !is_head;
  }
  if (const auto* pieces = std::get_if<std::vector<Piece>>(&response.body)) all_ = pieces;
  uint64_t length = 0;
  for (const Piece& piece : pieces()) length += LengthOf(piece);
  if (!no_body) length_ = length;
  return !no_body && !is_head && length > 0;
}

H2Body::Step H2Body::Read(std::span<char> space, size_t& n) {
  n = 0;
  while (n < space.size() && next_ < pieces().size()) {
    const Piece& piece = pieces()[next_];
    const size_t wanted = std::min<uint64_t>(LengthOf(piece) - offset_, space.size() - n);
    if (const auto* memory = std::get_if<MemoryPiece>(&piece)) {
      std::memcpy(space.data() + n, memory->data->data() + memory->offset + offset_, wanted);
    } else {
      const auto& file = std::get<FilePiece>(piece);
      size_t got = 0;
      while (got < wanted) {
        const ssize_t m = ::pread(file.file->get(), space.data() + n + got, wanted - got,
                                  static_cast<off_t>(file.offset + offset_ + got));
        if (m < 0 && errno == EINTR) continue;
        if (m <= 0) return Step::kFailed;
        got += static_cast<size_t>(m);
      }
    }
    n += wanted;
    offset_ += wanted;
    bytes_read_ += wanted;
    if (offset_ == LengthOf(piece)) {
      ++next_;
      offset_ = 0;
    }
  }
  if (next_ < pieces().size()) return Step::kMore;
  if (!is_stream_ || is_ended_) return Step::kEnd;
  return n > 0 ? Step::kMore : Step::kWait;
}

bool H2Body::AddPiece(Piece piece) {
  const uint64_t length = LengthOf(piece);
  if (length_) {
    if (length > stream_left_) return false;
    stream_left_ -= length;
  }
  own_.clear();
  next_ = 0;
  offset_ = 0;
  if (length > 0) own_.push_back(std::move(piece));
  return true;
}

bool H2Body::End() {
  if (length_ && stream_left_ > 0) return false;
  own_.clear();
  next_ = 0;
  is_ended_ = true;
  return true;
}

}  // namespace vr::http
