#include "worker/recipe.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::OutputFormat;

/// 1-100 onto best..worst, linearly; `by_level` = low, medium, high, auto.
double Quality(const Job& job, double worst, double best, const double (&by_level)[4]) {
  if (job.quality_number != 0) {
    const double q = std::clamp(job.quality_number, 1u, 100u);
    return worst + (best - worst) * (q - 1) / 99;
  }
  switch (job.quality) {
    case Level::kLow:
      return by_level[0];
    case Level::kMedium:
      return by_level[1];
    case Level::kHigh:
      return by_level[2];
    case Level::kAuto:
      break;
  }
  return by_level[3];
}

std::string Version(unsigned v) {
  return std::to_string(v >> 16) + "." + std::to_string(v >> 8 & 255) + "." +
         std::to_string(v & 255);
}

}  // namespace

H264Recipe H264RecipeFor(const Job& job, int width, int height, double fps, int64_t source_bit_rate,
                         double ratio) {
  H264Recipe r;
  r.crf = static_cast<int>(std::lround(Quality(job, 40, 16, {28, 23, 20, 23})));
  switch (job.compression) {
    case Level::kLow:
      r.preset = "superfast";
      break;
    case Level::kHigh:
      r.preset = "fast";
      break;
    case Level::kMedium:
    case Level::kAuto:
      break;
  }
  // A ceiling per pixel for noise and confetti, and one from the source: a poor source is not blown
  // up.
  const double bits_per_pixel = r.crf <= 20 ? 0.5 : r.crf <= 23 ? 0.35 : 0.25;
  double rate = bits_per_pixel * width * height * std::clamp(fps, 10.0, 60.0);
  if (source_bit_rate > 0) {
    rate = std::min(rate, 2.0 * static_cast<double>(source_bit_rate) * std::pow(ratio, 0.75));
  }
  r.max_rate = static_cast<int64_t>(std::clamp(rate, 200e3, 100e6));
  return r;
}

AudioRecipe AudioRecipeFor(const Job& job, int source_rate) {
  AudioRecipe r;
  switch (job.format) {
    case OutputFormat::kWebm:
    case OutputFormat::kOpus:
      r.encoder = "libopus";
      r.codec = "opus";
      r.bit_rate = static_cast<int64_t>(Quality(job, 32e3, 160e3, {64e3, 96e3, 128e3, 96e3}));
      return r;  // libopus works at 48 kHz
    case OutputFormat::kMp3:
      r.encoder = "libmp3lame";
      r.codec = "mp3";
      r.bit_rate = static_cast<int64_t>(Quality(job, 64e3, 320e3, {96e3, 160e3, 224e3, 160e3}));
      break;
    default:
      r.bit_rate = static_cast<int64_t>(Quality(job, 64e3, 192e3, {96e3, 128e3, 160e3, 128e3}));
  }
  r.sample_rate = source_rate > 0 && 44100 % source_rate == 0 ? 44100 : 48000;
  return r;
}

int JpegScale(const Job& job) {
  return static_cast<int>(std::lround(Quality(job, 31, 2, {8, 5, 2, 4})));
}

int PngLevel(const Job& job) {
  switch (job.compression) {
    case Level::kLow:
      return 1;
    case Level::kHigh:
      return 9;
    case Level::kMedium:
    case Level::kAuto:
      break;
  }
  return 4;
}

std::string RecipeId(const std::string& x264_build) {
  return "vr" + std::to_string(kRecipeRevision) + " av" + av_version_info() + " codec" +
         Version(avcodec_version()) + " format" + Version(avformat_version()) + " filter" +
         Version(avfilter_version()) + " scale" + Version(swscale_version()) + " resample" +
         Version(swresample_version()) + " libx264:" + x264_build + " aac mjpeg png";
}

}  // namespace vr::worker
