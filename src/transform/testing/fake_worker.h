// What the fake worker (fake_worker/main.cc) does with its job: the value of job.width.
#pragma once

#include <cstdint>

namespace vr::transform::testing {

enum class Behave : uint32_t {
  kSucceed = 0,
  kCrash,            ///< SIGSEGV
  kHang,             ///< never a word
  kExitEarly,        ///< exit 0 without a result
  kGarbage,          ///< bytes that are no frame, then hangs
  kCopySource,       ///< reads the source by Need, gives it as the result
  kFail,             ///< SOURCE_CORRUPT
  kFailAndStay,      ///< says so, and does not exit
  kSucceedAndStay,   ///< Done, and does not exit
  kProgressForEver,  ///< progress each 10 ms, never an end
  kLyingWatermark,   ///< announces bytes that are not in the file
  kLyingResult,      ///< Done over bytes that are not in the file
  kTooMuchOutput,    ///< announces more than is allowed
  kSandbox,          ///< SIGSYS
  kCpu,              ///< SIGXCPU
  kFileSize,         ///< SIGXFSZ
  kKillParent,       ///< kill -9 of the zygote
  kStopParent,       ///< SIGSTOP of the zygote: it answers no more
  kFloodNeeds,       ///< a hundred Needs at once
  kEstimate,         ///< says once how long it takes, then a hundred times how far it is
  kDescribe,         ///< the result is its descriptors, limits and environment
};

}  // namespace vr::transform::testing
