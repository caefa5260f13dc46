// Presets: their values have the grammar of the URL's, so the variant room reads them.
#include <cstdio>

#include "app/bind.h"

namespace vr::app {
namespace {

using config::Node;
using variant::Derivative;
using variant::MediaOptions;

Node Number(uint64_t value) {
  return Node::Number(std::to_string(value));
}

template <class T>
std::optional<Node> Text(const std::optional<T>& value) {
  if (!value) return std::nullopt;
  return Node::String(std::string(variant::ToString(*value)));
}

std::optional<Node> Flag(const std::optional<bool>& value) {
  return value ? std::optional(Node::Bool(*value)) : std::nullopt;
}

std::optional<Node> Count(const std::optional<uint32_t>& value) {
  return value ? std::optional(Number(*value)) : std::nullopt;
}

/// Exact decimals: six digits behind the point, without trailing zeros.
std::string Decimals(int64_t millionths) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%lld.%06lld",
                static_cast<long long>(millionths / 1'000'000),
                static_cast<long long>(millionths % 1'000'000));
  std::string out = buffer;
  while (out.back() == '0') out.pop_back();
  if (out.back() == '.') out.pop_back();
  return out;
}

std::optional<Node> Seconds(const std::optional<variant::Time>& value) {
  return value ? std::optional(Node::String(Decimals(value->count()) + 's')) : std::nullopt;
}

std::optional<Node> Decimal(const std::optional<variant::Decimal>& value) {
  return value ? std::optional(Node::Number(Decimals(value->millionths))) : std::nullopt;
}

std::optional<Node> Quality(const std::optional<variant::Quality>& value) {
  if (!value) return std::nullopt;
  if (value->number > 0) return Number(value->number);
  return Node::String(std::string(variant::ToString(value->level)));
}

std::optional<Node> Crop(const std::optional<variant::Crop>& value) {
  if (!value) return std::nullopt;
  return Node::String(std::to_string(value->width) + ':' + std::to_string(value->height) + ':' +
                      std::to_string(value->x) + ':' + std::to_string(value->y));
}

struct Option {
  const char* name;
  const char* type;
  const char* allowed;
  std::optional<Node> (*print)(const Derivative&);
};

constexpr const char* kTimes = R"(a time: "2s", "1m30s", "500ms", or seconds)";
constexpr Option kOptions[] = {
    {"mode", "string", R"("video", "frame", "spritesheet", "audio")",
     [](const Derivative& d) { return Text(d.mode); }},
    {"width", "integer", "whole pixels, 10 up to transform.maxDimension",
     [](const Derivative& d) { return Count(d.options.width); }},
    {"height", "integer", "whole pixels, 10 up to transform.maxDimension",
     [](const Derivative& d) { return Count(d.options.height); }},
    {"fit", "string", R"("contain", "scale-down", "cover", "pad")",
     [](const Derivative& d) { return Text(d.options.fit); }},
    {"format", "string", "a format of the mode, as in a URL",
     [](const Derivative& d) { return Text(d.options.format); }},
    {"quality", "string or integer", R"("low", "medium", "high", "auto" or 1..100)",
     [](const Derivative& d) { return Quality(d.options.quality); }},
    {"compression", "string", R"("low", "medium", "high", "auto")",
     [](const Derivative& d) { return Text(d.options.compression); }},
    {"time", "string or number", kTimes,
     [](const Derivative& d) { return Seconds(d.options.time); }},
    {"duration", "string or number", kTimes,
     [](const Derivative& d) { return Seconds(d.options.duration); }},
    {"audio", "boolean", "true or false",
     [](const Derivative& d) { return Flag(d.options.audio); }},
    {"fps", "number", "frames per second, over 0",
     [](const Derivative& d) { return Decimal(d.options.fps); }},
    {"speed", "number", "0.25..4", [](const Derivative& d) { return Decimal(d.options.speed); }},
    {"rotate", "number", "degrees clockwise",
     [](const Derivative& d) { return Decimal(d.options.rotate); }},
    {"crop", "string", R"("w:h:x:y" in pixels of the source)",
     [](const Derivative& d) { return Crop(d.options.crop); }},
    {"bitrate", "string or integer", R"(bits per second: "2M", "800k", 500000)",
     [](const Derivative& d) {
       return d.options.bitrate ? std::optional(Number(*d.options.bitrate)) : std::nullopt;
     }},
    {"imageCount", "integer", "tiles of a spritesheet",
     [](const Derivative& d) { return Count(d.options.image_count); }},
    {"columns", "integer", "columns of a spritesheet",
     [](const Derivative& d) { return Count(d.options.columns); }},
    {"rows", "integer", "rows of a spritesheet",
     [](const Derivative& d) { return Count(d.options.rows); }},
    {"interval", "string or number", kTimes,
     [](const Derivative& d) { return Seconds(d.options.interval); }},
    {"loop", "boolean", "true or false", [](const Derivative& d) { return Flag(d.playback.loop); }},
    {"autoplay", "boolean", "true or false",
     [](const Derivative& d) { return Flag(d.playback.autoplay); }},
    {"muted", "boolean", "true or false",
     [](const Derivative& d) { return Flag(d.playback.muted); }},
    {"preload", "string", R"("none", "metadata", "auto")",
     [](const Derivative& d) -> std::optional<Node> {
       if (d.playback.preload.empty()) return std::nullopt;
       return Node::String(d.playback.preload);
     }},
};

/// "must be 10-8192" is to follow "allowed: ".
std::optional<std::string> AsAllowed(std::optional<std::string> reason) {
  if (reason && reason->compare(0, 8, "must be ") == 0) reason->erase(0, 8);
  return reason;
}

}  // namespace

void BindDerivative(config::Object& o, Derivative& derivative, const variant::Limits& limits) {
  for (const Option& option : kOptions) {
    o.Scalar(
        option.name, option.type, option.allowed,
        [&](const std::string& text) {
          return AsAllowed(variant::SetDerivativeOption(derivative, option.name, text, limits));
        },
        [&] { return option.print(derivative); });
  }
}

void BindEncodingDefault(config::Object& o, std::string_view key,
                         std::optional<std::string>& value) {
  o.Scalar(
      key, key == "quality" ? "string or integer" : "string",
      key == "quality" ? R"("low", "medium", "high", "auto" or 1..100)"
                       : R"("low", "medium", "high", "auto")",
      [&](const std::string& text) -> std::optional<std::string> {
        Derivative scratch;
        std::optional<std::string> wrong =
            AsAllowed(variant::SetDerivativeOption(scratch, key, text));
        if (!wrong) value = text;
        return wrong;
      },
      [&]() -> std::optional<Node> {
        if (!value) return std::nullopt;
        return Node::String(*value);
      });
}

}  // namespace vr::app
