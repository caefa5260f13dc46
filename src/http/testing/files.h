// Bodies from files, for tests of the server over either protocol.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "http/respond.h"

namespace vr::http::testing {

using Answerer = std::function<std::optional<Response>(const Request&)>;

/// Bytes that differ everywhere, so that a part in the wrong place is seen.
inline std::string Noise(size_t size) {
  std::string bytes(size, '\0');
  uint32_t x = 1;
  for (char& c : bytes) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return bytes;
}

/// A file without a name.
inline SharedFd FileOf(const std::string& bytes) {
  const int fd = ::fileno(std::tmpfile());
  VR_CHECK(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  return std::make_shared<const UniqueFd>(fd);
}

/// Serves a file, ranges and conditions included; its validator is "e".
inline Answerer ServesFile(const std::string& bytes) {
  return [fd = FileOf(bytes), size = bytes.size()](const Request& request) {
    Representation r;
    FileBody body;
    body.file = fd;
    body.size = size;
    r.body = body;
    r.content_type = "video/mp4";
    r.etag = "\"e\"";
    return std::optional<Response>(RespondWith(std::move(r), request));
  };
}

/// Promises a byte more than its file has.
inline Answerer ServesShortFile() {
  return [fd = FileOf("0123456789")](const Request&) {
    Response response;
    std::vector<Piece> pieces;
    pieces.push_back(FilePiece{fd, 0, 11});
    response.body = std::move(pieces);
    return std::optional<Response>(std::move(response));
  };
}

}  // namespace vr::http::testing
