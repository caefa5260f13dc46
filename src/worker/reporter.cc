#include "worker/reporter.h"

#include <unistd.h>

#include <algorithm>

namespace vr::worker {
namespace {
constexpr auto kInterval = std::chrono::milliseconds(100);
}  // namespace

void Reporter::SetStreamBytes(uint64_t bytes) {
  if (bytes <= now_.stream_bytes) return;
  now_.stream_bytes = bytes;
  Send();
}

void Reporter::SetDone(double done) {
  if (!(done > 0)) return;
  const auto percent = static_cast<uint32_t>(std::min(done, 1.0) * 100);
  now_.percent = std::max(now_.percent, std::min(percent, 99u));
}

void Reporter::SetEstimate(double seconds) {
  if (!(seconds > 0)) return;
  now_.estimated_seconds = seconds;
  Send();
}

void Reporter::Tick() {
  if (std::chrono::steady_clock::now() - last_ >= kInterval) Send();
}

void Reporter::Send() {
  last_ = std::chrono::steady_clock::now();
  // A worker without a server has nobody to work for.
  if (!channel_.Send(now_).ok()) _exit(3);
}

}  // namespace vr::worker
