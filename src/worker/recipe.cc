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
#include <cstdio>
#include <string_view>

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::Operation;
using transform::protocol::OutputFormat;

/// SVT-AV1 encodes nothing smaller.
constexpr int kSvtMinSide = 64;

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

/// The nearest of MPEG-1 layer III's.
int64_t LegalMp3Rate(int64_t bit_rate) {
  int64_t best = 320'000;
  for (const int64_t k : {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}) {
    if (std::abs(k * 1000 - bit_rate) < std::abs(best - bit_rate)) best = k * 1000;
  }
  return best;
}

std::string Version(unsigned v) {
  return std::to_string(v >> 16) + "." + std::to_string(v >> 8 & 255) + "." +
         std::to_string(v & 255);
}

}  // namespace

namespace {

/// low, medium, high, auto of one encoder, and its ends for 1 and 100.
struct QualityScale {
  double worst, best;
  double by_level[4];
};

QualityScale ScaleOf(OutputFormat format) {
  switch (format) {
    case OutputFormat::kWebm:
      return {60, 20, {44, 36, 30, 36}};
    case OutputFormat::kHevc:
      return {44, 18, {31, 26, 22, 26}};
    case OutputFormat::kAv1:
      return {60, 24, {50, 42, 32, 42}};
    default:
      return {40, 16, {28, 23, 20, 23}};
  }
}

/// low, medium, high, auto.
const char* Effort(const Job& job, const char* const (&by_level)[4]) {
  return by_level[static_cast<size_t>(job.compression) - 1];
}

void SetX264(const Job& job, VideoRecipe& r) {
  r.options = {{"preset", Effort(job, {"superfast", "veryfast", "fast", "veryfast"})},
               {"profile", "high"},
               {"forced-idr", "1"}};
}

void SetX265(const Job& job, VideoRecipe& r) {
  r.encoder = "libx265";
  r.codec = "hevc";
  r.options = {
      {"preset", Effort(job, {"ultrafast", "superfast", "fast", "superfast"})},
      {"forced-idr", "1"},
      {"x265-params", "log-level=none:pools=none:frame-threads=1:wpp=0:open-gop=0:info=0"}};
}

void SetVp9(const Job& job, VideoRecipe& r) {
  r.encoder = "libvpx-vp9";
  r.codec = "vp9";
  // The offline encoder costs eight times as much for 15 % fewer bits.
  r.options = {{"deadline", "realtime"},
               {"cpu-used", Effort(job, {"8", "6", "5", "6"})},
               {"row-mt", "0"},
               {"auto-alt-ref", "0"},
               {"lag-in-frames", "0"}};
}

void SetAv1(const Job& job, const OutputShape& shape, VideoRecipe& r) {
  r.codec = "av1";
  if (shape.width < kSvtMinSide || shape.height < kSvtMinSide) {
    r.encoder = "libaom-av1";
    r.options = {{"usage", "realtime"},
                 {"cpu-used", Effort(job, {"8", "7", "6", "8"})},
                 {"row-mt", "0"},
                 {"lag-in-frames", "0"}};
    return;
  }
  r.encoder = "libsvtav1";
  // lp: its threads do not change the bytes, and a job shall keep to about one core.
  r.options = {{"preset", Effort(job, {"12", "10", "8", "11"})}, {"svtav1-params", "lp=1"}};
}

/// Long enough that a second encoder's start does not count, and for x264 and x265 that a ceiling
/// which is begun anew does not either; short enough that pictures waiting for theirs fit in
/// memory.
double SegmentSecondsFor(const Job& job, const VideoRecipe& r) {
  // An average over the whole is nothing that a part can keep.
  if (!job.segments || job.bit_rate > 0) return 0;
  const std::string_view encoder = r.encoder;
  // SVT-AV1 waits for ever when one of its many threads cannot be started, which two encoders in
  // several workers come to; and it gained the least. libaom makes tiny pictures only.
  if (job.format == OutputFormat::kAv1) return 0;
  return encoder == "libvpx-vp9" ? kKeyframeSeconds : 2 * kKeyframeSeconds;
}

}  // namespace

RateFactorRange RateFactorsOf(OutputFormat format) {
  const QualityScale scale = ScaleOf(format);
  return {scale.best, scale.worst};
}

int64_t CeilingRate(int width, int height, double fps, double bits_per_pixel) {
  return static_cast<int64_t>(bits_per_pixel * width * height * std::clamp(fps, 10.0, 60.0));
}

VideoRecipe VideoRecipeFor(const Job& job, const OutputShape& shape) {
  VideoRecipe r;
  switch (job.format) {
    case OutputFormat::kWebm:
      SetVp9(job, r);
      break;
    case OutputFormat::kHevc:
      SetX265(job, r);
      break;
    case OutputFormat::kAv1:
      SetAv1(job, shape, r);
      break;
    default:
      SetX264(job, r);
  }
  r.segment_seconds = SegmentSecondsFor(job, r);
  // SVT-AV1 takes a ceiling only with a target, libvpx only as one.
  const bool takes_ceiling = job.format == OutputFormat::kMp4 || job.format == OutputFormat::kHevc;
  if (job.bit_rate > 0) {
    r.bit_rate = static_cast<int64_t>(std::clamp<uint64_t>(job.bit_rate, 10'000, 200'000'000));
    if (takes_ceiling) r.max_rate = r.bit_rate + r.bit_rate / 2;
    if (job.format == OutputFormat::kAv1 && std::string_view(r.encoder) == "libsvtav1") {
      r.options.back().second += ":rc=1";
    }
    return r;
  }
  const QualityScale scale = ScaleOf(job.format);
  r.rate_factor = job.known_rate_factor > 0
                      ? std::clamp(job.known_rate_factor, scale.best, scale.worst)
                      : std::round(Quality(job, scale.worst, scale.best, scale.by_level));
  char text[16];
  // Fractions where the encoder knows them.
  std::snprintf(text, sizeof text, takes_ceiling ? "%.2f" : "%.0f", r.rate_factor);
  r.options.emplace_back("crf", text);
  if (!takes_ceiling) return r;
  // A ceiling per pixel for noise and confetti, and one from the source: a poor source is not blown
  // up.
  const double level = (r.rate_factor - scale.best) / (scale.worst - scale.best);
  const double bits_per_pixel = level <= 0.17 ? 0.5 : level <= 0.31 ? kAutoBitsPerPixel : 0.25;
  auto rate =
      static_cast<double>(CeilingRate(shape.width, shape.height, shape.fps, bits_per_pixel));
  if (shape.source_bit_rate > 0) {
    rate = std::min(rate,
                    2.0 * static_cast<double>(shape.source_bit_rate) * std::pow(shape.ratio, 0.75));
  }
  r.max_rate = static_cast<int64_t>(std::clamp(rate, 200e3, 100e6));
  return r;
}

AudioRecipe AudioRecipeFor(const Job& job, int source_rate) {
  AudioRecipe r;
  const auto rate = [&job](double worst, double best, const double(&by_level)[4], int64_t low,
                           int64_t high) {
    const bool asked = job.operation == Operation::kAudio && job.bit_rate > 0;
    const auto bits = asked ? static_cast<int64_t>(std::min<uint64_t>(job.bit_rate, 1u << 30))
                            : std::llround(Quality(job, worst, best, by_level));
    return std::clamp<int64_t>(bits, low, high);
  };
  const bool quick = job.compression == Level::kLow, slow = job.compression == Level::kHigh;
  switch (job.format) {
    case OutputFormat::kWebm:
    case OutputFormat::kOpus:
      r.encoder = "libopus";
      r.codec = "opus";
      r.bit_rate = rate(32e3, 160e3, {64e3, 96e3, 128e3, 96e3}, 6'000, 510'000);
      r.keeps_rate = job.operation == Operation::kAudio && job.bit_rate > 0;
      r.effort = quick ? 2 : job.compression == Level::kMedium ? 8 : 10;
      return r;  // libopus works at 48 kHz
    case OutputFormat::kMp3:
      r.encoder = "libmp3lame";
      r.codec = "mp3";
      r.bit_rate = LegalMp3Rate(rate(64e3, 320e3, {96e3, 160e3, 224e3, 160e3}, 32'000, 320'000));
      r.effort = quick ? 7 : slow ? 0 : 3;
      break;
    default:
      r.bit_rate = rate(64e3, 192e3, {96e3, 128e3, 160e3, 128e3}, 32'000, 512'000);
      r.coder = quick ? "fast" : "twoloop";
  }
  const bool is_cd_family =
      source_rate > 0 && (44100 % source_rate == 0 || source_rate % 44100 == 0);
  r.sample_rate = is_cd_family ? 44100 : 48000;
  return r;
}

JpegRecipe JpegRecipeFor(const Job& job) {
  return {static_cast<int>(std::lround(Quality(job, 1, 100, {55, 75, 92, 82}))),
          job.compression != Level::kLow};
}

std::array<uint16_t, 64> JpegTable(int quality, bool chroma) {
  // ITU-T T.81, tables K.1 and K.2.
  static constexpr std::array<uint8_t, 64> kLuma{
      16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
      14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
      18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
      49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
  static constexpr std::array<uint8_t, 64> kChroma{
      17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
      99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
      99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};
  const int q = std::clamp(quality, 1, 100);
  // The customary scale: 50 is the table itself, 100 is all ones.
  const int percent = q < 50 ? 5000 / q : 200 - 2 * q;
  std::array<uint16_t, 64> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    const int value = ((chroma ? kChroma : kLuma)[i] * percent + 50) / 100;
    table[i] = static_cast<uint16_t>(std::clamp(value, 1, 255));
  }
  return table;
}

PngRecipe PngRecipeFor(const Job& job) {
  switch (job.compression) {
    case Level::kLow:
      return {1, "sub"};
    case Level::kHigh:
      return {9, "mixed"};
    case Level::kMedium:
    case Level::kAuto:
      break;
  }
  return {};
}

WebpRecipe WebpRecipeFor(const Job& job) {
  WebpRecipe r;
  r.quality = static_cast<float>(Quality(job, 1, 100, {50, 70, 88, 75}));
  switch (job.compression) {
    case Level::kLow:
      r.method = 1;
      break;
    case Level::kHigh:
      r.method = 5;  // 6 takes ten times as long for 2 % fewer bytes of an animation
      break;
    case Level::kMedium:
    case Level::kAuto:
      break;
  }
  return r;
}

GifRecipe GifRecipeFor(const Job& job) {
  GifRecipe r;
  r.colours = static_cast<int>(std::lround(Quality(job, 16, 256, {64, 128, 256, 256})));
  switch (job.compression) {
    case Level::kLow:
      r.dither = "dither=none";
      break;
    case Level::kHigh:
      r.dither = "dither=sierra2_4a:diff_mode=rectangle";
      break;
    case Level::kMedium:
    case Level::kAuto:
      break;
  }
  return r;
}

double AnimationFpsFor(const Job& job, double source_fps) {
  const double fps = job.fps > 0 ? job.fps : std::min(source_fps, kAnimationFps);
  return std::clamp(fps, 0.1, job.format == OutputFormat::kGif ? kMaxGifFps : kMaxOutputFps);
}

std::string RecipeId(const std::string& x264_build, const std::vector<std::string>& libraries) {
  std::string encoders;
  for (const std::string& name : libraries) encoders += ' ' + name;
  return "vr" + std::to_string(kRecipeRevision) + " av" + av_version_info() + " codec" +
         Version(avcodec_version()) + " format" + Version(avformat_version()) + " filter" +
         Version(avfilter_version()) + " scale" + Version(swscale_version()) + " resample" +
         Version(swresample_version()) + " libx264:" + x264_build + encoders;
}

}  // namespace vr::worker
