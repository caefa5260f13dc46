// Journal: what somebody has set out to do with a store, kept so that a crash cannot make it
// forgotten. Written before the first change, taken away after the last; what is left at a start
// was interrupted and has to be done again. Rows are opaque bytes of the caller's. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "io/task.h"

namespace vr::kv {

class Journal {
 public:
  /// Longest row, bytes.
  static constexpr size_t kMaxBytes = 64 << 10;

  struct Row {
    uint64_t id = 0;
    std::string bytes;
  };

  virtual ~Journal() = default;
  /// Survives everything the store survives, once it answers: a killed process, and a power cut in
  /// every durability. @return the row's id
  /// @errors kInvalidArgument (too long), kResourceExhausted, kUnavailable
  virtual io::Task<Result<uint64_t>> Begin(Context ctx, std::string bytes) = 0;
  /// Takes the row away. When it answers, all changes that the store confirmed before the call
  /// survive the same things.
  virtual io::Task<Result<void>> End(Context ctx, uint64_t id) = 0;
  /// Rows that were begun and not ended, in the order of their beginning.
  virtual io::Task<Result<std::vector<Row>>> Pending(Context ctx) = 0;
};

}  // namespace vr::kv
