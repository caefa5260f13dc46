// The recipe: every choice of ours that decides output bytes, in one place, with a revision that is
// part of each variant's plan digest. Change a number here: raise kRecipeRevision.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "transform/protocol/messages.h"

namespace vr::worker {

inline constexpr int kRecipeRevision = 2;

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

/// How a still JPEG is encoded: 4:2:0, baseline.
struct JpegRecipe {
  int quality = 82;           ///< 1-100, scales the tables of ITU-T T.81 annex K as usual
  bool optimal_codes = true;  ///< Huffman codes made for this picture: a seventh smaller
};
JpegRecipe JpegRecipeFor(const transform::protocol::Job& job);
/// The 64 quantisers of a JPEG of this quality, row by row, 1-255.
std::array<uint16_t, 64> JpegTable(int quality, bool chroma);

/// PNG loses nothing: quality has no meaning.
struct PngRecipe {
  int level = 4;  ///< zlib's
  const char* prediction = "mixed";
};
PngRecipe PngRecipeFor(const transform::protocol::Job& job);

/// Still and moving WebP, lossy.
struct WebpRecipe {
  float quality = 75;  ///< libwebp's, 0-100
  int method = 4;      ///< libwebp's, 0-6
};
WebpRecipe WebpRecipeFor(const transform::protocol::Job& job);

/// A GIF's colours, one of them transparent, and how those between them are imitated.
struct GifRecipe {
  int colours = 256;
  const char* dither = "dither=bayer:bayer_scale=3";  ///< libavfilter's paletteuse
};
GifRecipe GifRecipeFor(const transform::protocol::Job& job);

inline constexpr double kAnimationFps = 15;  ///< when none is asked for; never more than the source
inline constexpr double kMaxGifFps = 50;     ///< viewers show shorter delays as 100 ms
/// Frames per second of a GIF or WebP. @param source_fps average
double AnimationFpsFor(const transform::protocol::Job& job, double source_fps);

/// Hello.recipe: revision, library versions, encoder builds. @param x264_build as the encoder names
/// itself
std::string RecipeId(const std::string& x264_build);

}  // namespace vr::worker
