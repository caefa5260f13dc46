// What making a variant costs, measured on this project's machine (two cores of an EPYC, Zen 3):
// for the planner, which knows what is asked for, and for the worker, which also knows the source.
// Pure numbers; seconds of one core.
#pragma once

#include "transform/protocol/messages.h"

namespace vr::transform::protocol {

/// Of a pixel that comes out. Scaling included, sound not.
constexpr double EncodeSecondsPerPixel(OutputFormat format) {
  switch (format) {
    case OutputFormat::kWebm:
      return 39e-9;
    case OutputFormat::kHevc:
      return 90e-9;
    case OutputFormat::kAv1:
      return 60e-9;
    case OutputFormat::kGif:
    case OutputFormat::kWebp:
      return 150e-9;
    default:
      return 20e-9;
  }
}

/// Of a pixel that goes in, when nothing is known of the source: usual H.264.
inline constexpr double kDecodeSecondsPerPixel = 6e-9;
/// With the source known: per pixel, per bit of its coded pictures, and no more than this per
/// pixel.
inline constexpr double kDecodeSecondsPerPixelLeast = 1.5e-9;
inline constexpr double kDecodeSecondsPerPixelMost = 8e-9;
inline constexpr double kDecodeSecondsPerBit = 28e-9;

/// Bytes that are only moved.
inline constexpr double kCopiedBytesPerSecond = 300e6;
/// Sound is encoded so many times faster than it plays.
inline constexpr double kSoundSecondsPerSecond = 150;

}  // namespace vr::transform::protocol
