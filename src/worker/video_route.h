// Which way a source's video becomes the wanted one: its packets as they are, or decoded and
// encoded again. Decided from facts alone. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "transform/protocol/messages.h"
#include "worker/av.h"
#include "worker/colour.h"
#include "worker/geometry.h"

namespace vr::worker {

/// What the container and its codec parameters tell of the video.
struct VideoFacts {
  AVCodecID codec = AV_CODEC_ID_NONE;
  int profile = FF_PROFILE_UNKNOWN;
  AVPixelFormat pixels = AV_PIX_FMT_NONE;
  SourceShape shape;
  Colour colour;               ///< as ColourOf fills its gaps
  bool is_progressive = true;  ///< or not told
  bool has_alpha = false;
  /// The container orders and times its packets (MP4, Matroska), and has the codec's parameters.
  bool has_exact_packets = false;
  double fps = 30;
  int64_t bit_rate = 0;         ///< bits per second, 0 = unknown
  double duration_seconds = 0;  ///< from the origin on, 0 = unknown
};

struct VideoRoute {
  bool copy = false;
  bool skip_loop_filter = false;  ///< decode: deblocking is invisible at this scale
  std::string why;                ///< for the log: "copied" or what speaks against it
};

/// @param placement where the decoded picture would go
/// Whatever H.264 the source turns out to be, none of its packets will be copied. Needs of `facts`
/// only what a container tells.
bool IsNeverCopied(const transform::protocol::Job& job, VideoFacts facts,
                   const Placement& placement);

VideoRoute VideoRouteFor(const transform::protocol::Job& job, const VideoFacts& facts,
                         const Placement& placement);

/// The whole source is wanted, at its own speed. @param duration of the source, seconds, 0 =
/// unknown
bool IsWhole(const transform::protocol::Job& job, double duration);

}  // namespace vr::worker
