#include "http/parser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "http/ascii.h"

namespace vr::http {

namespace {

/// Empty lines some clients send after a body (RFC 9112 §2.2 asks to ignore at least one).
constexpr int kMaxBlankLines = 4;
/// A chunk-size line: 16 hex digits and a modest extension.
constexpr uint64_t kMaxChunkLine = 256;
/// "METHOD" and " HTTP/1.1" beside the target.
constexpr uint64_t kRequestLineExtra = 64;

constexpr ParseError kBadRequest{400, "BAD_REQUEST", "the request line is malformed"};
constexpr ParseError kBadLineEnd{400, "BAD_REQUEST", "a line does not end with CRLF"};
constexpr ParseError kBadTarget{400, "INVALID_URL", "the request target is malformed"};
constexpr ParseError kBadField{400, "BAD_REQUEST", "a header field is malformed"};
constexpr ParseError kBadHost{400, "BAD_REQUEST",
                              "the Host field is missing, repeated or malformed"};
constexpr ParseError kBadLength{400, "BAD_REQUEST", "the Content-Length field is malformed"};
constexpr ParseError kBadFraming{400, "BAD_REQUEST", "the length of the body is ambiguous"};
constexpr ParseError kBadChunk{400, "BAD_REQUEST", "the chunked body is malformed"};
constexpr ParseError kTargetTooLong{414, "URI_TOO_LONG", "the request target is too long"};
constexpr ParseError kHeadTooLarge{431, "HEADERS_TOO_LARGE", "the request head is too large"};
constexpr ParseError kBodyTooLarge{413, "BODY_TOO_LARGE", "the request body is too large"};
constexpr ParseError kExpectation{417, "EXPECTATION_FAILED", "the expectation is not supported"};
constexpr ParseError kTransferCoding{501, "TRANSFER_CODING_UNSUPPORTED",
                                     "the transfer coding is not supported"};
constexpr ParseError kNoConnect{501, "METHOD_UNSUPPORTED", "CONNECT is not supported"};
constexpr ParseError kVersion{505, "VERSION_UNSUPPORTED",
                              "only HTTP/1.0 and HTTP/1.1 are supported"};

Method MethodOf(std::string_view name) {
  if (name == "GET") return Method::kGet;
  if (name == "HEAD") return Method::kHead;
  if (name == "POST") return Method::kPost;
  if (name == "PUT") return Method::kPut;
  if (name == "DELETE") return Method::kDelete;
  if (name == "OPTIONS") return Method::kOptions;
  return Method::kOther;
}

/// reg-name of RFC 3986 §3.2.2.
constexpr std::array<bool, 256> kHostTable = MakeCharTable("-._~%!$&'()*+,;=");

/// host [":" port], with the characters of RFC 3986 §3.2; no user information.
bool IsAuthority(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    for (char c : text.substr(1, close - 1)) {
      if (HexValue(c) < 0 && c != ':' && c != '.') return false;
    }
    text.remove_prefix(close + 1);
    if (!text.empty() && text.front() != ':') return false;
  } else {
    const size_t colon = text.find(':');
    for (char c : text.substr(0, colon)) {
      if (!kHostTable[static_cast<unsigned char>(c)]) return false;
    }
    text = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (text.empty()) return true;
  text.remove_prefix(1);
  return text.size() <= 5 && std::all_of(text.begin(), text.end(), IsDigit);
}

/// *( ";" token [ "=" ( token / quoted-string ) ] ), without the white space RFC 9112 §7.1.1 only
/// tolerates.
bool IsChunkExtension(std::string_view text) {
  while (!text.empty()) {
    if (text.front() != ';') return false;
    text.remove_prefix(1);
    size_t n = 0;
    while (n < text.size() && IsTokenChar(text[n])) ++n;
    if (n == 0) return false;
    text.remove_prefix(n);
    if (!text.starts_with('=')) continue;
    text.remove_prefix(1);
    if (text.starts_with('"')) {
      n = 1;
      while (n < text.size() && text[n] != '"') {
        if (text[n] == '\\') ++n;
        if (n >= text.size() || !IsFieldValueChar(text[n])) return false;
        ++n;
      }
      if (n >= text.size()) return false;
      ++n;
    } else {
      n = 0;
      while (n < text.size() && IsTokenChar(text[n])) ++n;
      if (n == 0) return false;
    }
    text.remove_prefix(n);
  }
  return true;
}

/// Takes a field off the beginning of `rest`, as far as its value goes.
bool TakeField(std::string_view& rest, Field& field) {
  size_t n = 0;
  while (n < rest.size() && IsTokenChar(rest[n])) ++n;
  if (n == 0 || n == rest.size() || rest[n] != ':') return false;
  field.name = rest.substr(0, n);
  rest.remove_prefix(n + 1);
  n = FieldValueLength(rest);
  field.value = Trim(rest.substr(0, n));
  rest.remove_prefix(n);
  return true;
}

}  // namespace

bool ParseFieldLine(std::string_view line, Field& field) {
  return TakeField(line, field) && line.empty();
}

std::span<char> RequestParser::Prepare() {
  if (begin_ == end_) begin_ = end_ = scan_ = line_start_ = 0;
  if (!buffer_) {
    buffer_ = std::make_unique_for_overwrite<char[]>(kInitialBuffer);
    capacity_ = kInitialBuffer;
  }
  if (end_ == capacity_) {
    const size_t used = end_ - begin_;
    if (used > capacity_ / 2) {
      const size_t larger = capacity_ * 2;
      auto grown = std::make_unique_for_overwrite<char[]>(larger);
      std::memcpy(grown.get(), buffer_.get() + begin_, used);
      buffer_ = std::move(grown);
      capacity_ = larger;
    } else {
      std::memmove(buffer_.get(), buffer_.get() + begin_, used);
    }
    scan_ -= begin_;
    line_start_ -= std::min(line_start_, begin_);
    begin_ = 0;
    end_ = used;
  }
  return {buffer_.get() + end_, capacity_ - end_};
}

RequestParser::Step RequestParser::Fail(const ParseError& error) {
  error_ = error;
  state_ = State::kError;
  keep_alive_ = false;
  return Step::kError;
}

RequestParser::Step RequestParser::Next() {
  switch (state_) {
    case State::kHead:
      return NextHead();
    case State::kReady:
      return Step::kReady;
    case State::kError:
      return Step::kError;
    default:
      return NextBody();
  }
}

RequestParser::Step RequestParser::NextHead() {
  const char* data = buffer_.get();
  for (;;) {
    if (begin_ == end_) return Step::kNeedMore;
    // Neither TLS nor another protocol gets as far as the header timeout.
    if (lines_ == 0 && !IsTokenChar(data[begin_]) && data[begin_] != '\r') return Fail(kBadRequest);
    const void* found = std::memchr(data + scan_, '\n', end_ - scan_);
    const size_t seen = found != nullptr ? static_cast<const char*>(found) - data + 1 : end_;
    if (lines_ == 0 && seen - begin_ > limits_.max_target_bytes + kRequestLineExtra)
      return Fail(kTargetTooLong);
    if (seen - begin_ > limits_.max_head_bytes)
      return Fail(lines_ == 0 ? kTargetTooLong : kHeadTooLarge);
    scan_ = seen;
    if (found == nullptr) return Step::kNeedMore;
    const size_t length = seen - line_start_;
    if (length < 2 || data[seen - 2] != '\r') return Fail(kBadLineEnd);
    line_start_ = seen;
    if (length > 2) {
      ++lines_;
      continue;
    }
    if (lines_ > 0) break;
    if (++blank_lines_ > kMaxBlankLines) return Fail(kBadRequest);
    begin_ = seen;
  }
  const size_t length = scan_ - begin_;
  if (!ParseHead(KeepHead(scan_), length)) return Fail(error_);
  lines_ = 0;
  blank_lines_ = 0;
  if (facts_.chunked) {
    state_ = State::kChunkSize;
  } else if (facts_.length > 0) {
    state_ = State::kFixedBody;
    body_left_ = facts_.length;
  } else {
    state_ = State::kReady;
    return Step::kReady;
  }
  trailer_bytes_ = 0;
  return NextBody();
}

char* RequestParser::KeepHead(size_t head_end) {
  const size_t length = head_end - begin_;
  char* head = nullptr;
  if (head_end == end_) {
    head = buffer_.get() + begin_;
    request_.storage = std::move(buffer_);
    spare_capacity_ = std::exchange(capacity_, 0);
    begin_ = end_ = 0;
  } else {
    request_.storage = std::make_unique_for_overwrite<char[]>(length);
    spare_capacity_ = 0;
    head = request_.storage.get();
    std::memcpy(head, buffer_.get() + begin_, length);
    begin_ = head_end;
  }
  scan_ = line_start_ = begin_;
  return head;
}

bool RequestParser::ParseHead(char* head, size_t length) {
  facts_ = Facts();
  const auto* end = static_cast<const char*>(std::memchr(head, '\n', length));
  const size_t line = static_cast<size_t>(end - head) + 1;
  if (!ParseRequestLine(head, line - 2)) return false;
  // Without the empty line at the end.
  return ParseFields(std::string_view(head + line, length - line - 2)) && DecideFraming();
}

bool RequestParser::ParseRequestLine(char* line, size_t length) {
  const std::string_view text(line, length);
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || !IsToken(text.substr(0, space)))
    return Refuse(kBadRequest);
  request_.method_name = text.substr(0, space);
  request_.method = MethodOf(request_.method_name);
  const size_t second = text.find(' ', space + 1);
  if (second == std::string_view::npos) return Refuse(kBadRequest);
  const std::string_view version = text.substr(second + 1);
  if (version.size() != 8 || !version.starts_with("HTTP/") || !IsDigit(version[5]) ||
      version[6] != '.' || !IsDigit(version[7])) {
    return Refuse(kBadRequest);
  }
  if (version[5] != '1') return Refuse(kVersion);
  request_.minor_version =
      version[7] == '0' ? 0 : 1;  // RFC 9110 §2.5: 1.x is answered as the highest we know
  return ParseTarget(line + space + 1, second - space - 1);
}

bool RequestParser::ParseTarget(char* target, size_t length) {
  std::string_view text(target, length);
  if (length > limits_.max_target_bytes) return Refuse(kTargetTooLong);
  if (!IsTarget(text)) return Refuse(kBadTarget);
  if (request_.method_name == "CONNECT") return Refuse(kNoConnect);
  if (text == "*" && request_.method == Method::kOptions) {
    request_.target = request_.path = text;
    return true;
  }
  if (text.front() != '/') {
    const size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) return Refuse(kBadTarget);
    const std::string_view name = text.substr(0, scheme);
    if (!EqualsNoCase(name, "http") && !EqualsNoCase(name, "https")) return Refuse(kBadTarget);
    const size_t start = scheme + 3;
    const size_t end = std::min(text.find_first_of("/?", start), text.size());
    facts_.authority = text.substr(start, end - start);
    if (facts_.authority.empty() || !IsAuthority(facts_.authority)) return Refuse(kBadHost);
    if (end == text.size()) {
      text = "/";
    } else if (text[end] == '/') {
      text = text.substr(end);
    } else {
      // "http://host?query" has an empty path, which stands for "/": the authority makes room for
      // it.
      std::memmove(target + start - 1, target + start, end - start);
      facts_.authority = std::string_view(target + start - 1, end - start);
      target[end - 1] = '/';
      text = text.substr(end - 1);
    }
  }
  request_.target = text;
  const size_t question = text.find('?');
  request_.path = text.substr(0, question);
  if (question != std::string_view::npos) request_.query = text.substr(question + 1);
  return true;
}

bool RequestParser::ParseFields(std::string_view lines) {
  while (!lines.empty()) {
    if (request_.fields.size() >= limits_.max_fields) return Refuse(kHeadTooLarge);
    Field field;
    // A continuation line (obs-fold) starts with white space and so is no field line either.
    if (!TakeField(lines, field) || !lines.starts_with("\r\n")) return Refuse(kBadField);
    lines.remove_prefix(2);
    request_.fields.push_back(field);
    if (!NoteField(field)) return false;
  }
  return true;
}

bool RequestParser::NoteField(const Field& field) {
  switch (field.name.size()) {
    case 4:
      if (EqualsNoCase(field.name, "host")) {
        if (++facts_.hosts > 1 || !IsAuthority(field.value)) return Refuse(kBadHost);
        facts_.host_index = request_.fields.size() - 1;
      }
      return true;
    case 6:
      if (EqualsNoCase(field.name, "expect")) {
        if (!EqualsNoCase(field.value, "100-continue")) return Refuse(kExpectation);
        facts_.expects_continue = true;
      }
      return true;
    case 10:
      if (EqualsNoCase(field.name, "connection")) {
        std::string_view rest = field.value;
        while (!rest.empty()) {
          const std::string_view option = NextListItem(rest);
          facts_.close = facts_.close || EqualsNoCase(option, "close");
          facts_.keep_alive = facts_.keep_alive || EqualsNoCase(option, "keep-alive");
        }
      }
      return true;
    case 14:
      return !EqualsNoCase(field.name, "content-length") || AddContentLength(field.value);
    case 17:
      return !EqualsNoCase(field.name, "transfer-encoding") || AddTransferEncoding(field.value);
    default:
      return true;
  }
}

bool RequestParser::AddContentLength(std::string_view value) {
  do {
    const bool more = value.find(',') != std::string_view::npos;
    const std::string_view digits = NextListItem(value);
    if (digits.empty() || digits.size() > 18 || (more && value.empty())) return Refuse(kBadLength);
    uint64_t length = 0;
    for (char c : digits) {
      if (!IsDigit(c)) return Refuse(kBadLength);
      length = length * 10 + static_cast<uint64_t>(c - '0');
    }
    if (facts_.has_length && facts_.length != length) return Refuse(kBadFraming);
    facts_.has_length = true;
    facts_.length = length;
  } while (!value.empty());
  return true;
}

bool RequestParser::AddTransferEncoding(std::string_view value) {
  facts_.has_transfer_encoding = true;
  do {
    const bool more = value.find(',') != std::string_view::npos;
    const std::string_view coding = NextListItem(value);
    if (coding.empty() || (more && value.empty())) return Refuse(kBadFraming);
    if (!EqualsNoCase(coding, "chunked"))
      return Refuse(IsToken(coding) ? kTransferCoding : kBadFraming);
    if (facts_.chunked) return Refuse(kBadFraming);
    facts_.chunked = true;
  } while (!value.empty());
  return true;
}

bool RequestParser::DecideFraming() {
  if (facts_.hosts == 0 && request_.minor_version >= 1) return Refuse(kBadHost);
  // RFC 9112 §3.2.2: the target's authority replaces what Host says.
  if (!facts_.authority.empty() && facts_.hosts == 1) {
    request_.fields[facts_.host_index].value = facts_.authority;
  }
  if (facts_.has_transfer_encoding && (facts_.has_length || request_.minor_version == 0)) {
    return Refuse(kBadFraming);
  }
  if (facts_.length > limits_.max_body_bytes) return Refuse(kBodyTooLarge);
  keep_alive_ = !facts_.close && (request_.minor_version >= 1 || facts_.keep_alive);
  facts_.expects_continue = facts_.expects_continue && request_.minor_version >= 1;
  return true;
}

RequestParser::Step RequestParser::TakeLine(uint64_t limit, const ParseError& too_long,
                                            std::string_view& line) {
  const char* data = buffer_.get();
  const void* found = begin_ == end_ ? nullptr : std::memchr(data + scan_, '\n', end_ - scan_);
  const size_t seen = found != nullptr ? static_cast<const char*>(found) - data + 1 : end_;
  if (seen - begin_ > limit) return Fail(too_long);
  scan_ = seen;
  if (found == nullptr) return Step::kNeedMore;
  const size_t length = seen - begin_;
  if (length < 2 || data[seen - 2] != '\r') return Fail(kBadChunk);
  line = std::string_view(data + begin_, length - 2);
  begin_ = seen;
  return Step::kReady;
}

bool RequestParser::ParseChunkSize(std::string_view line) {
  size_t n = 0;
  uint64_t size = 0;
  while (n < line.size() && HexValue(line[n]) >= 0) {
    if (n >= 15) return Refuse(kBadChunk);
    size = size * 16 + static_cast<uint64_t>(HexValue(line[n]));
    ++n;
  }
  if (n == 0 || !IsChunkExtension(line.substr(n))) return Refuse(kBadChunk);
  if (size > limits_.max_body_bytes - request_.body.size()) return Refuse(kBodyTooLarge);
  body_left_ = size;
  return true;
}

RequestParser::Step RequestParser::NextBody() {
  if (facts_.expects_continue) {
    facts_.expects_continue = false;
    if (begin_ == end_) return Step::kContinue;
  }
  for (;;) {
    const size_t available = end_ - begin_;
    switch (state_) {
      case State::kFixedBody:
      case State::kChunkData: {
        const size_t n = std::min<uint64_t>(available, body_left_);
        request_.body.append(buffer_.get() + begin_, n);
        begin_ += n;
        scan_ = begin_;
        body_left_ -= n;
        if (body_left_ > 0) return Step::kNeedMore;
        state_ = state_ == State::kFixedBody ? State::kReady : State::kChunkEnd;
        break;
      }
      case State::kChunkSize: {
        std::string_view line;
        const Step step = TakeLine(kMaxChunkLine, kBadChunk, line);
        if (step != Step::kReady) return step;
        if (!ParseChunkSize(line)) return Fail(error_);
        state_ = body_left_ > 0 ? State::kChunkData : State::kTrailers;
        break;
      }
      case State::kChunkEnd: {
        const char* at = buffer_.get() + begin_;
        if ((available >= 1 && at[0] != '\r') || (available >= 2 && at[1] != '\n'))
          return Fail(kBadChunk);
        if (available < 2) return Step::kNeedMore;
        begin_ += 2;
        scan_ = begin_;
        state_ = State::kChunkSize;
        break;
      }
      case State::kTrailers: {
        std::string_view line;
        const Step step = TakeLine(limits_.max_head_bytes - trailer_bytes_, kHeadTooLarge, line);
        if (step != Step::kReady) return step;
        trailer_bytes_ += line.size() + 2;
        if (line.empty()) {
          state_ = State::kReady;
          break;
        }
        // Trailers are dropped; those that would change the framing are an attack (RFC 9110
        // §6.5.1).
        Field field;
        if (!ParseFieldLine(line, field) || EqualsNoCase(field.name, "content-length") ||
            EqualsNoCase(field.name, "transfer-encoding") || EqualsNoCase(field.name, "host")) {
          return Fail(kBadChunk);
        }
        break;
      }
      default:
        line_start_ = scan_ = begin_;
        return Step::kReady;
    }
  }
}

void RequestParser::TakeInto(Request& request) {
  request.method = request_.method;
  request.method_name = request_.method_name;
  request.target = request_.target;
  request.path = request_.path;
  request.query = request_.query;
  request.minor_version = request_.minor_version;
  request.fields.swap(request_.fields);
  request.body.swap(request_.body);
  request.storage = std::move(request_.storage);
  request_.method = Method::kGet;
  request_.method_name = request_.target = request_.path = request_.query = std::string_view();
  request_.minor_version = 1;
  request_.fields.clear();
  request_.body.clear();
  if (state_ == State::kReady) state_ = State::kHead;
}

void RequestParser::Recycle(Request& request) {
  if (!buffer_ && spare_capacity_ > 0 && request.storage) {
    buffer_ = std::move(request.storage);
    capacity_ = std::exchange(spare_capacity_, 0);
  }
  request.storage.reset();
  request.fields.clear();
  request.body = std::string();
  request.client_address.clear();
  request.carried.reset();
  request.method_name = request.target = request.path = request.query = std::string_view();
}

void RequestParser::ReleaseIfEmpty() {
  if (begin_ != end_) return;
  buffer_.reset();
  capacity_ = begin_ = end_ = scan_ = line_start_ = 0;
}

}  // namespace vr::http
