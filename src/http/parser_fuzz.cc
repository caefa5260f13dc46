// Fuzz target: the request parser and everything that reads what it lets through. Whole and in
// small pieces the outcome must be the same; accepted requests keep the parser's promises.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/check.h"
#include "http/ascii.h"
#include "http/parser.h"
#include "http/respond.h"
#include "http/url.h"

namespace {

using namespace vr::http;  // NOLINT: a fuzz target is its own world

std::string Read(std::string_view wire, size_t step) {
  ParseLimits limits;
  limits.max_head_bytes = 2048;
  limits.max_target_bytes = 512;
  limits.max_body_bytes = 1024;
  limits.max_fields = 16;
  RequestParser parser(limits);
  Request request;
  std::string log;
  size_t done = 0;
  for (;;) {
    const auto next = parser.Next();
    if (next == RequestParser::Step::kContinue) continue;
    if (next == RequestParser::Step::kError) {
      log += " " + std::to_string(parser.error().status);
      parser.TakeInto(request);  // what a refused request shows must be readable too
      for (const Field& f : request.fields) log.append(f.name).append(f.value);
      return log;
    }
    if (next == RequestParser::Step::kReady) {
      parser.TakeInto(request);
      VR_CHECK(!request.target.empty() && (request.target[0] == '/' || request.target == "*"));
      VR_CHECK(request.body.size() <= limits.max_body_bytes);
      VR_CHECK(request.fields.size() <= limits.max_fields);
      log.append(request.method_name)
          .append(request.path)
          .append("?")
          .append(request.query)
          .append(request.body);
      for (const Field& f : request.fields) {
        VR_CHECK(IsToken(f.name) && IsFieldValue(f.value));
        log.append(f.name).append(f.value);
      }
      (void)PercentDecode(request.path);
      (void)SplitQuery(request.query);
      Representation representation;
      representation.body = std::make_shared<const std::string>(100, 'x');
      representation.etag = "\"e\"";
      representation.last_modified = vr::FromUnixMillis(1000);
      log += std::to_string(RespondWith(std::move(representation), request).status);
      parser.Recycle(request);
      continue;
    }
    VR_CHECK(parser.input_size() <= 4096);
    if (done == wire.size()) return log;
    const auto space = parser.Prepare();
    VR_CHECK(!space.empty());
    const size_t n = std::min({space.size(), step, wire.size() - done});
    std::memcpy(space.data(), wire.data() + done, n);
    parser.Commit(n);
    done += n;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view wire(reinterpret_cast<const char*>(data) + 1, size - 1);
  VR_CHECK(Read(wire, wire.size() + 1) == Read(wire, 1 + data[0] % 16));
  return 0;
}
