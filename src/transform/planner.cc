#include "transform/planner.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <utility>

namespace vr::transform {
namespace {

using variant::Format;
using variant::MediaOptions;
using variant::Mode;

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

/// "2", "0.5": the shortest decimal that says the same.
std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

Error CannotYet(std::string_view parameter, std::string value, std::string allowed) {
  std::string message = "parameter '";
  message += parameter;
  message += "' = '";
  message += value;
  message += "' is not supported by this version; allowed: ";
  message += allowed;
  return Error(Code::kUnsupported, std::move(message))
      .WithReason("INVALID_PARAMETER")
      .WithFact("parameter", std::string(parameter))
      .WithFact("value", std::move(value))
      .WithFact("allowed", std::move(allowed));
}

/// What later versions will make. Every option this version leaves undone must be named here.
Result<void> RefuseWhatIsNotMadeYet(const variant::VariantRequest& request) {
  if (request.mode != Mode::kVideo && request.mode != Mode::kFrame) {
    return CannotYet("mode", std::string(variant::ToString(request.mode)), "video, frame");
  }
  const MediaOptions& asked = request.resolved;
  const Format format = request.format();
  if (request.mode == Mode::kVideo && format != Format::kMp4) {
    return CannotYet("format", std::string(variant::ToString(format)), "mp4");
  }
  if (request.mode == Mode::kFrame && format != Format::kJpg && format != Format::kPng) {
    return CannotYet("format", std::string(variant::ToString(format)), "jpg, png");
  }
  const std::string absent = "leave it out";
  if (asked.fps) return CannotYet("fps", Number(asked.fps->value()), absent);
  if (asked.speed) return CannotYet("speed", Number(asked.speed->value()), absent);
  if (asked.rotate) return CannotYet("rotate", Number(asked.rotate->value()), absent);
  if (asked.crop) {
    const variant::Crop& c = *asked.crop;
    return CannotYet("crop",
                     std::to_string(c.width) + ":" + std::to_string(c.height) + ":" +
                         std::to_string(c.x) + ":" + std::to_string(c.y),
                     absent);
  }
  if (asked.bitrate) return CannotYet("bitrate", std::to_string(*asked.bitrate), absent);
  if (asked.image_count) return CannotYet("imageCount", std::to_string(*asked.image_count), absent);
  if (asked.columns) return CannotYet("columns", std::to_string(*asked.columns), absent);
  if (asked.rows) return CannotYet("rows", std::to_string(*asked.rows), absent);
  if (asked.interval) {
    return CannotYet("interval", Number(variant::ToSeconds(*asked.interval)) + "s", absent);
  }
  return {};
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

/// Measured on this project's machine: decoding costs about 6 ns a pixel in, x264 veryfast 20 ns a
/// pixel out.
double CostHint(const protocol::Job& job) {
  constexpr double kSourcePixels = 1280.0 * 720.0;
  constexpr double kFramesPerSecond = 30;
  constexpr double kUnknownSeconds = 60;
  const double wanted =
      static_cast<double>(job.width.value_or(1280)) * static_cast<double>(job.height.value_or(720));
  if (job.operation == protocol::Operation::kFrame)
    return 30 * kSourcePixels * 6e-9 + wanted * 20e-9;
  const double frames = kFramesPerSecond * job.duration_seconds.value_or(kUnknownSeconds);
  return frames * (kSourcePixels * 6e-9 + wanted * 20e-9);
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
    plan.content_type = ContentTypeOfOriginal(request.source_path);
    plan.file_extension = ExtensionOf(request.source_path);
    return plan;
  }
  CHECK_OK(RefuseWhatIsNotMadeYet(request));
  const MediaOptions& asked = request.resolved;
  CHECK_OK(CheckSize("width", asked.width, options.max_dimension));
  CHECK_OK(CheckSize("height", asked.height, options.max_dimension));

  const Format format = request.format();
  protocol::Job& job = plan.job;
  const bool is_video = request.mode == Mode::kVideo;
  job.operation = is_video ? protocol::Operation::kVideo : protocol::Operation::kFrame;
  job.format = is_video                 ? protocol::OutputFormat::kMp4
               : format == Format::kPng ? protocol::OutputFormat::kPng
                                        : protocol::OutputFormat::kJpeg;
  job.width = asked.width;
  job.height = asked.height;
  job.fit = FitOf(asked.fit.value_or(variant::Fit::kContain));
  const variant::Quality quality = asked.quality.value_or(variant::Quality());
  job.quality = LevelOf(quality.level);
  job.quality_number = quality.number;
  job.compression = LevelOf(asked.compression.value_or(variant::Level::kAuto));
  if (asked.time) job.start_seconds = variant::ToSeconds(*asked.time);
  if (is_video && asked.duration) job.duration_seconds = variant::ToSeconds(*asked.duration);
  job.audio = is_video && asked.audio.value_or(true);
  job.stream = is_video;

  const double max_seconds = std::chrono::duration<double>(options.max_duration).count();
  job.limits.max_pixels = options.max_pixels;
  job.limits.max_source_seconds = max_seconds;
  job.limits.max_output_seconds = max_seconds;
  job.limits.max_output_bytes = options.max_output_bytes;
  job.limits.max_streams = options.max_streams;

  plan.content_type = variant::ContentType(format, request.mode);
  plan.file_extension = variant::Extension(format, request.mode);
  plan.streams = is_video;
  plan.cost_hint = CostHint(job);
  return plan;
}

}  // namespace vr::transform
