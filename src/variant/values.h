// The value grammar of every parameter: text to typed value, or the reason why not. Shared by URLs
// and presets, so that both mean the same. Internal to the room. Pure, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "variant/options.h"
#include "variant/variant_request.h"

namespace vr::variant {

/// Everything a query can say. The first kMediaOptionCount are the members of MediaOptions, in
/// their order.
enum class Param : uint8_t {
  kWidth,
  kHeight,
  kFormat,
  kQuality,
  kCompression,
  kFit,
  kTime,
  kDuration,
  kAudio,
  kFps,
  kSpeed,
  kRotate,
  kCrop,
  kBitrate,
  kImageCount,
  kColumns,
  kRows,
  kInterval,
  kMode,
  kDerivative,
  kDpr,
  kImWidth,
  kImHeight,
  kImViewWidth,
  kImViewDensity,
  kFilename,
  kLoop,
  kAutoplay,
  kMuted,
  kPreload,
  kDebug,
  kNoKvCache,
  kCount,
};
inline constexpr size_t kMediaOptionCount = 18;
inline constexpr size_t kParamCount = static_cast<size_t>(Param::kCount);

struct ParamName {
  std::string_view name;  ///< static storage
  Param param;
  bool canonical;
  bool inverted = false;  ///< `mute`
};
/// Exact spelling, letter case included; null for names we do not know.
const ParamName* FindParam(std::string_view name);

/// The densest screen we believe in.
inline constexpr Decimal kMaxDensity{1'000'000'000};

/// "width" for `w` too.
std::string_view CanonicalNameOf(Param param);

/// The reason a value was refused; nullopt when it was taken.
using Reason = std::optional<std::string>;

/// Times: `90`, `90s`, `1.5s`, `500ms`, `2m`, `1m30s`, `1h2m3s`: numbers with units h, m, s, ms in
/// falling order, each at most once; only the last may have a fraction; at most 100 h; finer than 1
/// us is cut off.
std::optional<Time> ParseTime(std::string_view text);
std::optional<uint64_t> ParseUint(std::string_view text);
/// Digits with an optional fraction, cut off after six digits; below 10^9.
std::optional<Decimal> ParseDecimal(std::string_view text);
/// `true` or `false`, any letter case.
std::optional<bool> ParseBool(std::string_view text);
std::optional<Mode> ParseMode(std::string_view text);

/// Sets one member of `options` from `text` (decoded). Unchanged when refused.
Reason SetOption(MediaOptions& options, const ParamName& name, std::string_view text,
                 const Limits& limits);

/// `loop`, `autoplay`, `muted`, `preload`: sets one from `text` (decoded). Unchanged when refused.
Reason SetHint(PlaybackHints& hints, Param param, std::string_view text);
constexpr bool IsHint(Param param) {
  return param >= Param::kLoop && param <= Param::kPreload;
}

/// Equal, ASCII letters compared without case. `lower` is lower case already.
bool EqualsLower(std::string_view text, std::string_view lower);

}  // namespace vr::variant
