#include "variant/options.h"

#include <algorithm>

#include "variant/values.h"

namespace vr::variant {

namespace {

using namespace std::chrono_literals;

Derivative Box(uint32_t width, uint32_t height) {
  Derivative box;
  box.options.width = width;
  box.options.height = height;
  box.options.fit = Fit::kContain;
  return box;
}

bool IsPresetName(std::string_view name) {
  return !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

}  // namespace

DerivativeTable ShippedDerivatives() {
  Derivative thumbnail = Box(640, 360);
  thumbnail.mode = Mode::kFrame;
  thumbnail.options.fit = Fit::kCover;
  thumbnail.options.format = Format::kPng;
  thumbnail.options.time = 2s;
  return {{"desktop", Box(1920, 1080)},
          {"tablet", Box(1280, 720)},
          {"mobile", Box(854, 640)},
          {"thumbnail", thumbnail}};
}

std::vector<std::string> Problems(const Options& options) {
  std::vector<std::string> problems;
  const Limits& limits = options.limits;
  if (limits.min_size < 2 || limits.max_size < limits.min_size || limits.max_size > 65535) {
    problems.push_back("limits: sizes must be 2 <= min <= max <= 65535");
  }
  for (const auto& [name, derivative] : options.derivatives) {
    const std::string where = "derivatives." + name + ": ";
    if (!IsPresetName(name)) problems.push_back(where + "a name is 1-100 of A-Z a-z 0-9 - _ .");
    const MediaOptions& o = derivative.options;
    for (const auto& size : {o.width, o.height}) {
      if (size && (*size < limits.min_size || *size > limits.max_size)) {
        problems.push_back(where + "sizes must be " + std::to_string(limits.min_size) + "-" +
                           std::to_string(limits.max_size));
      }
    }
    if (derivative.mode && o.format && !IsCompatible(*o.format, *derivative.mode)) {
      problems.push_back(where + std::string(ToString(*o.format)) + " is not a format of mode " +
                         std::string(ToString(*derivative.mode)));
    }
  }
  uint32_t previous = 0;
  for (const Breakpoint& breakpoint : options.responsive.breakpoints) {
    if (breakpoint.max_width <= previous)
      problems.push_back("responsive.breakpoints: maxWidth must ascend");
    previous = breakpoint.max_width;
    if (!options.derivatives.contains(breakpoint.derivative)) {
      problems.push_back("responsive.breakpoints: there is no derivative " + breakpoint.derivative);
    }
  }
  const std::string& fallback = options.responsive.default_derivative;
  if (!fallback.empty() && !options.derivatives.contains(fallback)) {
    problems.push_back("responsive.defaultDerivative: there is no derivative " + fallback);
  }
  for (const std::string& format : options.video_formats) {
    const bool plain = !format.empty() && std::all_of(format.begin(), format.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    });
    if (!plain)
      problems.push_back("passthrough.formats: an extension is lower case letters and digits");
  }
  return problems;
}

std::optional<std::string> SetDerivativeOption(Derivative& derivative, std::string_view name,
                                               std::string_view value, const Limits& limits) {
  const ParamName* known = FindParam(name);
  if (known == nullptr) return "unknown option";
  if (IsHint(known->param)) return SetHint(derivative.playback, known->param, value);
  if (known->param != Param::kMode) return SetOption(derivative.options, *known, value, limits);
  const auto mode = ParseMode(value);
  if (!mode) return "must be video, frame, spritesheet or audio";
  derivative.mode = mode;
  return std::nullopt;
}

}  // namespace vr::variant
