// Requests made of text, for tests of what handles them.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "http/parser.h"

namespace vr::http::testing {

/// Parses one complete request; `text` needs no CRLF at line ends ("\n" is made CRLF) and no empty
/// line.
/// @throws std::runtime_error when it is refused or incomplete
inline Request MakeRequest(std::string_view text) {
  std::string wire;
  for (char c : text) {
    if (c == '\n' && !wire.ends_with('\r')) wire += '\r';
    wire += c;
  }
  while (!wire.ends_with("\r\n\r\n")) wire += "\r\n";
  ParseLimits limits;
  RequestParser parser(limits);
  for (size_t done = 0; done < wire.size();) {
    const auto space = parser.Prepare();
    const size_t n = wire.copy(space.data(), space.size(), done);
    parser.Commit(n);
    done += n;
  }
  if (parser.Next() != RequestParser::Step::kReady)
    throw std::runtime_error("not a complete request: " + wire);
  Request request;
  parser.TakeInto(request);
  request.peer_address = "127.0.0.1";
  request.id = "test-request";
  return request;
}

/// GET / with these further lines: "Range: bytes=0-1\nIf-Match: *".
inline Request MakeGet(std::string_view lines = {}) {
  std::string text = "GET / HTTP/1.1\nHost: a\n";
  text += lines;
  return MakeRequest(text);
}

}  // namespace vr::http::testing
