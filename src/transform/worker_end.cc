#include "transform/worker_end.h"

#include <signal.h>
#include <sys/wait.h>

#include <cmath>
#include <utility>

namespace vr::transform {
namespace {

constexpr size_t kMaxText = 300;
constexpr size_t kMaxWarnings = 16;

bool NearlyOutOfMemory(const protocol::Exited& exited, const Options& options) {
  return exited.max_rss_bytes > options.worker_memory / 10 * 8;
}

std::string Clean(std::string_view text) {
  std::string out(text.substr(0, kMaxText));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

Error TooLarge(std::string message, std::string limit, std::string detail) {
  return Error(Code::kResourceExhausted, std::move(message), std::move(detail))
      .WithReason("SOURCE_TOO_LARGE")
      .WithFact("limit", std::move(limit));
}

/// Which limit it was, how much there was, how much may be. Nothing else that a worker says becomes
/// a fact: it has read what strangers wrote.
void AddLimitFacts(Error& error, const std::vector<std::string>& said) {
  constexpr size_t kLongest = 64;
  for (const std::string_view name : {"limit", "value", "allowed"}) {
    for (size_t i = 0; i + 1 < said.size(); i += 2) {
      if (said[i] != name) continue;
      error.facts.emplace_back(name, Clean(std::string_view(said[i + 1]).substr(0, kLongest)));
      break;
    }
  }
}

Error OutOfMemory(std::string detail) {
  return TooLarge("the source takes more memory than a transform may use", "memory",
                  std::move(detail));
}

}  // namespace

std::string_view ToString(Cause cause) {
  switch (cause) {
    case Cause::kDeadline:
      return "deadline";
    case Cause::kNoProgress:
      return "no_progress";
    case Cause::kCpu:
      return "cpu";
    case Cause::kOutputSize:
      return "output_size";
    case Cause::kMemory:
      return "memory";
    case Cause::kCrash:
      return "crash";
    case Cause::kSandbox:
      return "sandbox";
    case Cause::kCancelled:
      return "cancelled";
    case Cause::kProtocol:
      return "protocol";
    case Cause::kZygote:
      return "zygote";
  }
  return "crash";
}

Cause CauseOf(const protocol::Exited& exited, const Options& options) {
  const int status = exited.wait_status;
  if (WIFSIGNALED(status)) {
    switch (WTERMSIG(status)) {
      case SIGXCPU:
        return Cause::kCpu;
      case SIGXFSZ:
        return Cause::kOutputSize;
      case SIGSYS:
        return Cause::kSandbox;
      case SIGKILL:
        // The kernel's way to enforce the hard CPU limit; else the out-of-memory killer or an
        // operator.
        if (exited.cpu_seconds >= static_cast<double>(options.max_cpu.count())) return Cause::kCpu;
        break;
      default:
        break;
    }
  }
  return NearlyOutOfMemory(exited, options) ? Cause::kMemory : Cause::kCrash;
}

std::string DescribeStatus(int wait_status) {
  if (WIFSIGNALED(wait_status)) return "signal " + std::to_string(WTERMSIG(wait_status));
  return "exit " + std::to_string(WEXITSTATUS(wait_status));
}

Error ErrorOf(Cause cause, std::string detail) {
  detail = "worker ended: " + std::string(ToString(cause)) + (detail.empty() ? "" : ", ") + detail;
  switch (cause) {
    case Cause::kDeadline:
    case Cause::kNoProgress:
    case Cause::kCpu:
      return Error(Code::kDeadlineExceeded, "the transform took too long", std::move(detail))
          .WithReason("TRANSFORM_TIMEOUT")
          .WithFact("cause", std::string(ToString(cause)));
    case Cause::kOutputSize:
      return TooLarge("the result is larger than allowed", "output_bytes", std::move(detail));
    case Cause::kMemory:
      return OutOfMemory(std::move(detail));
    case Cause::kCancelled:
      return Error(Code::kCancelled, "the transform was cancelled", std::move(detail));
    case Cause::kCrash:
    case Cause::kSandbox:
    case Cause::kProtocol:
    case Cause::kZygote:
      break;
  }
  return Error(Code::kInternal, "the transform failed", std::move(detail))
      .WithReason("TRANSFORM_FAILED");
}

Error ErrorOf(const protocol::Failed& failed, const protocol::Exited* exited,
              const Options& options) {
  std::string detail = "worker: " + Clean(failed.reason) + ": " + Clean(failed.detail);
  const std::string& reason = failed.reason;
  std::string message = Clean(failed.message);
  if (reason == "SOURCE_TOO_LARGE") {
    Error error =
        Error(Code::kResourceExhausted, std::move(message), std::move(detail)).WithReason(reason);
    AddLimitFacts(error, failed.facts);
    return error;
  }
  if (reason == "TIME_OUT_OF_RANGE" || reason == "INVALID_PARAMETER") {
    return Error(Code::kInvalidArgument, std::move(message), std::move(detail)).WithReason(reason);
  }
  if (reason == "SOURCE_FAILED") {
    // The source itself gave no error, so it was the local file that could not be read.
    return Error(Code::kUnavailable, "the source could not be read", std::move(detail))
        .WithReason("ALL_SOURCES_FAILED");
  }
  if (exited != nullptr && NearlyOutOfMemory(*exited, options))
    return OutOfMemory(std::move(detail));
  if (reason == "SOURCE_UNSUPPORTED") {
    return Error(Code::kUnsupported, std::move(message), std::move(detail)).WithReason(reason);
  }
  if (reason == "SOURCE_CORRUPT") {
    return Error(Code::kCorruption, std::move(message), std::move(detail)).WithReason(reason);
  }
  return Error(Code::kInternal, "the transform failed", std::move(detail))
      .WithReason("TRANSFORM_FAILED");
}

Result<void> CheckDone(protocol::Done& done) {
  for (double number : {done.duration_seconds, done.fps, done.cpu_seconds}) {
    if (!std::isfinite(number) || number < 0) {
      return Error(Code::kCorruption, "a worker message is damaged", "impossible number in Done");
    }
  }
  if (done.stored_bytes == 0) {
    return Error(Code::kCorruption, "a worker message is damaged", "an empty result in Done");
  }
  done.video_codec = Clean(done.video_codec);
  done.audio_codec = Clean(done.audio_codec);
  if (done.warnings.size() > kMaxWarnings) done.warnings.resize(kMaxWarnings);
  for (std::string& warning : done.warnings) warning = Clean(warning);
  return {};
}

}  // namespace vr::transform
