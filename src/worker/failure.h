// The few ways a job can fail, as Errors whose reason is the API code of docs/http.md.
#pragma once

#include <string>
#include <utility>

#include "base/error.h"
#include "worker/av.h"

namespace vr::worker {

inline Error Unsupported(std::string message, std::string detail = {}) {
  return Error(Code::kUnsupported, std::move(message), std::move(detail))
      .WithReason("SOURCE_UNSUPPORTED");
}
inline Error Corrupt(std::string message, std::string detail = {}) {
  return Error(Code::kCorruption, std::move(message), std::move(detail))
      .WithReason("SOURCE_CORRUPT");
}
inline Error TooLarge(std::string message, std::string detail = {}) {
  return Error(Code::kResourceExhausted, std::move(message), std::move(detail))
      .WithReason("SOURCE_TOO_LARGE");
}
inline Error OutOfRange(std::string message, std::string detail = {}) {
  return Error(Code::kInvalidArgument, std::move(message), std::move(detail))
      .WithReason("TIME_OUT_OF_RANGE");
}
inline Error SourceBroken(std::string detail) {
  return Error(Code::kUnavailable, "the source could not be read", std::move(detail))
      .WithReason("SOURCE_FAILED");
}
/// Our own fault or the machine's.
inline Error TransformFailed(std::string message, std::string detail = {}) {
  return Error(Code::kInternal, std::move(message), std::move(detail))
      .WithReason("TRANSFORM_FAILED");
}
inline Error EngineError(const char* where, int code) {
  return TransformFailed(
      code == AVERROR(ENOMEM) ? "the transform ran out of memory" : "the transform failed",
      std::string(where) + ": " + AvError(code));
}

}  // namespace vr::worker
