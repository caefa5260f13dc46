// Settings of the variant room: presets, limits, how strict to be. Plain values with the shipped
// defaults; immutable once published.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "variant/variant_request.h"

namespace vr::variant {

/// What a page's player is to do. For response headers only: never part of a key or digest.
struct PlaybackHints {
  std::optional<bool> loop, autoplay, muted;
  std::string preload;  ///< "none", "metadata", "auto" or empty
  bool operator==(const PlaybackHints&) const = default;
};

/// A named preset. What it sets replaces what the caller sets.
struct Derivative {
  std::optional<Mode> mode;
  MediaOptions options;
  PlaybackHints playback;
  bool operator==(const Derivative&) const = default;
};
using DerivativeTable = std::map<std::string, Derivative, std::less<>>;

/// desktop 1920x1080, tablet 1280x720, mobile 854x640 (contain); thumbnail 640x360 frame png cover
/// at 2s.
DerivativeTable ShippedDerivatives();

struct Limits {
  uint32_t min_size = 10;        ///< pixels, width and height
  uint32_t max_size = 8192;      ///< pixels, width and height
  uint32_t max_images = 1000;    ///< tiles of a spritesheet
  size_t max_path_bytes = 4096;  ///< decoded
  Time max_time{0};              ///< of `time`; 0 = no limit
  Time max_duration{0};          ///< of `duration`; 0 = no limit
  size_t max_parameters = 100;   ///< pieces of a query
};

enum class Validation {
  kLenient,  ///< an invalid value is dropped with a warning
  kStrict,   ///< an invalid value fails the request
};

/// Which derivative a viewport gets: the first breakpoint with viewport <= max_width.
struct Breakpoint {
  uint32_t max_width = 0;
  std::string derivative;
  bool operator==(const Breakpoint&) const = default;
};
/// Which request fields may choose a derivative for a request that asks for no size.
enum class ResponsiveHeaders {
  kOff,    ///< "off": none; sizes in the URL only
  kHints,  ///< "hints": widths and device types that a client or an edge tells on purpose
  kAll,    ///< "all": also the User-Agent, and the default when nothing is told
};
struct Responsive {
  std::vector<Breakpoint> breakpoints = {{854, "mobile"}, {1280, "tablet"}};  ///< ascending
  std::string default_derivative = "desktop";  ///< beyond the last one
  ResponsiveHeaders headers = ResponsiveHeaders::kHints;
  bool save_data = true;  ///< `Save-Data: on` takes one step down
};

struct Options {
  DerivativeTable derivatives = ShippedDerivatives();
  Limits limits;
  Validation validation = Validation::kLenient;
  /// Extensions that count as video; lower case, no dot.
  std::vector<std::string> video_formats = {"mp4", "webm", "mov", "mkv", "avi",  "m4v",
                                            "3gp", "ogv",  "ts",  "flv", "mpeg", "gif"};
  /// Query names whose presence means "read no cache, store the fresh result".
  std::vector<std::string> bypass_parameters = {"nocache", "bypass"};
  std::string tag_prefix = "video-";  ///< what the tags of ours begin with (TagsOf)
  Responsive responsive;
  /// Only presets: a request that sets anything else that changes the output is refused.
  bool presets_only = false;
  bool allow_original = true;  ///< with presets_only: the source itself may be asked for
  /// Canonical names of the parameters that count, derivatives' own options aside; empty: all.
  std::vector<std::string> allowed_parameters;
};

/// Whether this is the canonical name of a parameter ("width", not "w").
bool IsParameterName(std::string_view name);
/// Whether a query parameter of that name means something to us, in any spelling.
bool IsKnownParameter(std::string_view name);

/// What cannot work, one sentence per problem, each beginning with where ("derivatives.mobile:
/// ...").
std::vector<std::string> Problems(const Options& options);

/// Sets one option of a preset by its URL name or alias ("width", "h", "fit", "mode", ...; value as
/// in a URL). For the config file. @return nullopt when set, else why not ("unknown option", "must
/// be 10-8192").
std::optional<std::string> SetDerivativeOption(Derivative& derivative, std::string_view name,
                                               std::string_view value, const Limits& limits = {});

}  // namespace vr::variant
