// The recipe: every choice of ours that decides output bytes, in one place, with a revision that is
// part of each variant's plan digest. Change a number here: raise kRecipeRevision.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transform/protocol/messages.h"

namespace vr::worker {

inline constexpr int kRecipeRevision = 5;

inline constexpr double kKeyframeSeconds = 2;
inline constexpr double kMaxOutputFps = 120;
/// Of the auto quality, for CeilingRate.
inline constexpr double kAutoBitsPerPixel = 0.35;

/// How pictures are encoded.
struct VideoRecipe {
  const char* encoder = "libx264";  ///< libav's name
  const char* codec = "h264";       ///< "h264", "hevc", "vp9", "av1"
  double rate_factor = 0;  ///< constant quality on the encoder's own scale; 0: bit_rate counts
  int64_t bit_rate = 0;    ///< average, bits per second; 0: rate_factor counts
  int64_t max_rate = 0;    ///< over about two seconds, bits per second; 0 = no ceiling
  std::vector<std::pair<std::string, std::string>> options;  ///< the encoder's, by libav's names
  /// Each so many seconds of output are encoded on their own; 0 = all at once.
  double segment_seconds = 0;
};
struct OutputShape {
  int width = 0, height = 0;
  double fps = 30;
  int64_t source_bit_rate = 0;  ///< of the source's video, bits per second; 0 = unknown
  double ratio = 1;             ///< output pixels / source pixels
};
VideoRecipe VideoRecipeFor(const transform::protocol::Job& job, const OutputShape& shape);

/// The encoder's quality scale: where rate factors begin and end, best first.
struct RateFactorRange {
  double best = 0, worst = 0;
};
RateFactorRange RateFactorsOf(transform::protocol::OutputFormat format);

/// Highest sensible rate for pictures of this size, bits per second: above it a source is not
/// copied but made smaller.
int64_t CeilingRate(int width, int height, double fps, double bits_per_pixel);

/// How sound is encoded, always stereo.
struct AudioRecipe {
  const char* encoder = "aac";  ///< libav's name
  const char* codec = "aac";    ///< "aac", "opus", "mp3"
  int sample_rate = 48000;
  int64_t bit_rate = 128'000;
  std::optional<int> effort;    ///< libav's compression_level: Opus 0-10, MP3 9 (quick) - 0
  const char* coder = nullptr;  ///< AAC's aac_coder
  bool keeps_rate = false;      ///< Opus: a bit rate was asked for, not a quality
};
/// By the job's format; `source_rate` in Hz. `job.bit_rate` counts when the job is about sound
/// alone; it is brought within what the encoder can do (MP3: to the nearest legal rate).
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
/// itself, `libraries` the linked encoders with their versions
std::string RecipeId(const std::string& x264_build, const std::vector<std::string>& libraries);

}  // namespace vr::worker
