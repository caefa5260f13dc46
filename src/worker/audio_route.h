// Which way a source's sound becomes the wanted one: its packets as they are, or decoded and
// encoded again. Decided from facts alone. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "transform/protocol/messages.h"
#include "worker/av.h"

namespace vr::worker {

/// What the container and its codec parameters tell of the sound.
struct AudioFacts {
  AVCodecID codec = AV_CODEC_ID_NONE;
  int profile = FF_PROFILE_UNKNOWN;
  int channels = 0;
  int sample_rate = 0;   ///< Hz
  int64_t bit_rate = 0;  ///< bits per second, 0 = unknown
  /// Begins this long after the source's time 0, seconds.
  double late_seconds = 0;
  double duration_seconds = 0;  ///< of the source, 0 = unknown
};

struct AudioRoute {
  bool copy = false;
  std::string why;  ///< for the log: "copied" or what speaks against it
};

/// For the sound alone (Operation::kAudio) or that of a video. A wish for quality or a bit rate is
/// a wish for encoding; effort alone is not.
AudioRoute AudioRouteFor(const transform::protocol::Job& job, const AudioFacts& facts);

/// @param origin the source's time 0, microseconds of the container; `duration` of it in seconds, 0
/// = unknown
AudioFacts AudioFactsOf(const AVStream& stream, int64_t origin, double duration);

}  // namespace vr::worker
