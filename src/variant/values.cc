#include "variant/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

namespace vr::variant {

namespace {

constexpr int64_t kMaxTimeSeconds = 100 * 3600;
constexpr uint64_t kMaxDecimal = 1'000'000'000;
constexpr int64_t kMaxFpsMillionths = 1'000'000'000;  // 1000 fps
constexpr uint64_t kMinBitrate = 1000;
constexpr uint64_t kMaxBitrate = 1'000'000'000;
constexpr uint32_t kMaxCropPixels = 65535;

// By length, so that a look-up compares only names of the right length.
constexpr ParamName kNames[] = {
    {"w", Param::kWidth, false},
    {"h", Param::kHeight, false},
    {"f", Param::kFormat, false},
    {"q", Param::kQuality, false},
    {"c", Param::kCompression, false},
    {"fit", Param::kFit, true},
    {"fps", Param::kFps, true},
    {"dur", Param::kDuration, false},
    {"dpr", Param::kDpr, true},
    {"time", Param::kTime, true},
    {"mode", Param::kMode, true},
    {"mute", Param::kAudio, false, true},
    {"crop", Param::kCrop, true},
    {"rows", Param::kRows, true},
    {"loop", Param::kLoop, true},
    {"width", Param::kWidth, true},
    {"audio", Param::kAudio, true},
    {"start", Param::kTime, false},
    {"speed", Param::kSpeed, true},
    {"muted", Param::kMuted, true},
    {"debug", Param::kDebug, true},
    {"height", Param::kHeight, true},
    {"format", Param::kFormat, true},
    {"rotate", Param::kRotate, true},
    {"quality", Param::kQuality, true},
    {"obj-fit", Param::kFit, false},
    {"bitrate", Param::kBitrate, true},
    {"columns", Param::kColumns, true},
    {"imwidth", Param::kImWidth, true},
    {"preload", Param::kPreload, true},
    {"duration", Param::kDuration, true},
    {"imformat", Param::kFormat, false},
    {"interval", Param::kInterval, true},
    {"impolicy", Param::kDerivative, false},
    {"imheight", Param::kImHeight, true},
    {"filename", Param::kFilename, true},
    {"autoplay", Param::kAutoplay, true},
    {"imdensity", Param::kDpr, false},
    {"imageCount", Param::kImageCount, true},
    {"derivative", Param::kDerivative, true},
    {"im-density", Param::kImViewDensity, true},
    {"compression", Param::kCompression, true},
    {"no-kv-cache", Param::kNoKvCache, true},
    {"im-viewwidth", Param::kImViewWidth, true},
};
constexpr size_t kLongestName = 12;

// First entry of each length; [kLongestName + 1] is the end.
constexpr auto kByLength = [] {
  std::array<uint8_t, kLongestName + 2> first{};
  for (size_t length = 0; length < first.size(); ++length) {
    uint8_t i = 0;
    while (i < std::size(kNames) && kNames[i].name.size() < length) ++i;
    first[length] = i;
  }
  return first;
}();
static_assert(std::is_sorted(std::begin(kNames), std::end(kNames),
                             [](const ParamName& a, const ParamName& b) {
                               return a.name.size() < b.name.size();
                             }));

constexpr bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
constexpr char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

template <class T>
struct Word {
  std::string_view text;
  T value;
};
template <class T, size_t N>
std::optional<T> FindWord(const Word<T> (&words)[N], std::string_view text) {
  for (const auto& word : words) {
    if (EqualsLower(text, word.text)) return word.value;
  }
  return std::nullopt;
}

constexpr Word<Mode> kModes[] = {{"video", Mode::kVideo},
                                 {"frame", Mode::kFrame},
                                 {"spritesheet", Mode::kSpritesheet},
                                 {"audio", Mode::kAudio},
                                 {"info", Mode::kInfo}};
constexpr Word<Fit> kFits[] = {{"contain", Fit::kContain}, {"scale-down", Fit::kScaleDown},
                               {"cover", Fit::kCover},     {"pad", Fit::kPad},
                               {"crop", Fit::kCover},      {"fill", Fit::kContain}};
constexpr Word<Level> kLevels[] = {{"low", Level::kLow},
                                   {"medium", Level::kMedium},
                                   {"high", Level::kHigh},
                                   {"auto", Level::kAuto}};
constexpr Word<Format> kFormats[] = {
    {"mp4", Format::kMp4},  {"h264", Format::kMp4},  {"webm", Format::kWebm},
    {"vp9", Format::kWebm}, {"h265", Format::kH265}, {"hevc", Format::kH265},
    {"av1", Format::kAv1},  {"gif", Format::kGif},   {"webp", Format::kWebp},
    {"jpg", Format::kJpg},  {"jpeg", Format::kJpg},  {"png", Format::kPng},
    {"m4a", Format::kM4a},  {"mp3", Format::kMp3},   {"opus", Format::kOpus},
    {"vtt", Format::kVtt},  {"auto", Format::kAuto}};

// Digits at the start of `text`; removes them. At most `cap`, else nullopt.
std::optional<uint64_t> TakeUint(std::string_view& text, uint64_t cap) {
  size_t n = 0;
  uint64_t value = 0;
  for (; n < text.size() && IsDigit(text[n]); ++n) {
    value = value * 10 + static_cast<uint64_t>(text[n] - '0');
    if (value > cap) return std::nullopt;
  }
  if (n == 0) return std::nullopt;
  text.remove_prefix(n);
  return value;
}

// A number and up to nine digits of its fraction, in billionths. `text` keeps the rest.
struct Number {
  uint64_t whole = 0;
  uint64_t billionths = 0;
  bool has_fraction = false;
};
std::optional<Number> TakeNumber(std::string_view& text, uint64_t cap) {
  const auto whole = TakeUint(text, cap);
  if (!whole) return std::nullopt;
  Number number{*whole, 0, false};
  if (text.empty() || text[0] != '.') return number;
  text.remove_prefix(1);
  size_t n = 0;
  uint64_t scale = 100'000'000;
  for (; n < text.size() && IsDigit(text[n]); ++n) {
    number.billionths += static_cast<uint64_t>(text[n] - '0') * scale;
    scale /= 10;
  }
  if (n == 0) return std::nullopt;
  text.remove_prefix(n);
  number.has_fraction = true;
  return number;
}

std::optional<uint64_t> ParseBitrate(std::string_view text) {
  const auto number = TakeNumber(text, kMaxBitrate);
  if (!number) return std::nullopt;
  uint64_t unit = 1;
  if (text.size() == 1 && Lower(text[0]) == 'k')
    unit = 1000;
  else if (text.size() == 1 && Lower(text[0]) == 'm')
    unit = 1'000'000;
  else if (!text.empty())
    return std::nullopt;
  return number->whole * unit + number->billionths * unit / 1'000'000'000;
}

std::optional<Crop> ParseCrop(std::string_view text) {
  uint32_t parts[4];
  for (int i = 0; i < 4; ++i) {
    if (i > 0) {
      if (text.empty() || text[0] != ':') return std::nullopt;
      text.remove_prefix(1);
    }
    const auto part = TakeUint(text, kMaxCropPixels);
    if (!part) return std::nullopt;
    parts[i] = static_cast<uint32_t>(*part);
  }
  if (!text.empty() || parts[0] == 0 || parts[1] == 0) return std::nullopt;
  return Crop{parts[0], parts[1], parts[2], parts[3]};
}

// Any number of degrees, turned into [0, 360).
std::optional<Decimal> ParseRotation(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto number = ParseDecimal(text);
  if (!number) return std::nullopt;
  constexpr int64_t kFull = 360'000'000;
  const int64_t turned = number->millionths % kFull;
  return Decimal{negative && turned != 0 ? kFull - turned : turned};
}

std::optional<Quality> ParseQuality(std::string_view text) {
  if (const auto level = FindWord(kLevels, text)) return Quality{*level, 0};
  const auto number = ParseUint(text);
  if (!number || *number < 1 || *number > 100) return std::nullopt;
  return Quality{Level::kAuto, static_cast<uint8_t>(*number)};
}

Reason SetCount(std::optional<uint32_t>& out, std::string_view text, uint32_t min, uint32_t max) {
  const auto number = ParseUint(text);
  if (!number || *number < min || *number > max) {
    return "must be a whole number " + std::to_string(min) + "-" + std::to_string(max);
  }
  out = static_cast<uint32_t>(*number);
  return std::nullopt;
}

template <class T>
Reason SetIf(std::optional<T>& out, const std::optional<T>& value, const char* otherwise) {
  if (!value) return otherwise;
  out = value;
  return std::nullopt;
}

constexpr const char* kTimeReason = "must be a time such as 90, 1.5s, 500ms or 1m30s, at most 100h";

Reason SetTime(std::optional<Time>& out, std::string_view text, Time limit) {
  const auto time = ParseTime(text);
  if (!time) return kTimeReason;
  if (limit.count() > 0 && *time > limit) {
    return "must be at most " + std::to_string(limit.count() / 1'000'000) + "s";
  }
  out = time;
  return std::nullopt;
}

Reason SetLength(std::optional<Time>& out, std::string_view text, Time limit) {
  std::optional<Time> time;
  if (Reason refused = SetTime(time, text, limit)) return refused;
  if (time->count() == 0) return "must be above 0";
  out = time;
  return std::nullopt;
}

}  // namespace

bool EqualsLower(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(),
                                                   [](char a, char b) { return Lower(a) == b; });
}

const ParamName* FindParam(std::string_view name) {
  if (name.empty() || name.size() > kLongestName) return nullptr;
  for (size_t i = kByLength[name.size()]; i < kByLength[name.size() + 1]; ++i) {
    if (kNames[i].name == name) return &kNames[i];
  }
  return nullptr;
}

std::string_view CanonicalNameOf(Param param) {
  for (const ParamName& name : kNames) {
    if (name.param == param && name.canonical) return name.name;
  }
  return {};
}

bool IsParameterName(std::string_view name) {
  const ParamName* const known = FindParam(name);
  return known != nullptr && known->canonical;
}

bool IsKnownParameter(std::string_view name) {
  return FindParam(name) != nullptr;
}

std::optional<Time> ParseTime(std::string_view text) {
  // Units in falling order; a component may only use one that comes after the last one used.
  struct Unit {
    std::string_view name;
    uint64_t micros;
  };
  static constexpr Unit kUnits[] = {
      {"h", 3'600'000'000}, {"m", 60'000'000}, {"s", 1'000'000}, {"ms", 1000}};
  constexpr uint64_t kMax = static_cast<uint64_t>(kMaxTimeSeconds) * 1'000'000;
  uint64_t total = 0;
  size_t next_unit = 0;
  bool first = true;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto number = TakeNumber(text, kMaxDecimal);
    if (!number) return std::nullopt;
    size_t letters = 0;
    while (letters < text.size() && !IsDigit(text[letters]) && text[letters] != '.') ++letters;
    const std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    size_t unit = 2;  // a number alone is seconds
    if (name.empty()) {
      if (!first || !text.empty()) return std::nullopt;
    } else {
      unit = next_unit;
      while (unit < std::size(kUnits) && !EqualsLower(name, kUnits[unit].name)) ++unit;
      if (unit == std::size(kUnits)) return std::nullopt;
    }
    if (number->has_fraction && !text.empty()) return std::nullopt;
    // 10^9 * 3.6 * 10^9 fits in 64 bits.
    total += number->whole * kUnits[unit].micros +
             number->billionths * kUnits[unit].micros / 1'000'000'000;
    if (total > kMax) return std::nullopt;
    next_unit = unit + 1;
    first = false;
  }
  return Time(static_cast<int64_t>(total));
}

std::optional<uint64_t> ParseUint(std::string_view text) {
  const auto value = TakeUint(text, kMaxDecimal);
  if (!value || !text.empty()) return std::nullopt;
  return value;
}

std::optional<Decimal> ParseDecimal(std::string_view text) {
  const auto number = TakeNumber(text, kMaxDecimal);
  if (!number || !text.empty()) return std::nullopt;
  return Decimal{static_cast<int64_t>(number->whole * 1'000'000 + number->billionths / 1000)};
}

std::optional<bool> ParseBool(std::string_view text) {
  if (EqualsLower(text, "true")) return true;
  if (EqualsLower(text, "false")) return false;
  return std::nullopt;
}

std::optional<Mode> ParseMode(std::string_view text) {
  return FindWord(kModes, text);
}

Reason SetHint(PlaybackHints& hints, Param param, std::string_view text) {
  if (param == Param::kPreload) {
    for (const std::string_view word : {"none", "metadata", "auto"}) {
      if (!EqualsLower(text, word)) continue;
      hints.preload = word;
      return std::nullopt;
    }
    return "must be none, metadata or auto";
  }
  const std::optional<bool> value = ParseBool(text);
  if (!value) return "must be true or false";
  std::optional<bool>& hint = param == Param::kLoop       ? hints.loop
                              : param == Param::kAutoplay ? hints.autoplay
                                                          : hints.muted;
  hint = value;
  return std::nullopt;
}

Reason SetOption(MediaOptions& options, const ParamName& name, std::string_view text,
                 const Limits& limits) {
  switch (name.param) {
    case Param::kWidth:
      return SetCount(options.width, text, limits.min_size, limits.max_size);
    case Param::kHeight:
      return SetCount(options.height, text, limits.min_size, limits.max_size);
    case Param::kFormat:
      return SetIf(options.format, FindWord(kFormats, text), "unknown format");
    case Param::kQuality:
      return SetIf(options.quality, ParseQuality(text), "must be low, medium, high, auto or 1-100");
    case Param::kCompression:
      return SetIf(options.compression, FindWord(kLevels, text),
                   "must be low, medium, high or auto");
    case Param::kFit:
      return SetIf(options.fit, FindWord(kFits, text), "must be contain, scale-down, cover or pad");
    case Param::kTime:
      return SetTime(options.time, text, limits.max_time);
    case Param::kDuration:
      return SetLength(options.duration, text, limits.max_duration);
    case Param::kInterval:
      return SetLength(options.interval, text, Time(0));
    case Param::kAudio: {
      const auto value = ParseBool(text);
      if (!value) return "must be true or false";
      options.audio = *value != name.inverted;
      return std::nullopt;
    }
    case Param::kFps: {
      const auto value = ParseDecimal(text);
      if (!value || value->millionths <= 0 || value->millionths > kMaxFpsMillionths) {
        return "must be a number above 0, at most 1000";
      }
      options.fps = value;
      return std::nullopt;
    }
    case Param::kSpeed: {
      const auto value = ParseDecimal(text);
      if (!value || value->millionths < 250'000 || value->millionths > 4'000'000) {
        return "must be a number 0.25-4";
      }
      options.speed = value;
      return std::nullopt;
    }
    case Param::kRotate:
      return SetIf(options.rotate, ParseRotation(text), "must be a number of degrees");
    case Param::kCrop:
      return SetIf(options.crop, ParseCrop(text), "must be w:h:x:y in pixels");
    case Param::kBitrate: {
      const auto value = ParseBitrate(text);
      if (!value || *value < kMinBitrate || *value > kMaxBitrate) {
        return "must be a bit rate such as 800k or 2M, 1k-1000M";
      }
      options.bitrate = value;
      return std::nullopt;
    }
    case Param::kImageCount:
      return SetCount(options.image_count, text, 1, limits.max_images);
    case Param::kColumns:
      return SetCount(options.columns, text, 1, limits.max_images);
    case Param::kRows:
      return SetCount(options.rows, text, 1, limits.max_images);
    default:
      return "unknown option";
  }
}

}  // namespace vr::variant
