// Reporter: tells the server that the job moves. At most one Progress per 100 ms, plus one after
// each fragment that became final. Main thread only.
#pragma once

#include <chrono>
#include <cstdint>

#include "worker/channel.h"

namespace vr::worker {

class Reporter {
 public:
  explicit Reporter(Channel& channel) : channel_(channel) {}

  /// Final bytes of the stream output; more than before is told at once.
  void SetStreamBytes(uint64_t bytes);
  void SetStoredBytes(uint64_t bytes) { now_.stored_bytes = bytes; }
  /// @param done 0..1; never makes the percentage smaller
  void SetDone(double done);
  /// Wall time of the whole job, seconds; told at once, before any byte. Once.
  void SetEstimate(double seconds);
  /// Call often: sends when 100 ms have passed.
  void Tick();

 private:
  void Send();

  Channel& channel_;
  transform::protocol::Progress now_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace vr::worker
