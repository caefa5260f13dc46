#include "variant/variant_request.h"

namespace vr::variant {

Format VariantRequest::format() const {
  const Format asked = resolved.format.value_or(Format::kAuto);
  return asked == Format::kAuto ? DefaultFormat(mode) : asked;
}

Format DefaultFormat(Mode mode) {
  switch (mode) {
    case Mode::kVideo:
      return Format::kMp4;
    case Mode::kFrame:
    case Mode::kSpritesheet:
      return Format::kJpg;
    case Mode::kAudio:
      return Format::kM4a;
    case Mode::kInfo:
      return Format::kJson;
  }
  return Format::kMp4;
}

bool IsCompatible(Format format, Mode mode) {
  switch (format) {
    case Format::kMp4:
    case Format::kWebm:
    case Format::kH265:
    case Format::kAv1:
    case Format::kGif:
      return mode == Mode::kVideo;
    case Format::kWebp:
      return mode != Mode::kAudio && mode != Mode::kInfo;
    case Format::kJpg:
    case Format::kPng:
      return mode == Mode::kFrame || mode == Mode::kSpritesheet;
    case Format::kM4a:
    case Format::kMp3:
    case Format::kOpus:
      return mode == Mode::kAudio;
    case Format::kVtt:
      return mode == Mode::kSpritesheet;
    case Format::kJson:
      return mode == Mode::kInfo;
    case Format::kAuto:
      return true;
  }
  return false;
}

std::string_view ContentType(Format format, Mode mode) {
  switch (format) {
    case Format::kMp4:
    case Format::kH265:
    case Format::kAv1:
      return "video/mp4";
    case Format::kWebm:
      return "video/webm";
    case Format::kGif:
      return "image/gif";
    case Format::kWebp:
      return "image/webp";
    case Format::kJpg:
      return "image/jpeg";
    case Format::kPng:
      return "image/png";
    case Format::kM4a:
      return "audio/mp4";
    case Format::kMp3:
      return "audio/mpeg";
    case Format::kOpus:
      return "audio/ogg";
    case Format::kVtt:
      return "text/vtt";
    case Format::kJson:
      return "application/json";
    case Format::kAuto:
      return ContentType(DefaultFormat(mode), mode);
  }
  return "application/octet-stream";
}

std::string_view Extension(Format format, Mode mode) {
  switch (format) {
    case Format::kH265:
    case Format::kAv1:
      return "mp4";
    case Format::kAuto:
      return ToString(DefaultFormat(mode));
    default:
      return ToString(format);
  }
}

std::string_view ToString(Mode mode) {
  switch (mode) {
    case Mode::kVideo:
      return "video";
    case Mode::kFrame:
      return "frame";
    case Mode::kSpritesheet:
      return "spritesheet";
    case Mode::kAudio:
      return "audio";
    case Mode::kInfo:
      return "info";
  }
  return "video";
}

std::string_view ToString(Fit fit) {
  switch (fit) {
    case Fit::kContain:
      return "contain";
    case Fit::kScaleDown:
      return "scale-down";
    case Fit::kCover:
      return "cover";
    case Fit::kPad:
      return "pad";
  }
  return "contain";
}

std::string_view ToString(Level level) {
  switch (level) {
    case Level::kLow:
      return "low";
    case Level::kMedium:
      return "medium";
    case Level::kHigh:
      return "high";
    case Level::kAuto:
      return "auto";
  }
  return "auto";
}

std::string_view ToString(Format format) {
  switch (format) {
    case Format::kMp4:
      return "mp4";
    case Format::kWebm:
      return "webm";
    case Format::kH265:
      return "h265";
    case Format::kAv1:
      return "av1";
    case Format::kGif:
      return "gif";
    case Format::kWebp:
      return "webp";
    case Format::kJpg:
      return "jpg";
    case Format::kPng:
      return "png";
    case Format::kM4a:
      return "m4a";
    case Format::kMp3:
      return "mp3";
    case Format::kOpus:
      return "opus";
    case Format::kVtt:
      return "vtt";
    case Format::kJson:
      return "json";
    case Format::kAuto:
      return "auto";
  }
  return "auto";
}

}  // namespace vr::variant
