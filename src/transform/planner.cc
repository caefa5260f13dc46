#include "transform/planner.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <utility>

#include "transform/protocol/costs.h"
#include "variant/key.h"
#include "variant/media_url.h"

namespace vr::transform {
namespace {

using variant::Format;
using variant::MediaOptions;
using variant::Mode;

/// A tile's box when no size is asked for, pixels.
constexpr uint32_t kTileSide = 320;

std::string ExtensionOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos || dot + 1 == path.size()) return {};
  std::string extension(path.substr(dot + 1));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

Result<void> CheckSize(std::string_view parameter, const std::optional<uint32_t>& value,
                       uint32_t max) {
  if (!value || (*value >= 1 && *value <= max)) return {};
  return Error(Code::kInvalidArgument, "parameter '" + std::string(parameter) + "' = '" +
                                           std::to_string(*value) +
                                           "' is out of range; allowed: 1-" + std::to_string(max))
      .WithReason("INVALID_PARAMETER");
}

protocol::Fit FitOf(variant::Fit fit) {
  switch (fit) {
    case variant::Fit::kContain:
      return protocol::Fit::kContain;
    case variant::Fit::kScaleDown:
      return protocol::Fit::kScaleDown;
    case variant::Fit::kCover:
      return protocol::Fit::kCover;
    case variant::Fit::kPad:
      return protocol::Fit::kPad;
  }
  return protocol::Fit::kContain;
}

protocol::Level LevelOf(variant::Level level) {
  switch (level) {
    case variant::Level::kLow:
      return protocol::Level::kLow;
    case variant::Level::kMedium:
      return protocol::Level::kMedium;
    case variant::Level::kHigh:
      return protocol::Level::kHigh;
    case variant::Level::kAuto:
      return protocol::Level::kAuto;
  }
  return protocol::Level::kAuto;
}

protocol::OutputFormat FormatOf(Format format) {
  switch (format) {
    case Format::kMp4:
    case Format::kAuto:
      return protocol::OutputFormat::kMp4;
    case Format::kWebm:
      return protocol::OutputFormat::kWebm;
    case Format::kH265:
      return protocol::OutputFormat::kHevc;
    case Format::kAv1:
      return protocol::OutputFormat::kAv1;
    case Format::kGif:
      return protocol::OutputFormat::kGif;
    case Format::kWebp:
      return protocol::OutputFormat::kWebp;
    case Format::kJpg:
      return protocol::OutputFormat::kJpeg;
    case Format::kPng:
      return protocol::OutputFormat::kPng;
    case Format::kM4a:
      return protocol::OutputFormat::kM4a;
    case Format::kMp3:
      return protocol::OutputFormat::kMp3;
    case Format::kOpus:
      return protocol::OutputFormat::kOpus;
    case Format::kVtt:
      return protocol::OutputFormat::kVtt;
    case Format::kJson:
      return protocol::OutputFormat::kJson;
  }
  return protocol::OutputFormat::kMp4;
}

protocol::Operation OperationOf(Mode mode, Format format) {
  switch (mode) {
    case Mode::kVideo:
      return format == Format::kGif || format == Format::kWebp ? protocol::Operation::kAnimation
                                                               : protocol::Operation::kVideo;
    case Mode::kFrame:
      return protocol::Operation::kFrame;
    case Mode::kSpritesheet:
      return protocol::Operation::kSheet;
    case Mode::kAudio:
      return protocol::Operation::kAudio;
    case Mode::kInfo:
      return protocol::Operation::kInfo;
  }
  return protocol::Operation::kVideo;
}

double CostHint(const protocol::Job& job) {
  constexpr double kSourcePixels = 1280.0 * 720.0;
  constexpr double kFramesPerSecond = 30;
  constexpr double kUnknownSeconds = 60;
  constexpr double kFramesToSeek = 30;  // half a usual group of pictures
  const double wanted =
      static_cast<double>(job.width.value_or(1280)) * static_cast<double>(job.height.value_or(720));
  const double seconds = job.duration_seconds.value_or(kUnknownSeconds);
  const double decode = kSourcePixels * protocol::kDecodeSecondsPerPixel;
  const double picture = decode + wanted * protocol::EncodeSecondsPerPixel(job.format);
  switch (job.operation) {
    case protocol::Operation::kFrame:
      return kFramesToSeek * decode + wanted * protocol::EncodeSecondsPerPixel(job.format);
    case protocol::Operation::kSheet:
      return job.format == protocol::OutputFormat::kVtt ? 0.05 : job.sheet.count * picture;
    case protocol::Operation::kAudio:
      return seconds / protocol::kSoundSecondsPerSecond;
    case protocol::Operation::kInfo:
      return 0.05;
    case protocol::Operation::kVideo:
    case protocol::Operation::kAnimation:
      break;
  }
  return kFramesPerSecond * seconds * picture;
}

/// The URL, relative to the WebVTT's own, of the sheet whose tiles it names.
std::string LinkToSheet(const variant::VariantRequest& request) {
  const std::string& path = request.source_path;
  std::string link;
  variant::AppendEncoded(link, std::string_view(path).substr(path.rfind('/') + 1));
  link += "?mode=spritesheet";
  const MediaOptions& o = request.resolved;
  const auto add = [&link](std::string_view name, const std::string& value) {
    link += '&';
    link += name;
    link += '=';
    link += value;
  };
  const auto time = [](variant::Time t) {
    char text[40];
    std::snprintf(text, sizeof text, "%.6fs", variant::ToSeconds(t));
    return std::string(text);
  };
  if (o.width) add("width", std::to_string(*o.width));
  if (o.height) add("height", std::to_string(*o.height));
  if (o.fit) add("fit", std::string(variant::ToString(*o.fit)));
  if (o.time) add("time", time(*o.time));
  if (o.duration) add("duration", time(*o.duration));
  if (o.rotate) {
    char degrees[32];
    std::snprintf(degrees, sizeof degrees, "%.6f", o.rotate->value());
    add("rotate", degrees);
  }
  if (o.crop) {
    const variant::Crop& c = *o.crop;
    add("crop", std::to_string(c.width) + ":" + std::to_string(c.height) + ":" +
                    std::to_string(c.x) + ":" + std::to_string(c.y));
  }
  if (o.image_count) add("imageCount", std::to_string(*o.image_count));
  if (o.columns) add("columns", std::to_string(*o.columns));
  if (o.rows) add("rows", std::to_string(*o.rows));
  if (o.interval) add("interval", time(*o.interval));
  return link;
}

void PlanSheet(const variant::VariantRequest& request, protocol::Job& job) {
  const MediaOptions& asked = request.resolved;
  protocol::SheetGrid& sheet = job.sheet;
  sheet.columns = asked.columns;
  sheet.rows = asked.rows;
  if (asked.image_count) {
    sheet.count = *asked.image_count;
  } else if (asked.columns && asked.rows) {
    sheet.count = *asked.columns * *asked.rows;
  }
  if (asked.interval) sheet.interval_seconds = variant::ToSeconds(*asked.interval);
  // With an interval and no count the source's length decides how many there are.
  if (asked.interval && !asked.image_count && !(asked.columns && asked.rows)) sheet.count = 0;
  if (!job.width && !job.height) {
    job.width = job.height = kTileSide;
    job.fit = protocol::Fit::kScaleDown;
  }
  if (job.format == protocol::OutputFormat::kVtt) job.link = LinkToSheet(request);
}

protocol::Limits LimitsOf(const Options& options) {
  const double max_seconds = std::chrono::duration<double>(options.max_duration).count();
  protocol::Limits limits;
  limits.max_pixels = options.max_pixels;
  limits.max_source_seconds = max_seconds;
  limits.max_output_seconds = max_seconds;
  limits.max_output_bytes = options.max_output_bytes;
  limits.max_streams = options.max_streams;
  limits.max_frames = options.max_frames;
  limits.max_animation_pixels = options.max_animation_pixels;
  return limits;
}

bool IsQualityAuto(const MediaOptions& asked) {
  return asked.quality.value_or(variant::Quality()) == variant::Quality();
}

/// Whether the quality is solved for a similarity.
bool SolvesQuality(const variant::VariantRequest& request, const Options& options) {
  return options.target_ssim > 0 && !request.is_original() &&
         OperationOf(request.mode, request.format()) == protocol::Operation::kVideo &&
         IsQualityAuto(request.resolved) && !request.resolved.bitrate;
}

/// Whether a long result is encoded in segments. Not at a bit rate, which is an average over the
/// whole, and not in AV1 (worker/recipe.cc says why).
bool EncodesSegments(const variant::VariantRequest& request, const Options& options) {
  return options.segments && !request.is_original() &&
         OperationOf(request.mode, request.format()) == protocol::Operation::kVideo &&
         request.format() != variant::Format::kAv1 && !request.resolved.bitrate;
}

}  // namespace

std::string_view ContentTypeOfOriginal(std::string_view path) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 30> kTypes{{
      {"mp4", "video/mp4"},       {"m4v", "video/x-m4v"},    {"webm", "video/webm"},
      {"mov", "video/quicktime"}, {"qt", "video/quicktime"}, {"mkv", "video/x-matroska"},
      {"avi", "video/x-msvideo"}, {"3gp", "video/3gpp"},     {"3g2", "video/3gpp2"},
      {"ogv", "video/ogg"},       {"ogg", "video/ogg"},      {"ts", "video/mp2t"},
      {"mts", "video/mp2t"},      {"m2ts", "video/mp2t"},    {"flv", "video/x-flv"},
      {"mpeg", "video/mpeg"},     {"mpg", "video/mpeg"},     {"wmv", "video/x-ms-wmv"},
      {"asf", "video/x-ms-asf"},  {"gif", "image/gif"},      {"webp", "image/webp"},
      {"jpg", "image/jpeg"},      {"jpeg", "image/jpeg"},    {"png", "image/png"},
      {"m4a", "audio/mp4"},       {"mp3", "audio/mpeg"},     {"aac", "audio/aac"},
      {"wav", "audio/wav"},       {"flac", "audio/flac"},    {"opus", "audio/ogg"},
  }};
  const std::string extension = ExtensionOf(path);
  for (const auto& [name, type] : kTypes) {
    if (name == extension) return type;
  }
  return "application/octet-stream";
}

Result<Plan> MakePlan(const variant::VariantRequest& request, const Options& options) {
  Plan plan;
  if (request.is_original()) {
    plan.original = true;
    const std::string_view path = variant::PathOfSource(request.source_path);
    plan.content_type = ContentTypeOfOriginal(path);
    plan.file_extension = ExtensionOf(path);
    return plan;
  }
  const MediaOptions& asked = request.resolved;
  CHECK_OK(CheckSize("width", asked.width, options.max_dimension));
  CHECK_OK(CheckSize("height", asked.height, options.max_dimension));

  const Format format = request.format();
  protocol::Job& job = plan.job;
  job.operation = OperationOf(request.mode, format);
  job.format = FormatOf(format);
  const bool is_video = job.operation == protocol::Operation::kVideo;
  job.width = asked.width;
  job.height = asked.height;
  job.fit = FitOf(asked.fit.value_or(variant::Fit::kContain));
  const variant::Quality quality = asked.quality.value_or(variant::Quality());
  job.quality = LevelOf(quality.level);
  job.quality_number = quality.number;
  job.compression = LevelOf(asked.compression.value_or(variant::Level::kAuto));
  if (asked.time) job.start_seconds = variant::ToSeconds(*asked.time);
  if (asked.duration && request.mode != Mode::kFrame) {
    job.duration_seconds = variant::ToSeconds(*asked.duration);
  }
  job.audio = is_video && asked.audio.value_or(true);
  if (asked.crop) {
    const variant::Crop& c = *asked.crop;
    job.crop = protocol::CropBox{c.width, c.height, c.x, c.y};
  }
  if (asked.rotate) job.rotate_degrees = asked.rotate->value();
  if (asked.fps) job.fps = asked.fps->value();
  if (asked.speed) job.speed = asked.speed->value();
  job.bit_rate = asked.bitrate.value_or(0);
  if (request.mode == Mode::kSpritesheet) PlanSheet(request, job);
  if (request.mode == Mode::kFrame) job.accuracy = options.frame_accuracy;
  if (SolvesQuality(request, options)) job.target_ssim = options.target_ssim;
  job.stream = is_video;
  job.segments = EncodesSegments(request, options);
  job.limits = LimitsOf(options);

  plan.content_type = variant::ContentType(format, request.mode);
  plan.file_extension = variant::Extension(format, request.mode);
  plan.streams = is_video;
  plan.cost_hint = CostHint(job);
  return plan;
}

std::string RecipeOf(const variant::VariantRequest& request, const Options& options,
                     std::string worker_recipe) {
  if (SolvesQuality(request, options)) {
    char text[32];
    std::snprintf(text, sizeof text, " ssim=%.6g", options.target_ssim);
    worker_recipe += text;
  }
  if (EncodesSegments(request, options)) worker_recipe += " segments";
  if (request.mode == Mode::kFrame && options.frame_accuracy != protocol::Accuracy::kExact) {
    worker_recipe += " keyframe";
  }
  return worker_recipe;
}

}  // namespace vr::transform
