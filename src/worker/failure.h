// The few ways a job can fail, as Errors whose reason is the API code of docs/http.md.
#pragma once

#include <cstdint>
#include <cstdlib>
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
/// The source is over a limit of the operator's. `limit` names it as docs/access.md does.
inline Error OverLimit(std::string message, std::string limit, std::string value, uint64_t allowed,
                       std::string detail = {}) {
  return TooLarge(std::move(message), std::move(detail))
      .WithFact("limit", std::move(limit))
      .WithFact("value", std::move(value))
      .WithFact("allowed", std::to_string(allowed));
}
/// For what was not counted to its end.
inline std::string MoreThan(uint64_t count) {
  return "more than " + std::to_string(count);
}
inline Error TooManyPixels(int64_t width, int64_t height, uint64_t allowed) {
  return OverLimit("the source has too many pixels", "pixels", std::to_string(width * height),
                   allowed, std::to_string(width) + "x" + std::to_string(height));
}
inline Error OutOfRange(std::string message, std::string detail = {}) {
  return Error(Code::kInvalidArgument, std::move(message), std::move(detail))
      .WithReason("TIME_OUT_OF_RANGE");
}
/// What was asked does not fit this source. The message names the parameter and what is allowed.
inline Error InvalidParameter(std::string message) {
  return Error(Code::kInvalidArgument, std::move(message)).WithReason("INVALID_PARAMETER");
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

/// Is memory really short, or did a damaged source only claim an absurd size? libav says ENOMEM to
/// both.
inline bool MemoryIsShort() {
  constexpr size_t kAmple = 96u << 20;         // no honest allocation of ours is larger
  void* volatile probe = std::malloc(kAmple);  // volatile: the pair would be optimised away
  const bool is_short = probe == nullptr;
  std::free(probe);
  return is_short;
}
/// libav's answer to a piece of the source was that our memory does not suffice, and it was right.
inline bool IsShortage(int code) {
  return code == AVERROR(ENOMEM) && MemoryIsShort();
}

}  // namespace vr::worker
