#include "native/response_reader.h"

#include <strings.h>

#include <charconv>

namespace vr::bench {
namespace {

constexpr std::size_t kMaxHead = 64 << 10;

bool IsNamed(std::string_view line, std::string_view name) {
  return line.size() > name.size() && line[name.size()] == ':' &&
         ::strncasecmp(line.data(), name.data(), name.size()) == 0;
}

}  // namespace

ResponseReader::State ResponseReader::Feed(std::string_view bytes) {
  if (state_ != State::kHead) return Fail();
  std::string_view all = bytes;
  if (!partial_.empty()) {
    partial_.append(bytes);
    all = partial_;
  }
  const auto end = all.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (all.size() > kMaxHead) return Fail();
    if (partial_.empty()) partial_ = bytes;
    return state_;
  }
  if (!ParseHead(all.substr(0, end + 2))) return Fail();
  const std::uint64_t early = all.size() - end - 4;
  if (early > length_) return Fail();  // nobody asked for a second response
  left_ = length_ - early;
  return state_ = left_ == 0 ? State::kDone : State::kBody;
}

ResponseReader::State ResponseReader::Skip(std::uint64_t count) {
  if (state_ != State::kBody || count > left_) return Fail();
  left_ -= count;
  return state_ = left_ == 0 ? State::kDone : State::kBody;
}

void ResponseReader::Reset() {
  partial_.clear();
  state_ = State::kHead;
  status_ = 0;
  length_ = left_ = 0;
}

ResponseReader::State ResponseReader::Fail() {
  return state_ = State::kFailed;
}

bool ResponseReader::ParseHead(std::string_view head) {
  if (head.size() < 12 || !head.starts_with("HTTP/1.1 ")) return false;
  if (std::from_chars(head.data() + 9, head.data() + 12, status_).ec != std::errc()) return false;
  bool has_length = false;
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const auto eol = head.find("\r\n", at);
    const auto line = head.substr(at, eol - at);
    if (IsNamed(line, "content-length")) {
      const auto digits = line.find_first_of("0123456789");
      if (digits == std::string_view::npos) return false;
      const auto parsed = std::from_chars(line.data() + digits, line.data() + line.size(), length_);
      if (parsed.ec != std::errc()) return false;
      has_length = true;
    } else if (IsNamed(line, "transfer-encoding")) {
      return false;
    }
    at = eol + 2;
  }
  if (status_ == 304 || status_ == 204)
    length_ = 0;  // a length there is that of another answer (RFC 9110 section 8.6)
  return has_length || status_ == 304 || status_ == 204;
}

}  // namespace vr::bench
