// The recipe: every choice of ours that decides output bytes, in one place, with a revision that is
// part of each variant's plan digest. Change a number here: raise kRecipeRevision.
#pragma once

#include <cstdint>
#include <string>

#include "transform/protocol/messages.h"

namespace vr::worker {

inline constexpr int kRecipeRevision = 1;

inline constexpr double kKeyframeSeconds = 2;
inline constexpr double kMaxOutputFps = 120;

struct H264Recipe {
  int crf = 23;
  const char* preset = "veryfast";
  /// Highest rate, bits per second, over about two seconds.
  int64_t max_rate = 0;
};
/// @param source_bit_rate of the source's video, 0 = unknown; `ratio` = output pixels / source
/// pixels
H264Recipe H264RecipeFor(const transform::protocol::Job& job, int width, int height, double fps,
                         int64_t source_bit_rate, double ratio);

/// How sound is encoded, always stereo.
struct AudioRecipe {
  const char* encoder = "aac";  ///< libav's name
  const char* codec = "aac";    ///< "aac", "opus", "mp3"
  int sample_rate = 48000;
  int64_t bit_rate = 128'000;
};
/// By the job's format; `source_rate` in Hz.
AudioRecipe AudioRecipeFor(const transform::protocol::Job& job, int source_rate);

/// libav's quantiser scale for JPEG, 2 (best) .. 31.
int JpegScale(const transform::protocol::Job& job);
/// zlib level for PNG.
int PngLevel(const transform::protocol::Job& job);

/// Hello.recipe: revision, library versions, encoder builds. @param x264_build as the encoder names
/// itself
std::string RecipeId(const std::string& x264_build);

}  // namespace vr::worker
