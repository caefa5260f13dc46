// Trace: who asked for what and when, as far as a cache's capacity is concerned; and its readers.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace vr::capacity {

struct TraceRequest {
  int64_t time_ms = 0;
  uint64_t id = 0;
  uint64_t bytes = 0;
  double cost_seconds = 0;
};

struct Trace {
  std::vector<TraceRequest> requests;
  uint64_t skipped = 0;   ///< lines that are no request for an entry, or for one of unknown size
  bool has_cost = false;  ///< else every miss is taken to cost one second
  /// What the trace calls each id: keys of a log. Empty unless asked for.
  std::unordered_map<uint64_t, std::string> names;
};

enum class TraceFormat {
  kAuto,  ///< by the first line: `{` begins a log
  kLog,   ///< the server's access log: lines of event "request" with key, entity_bytes, encode_ms
  kCsv,   ///< timestamp in seconds, id, size in bytes[, cost in seconds]; a header line may precede
};

/// Every request counts with the bytes and the cost its entry had at that time. The log tells both
/// only of an answer made of an entry: where it does not (a streamed production), they are those of
/// the next line with that key, else of the one before, else of this line itself (bytes sent, and
/// milliseconds for CPU time) when it was sent whole.
/// @errors kInvalidArgument: names line and field
Result<Trace> ReadTrace(std::istream& in, TraceFormat format, bool keep_names = false);

/// As CSV with a header line. Ids in decimal, times with three decimals.
void WriteTrace(std::ostream& out, const std::vector<TraceRequest>& requests);

}  // namespace vr::capacity
