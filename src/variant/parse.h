// Parse: a URL becomes a VariantRequest, and beside it what never reaches the key: flags, file
// name, playback hints, warnings. Pure functions of their arguments; total: every byte sequence
// gives a result or an Error. On the hit path: no regular expressions, few allocations.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "variant/options.h"
#include "variant/responsive.h"
#include "variant/variant_request.h"

namespace vr::variant {

/// How caches are to be treated (spec: cache.md §6). Never part of the key.
struct Flags {
  bool debug = false;        ///< ?debug=true: no cache is read or written
  bool debug_view = false;   ///< ?debug=view: explain, do not make
  bool no_kv_cache = false;  ///< ?no-kv-cache: the KV is neither read nor written
  bool no_read = false;      ///< ?nocache, ?bypass: nothing is read, the fresh result is stored
  bool operator==(const Flags&) const = default;
};

/// Asked-for sizes that may only select a derivative, never become sizes or key parts.
struct ResponsiveHints {
  std::optional<uint32_t> width, height, view_width;  ///< imwidth, imheight, im-viewwidth
  std::optional<Decimal> density;                     ///< im-density
  bool operator==(const ResponsiveHints&) const = default;
};

/// `param` is a parameter name of ours, `reason` text of ours: both are safe in a header.
struct Warning {
  std::string param;
  std::string reason;
  bool operator==(const Warning&) const = default;
};

struct Parsed {
  VariantRequest request;
  Flags flags;
  std::string filename;  ///< [A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?, at most 120; empty = not asked
  std::vector<Warning> warnings;
  PlaybackHints playback;
  ResponsiveHints responsive;
  Selection selection;  ///< of the derivative, when nobody asked for one or for a size
};

/// @param raw_path  path of the request target, not decoded, with or without leading slash
/// @param raw_query what follows '?', not decoded
/// @param fields    the request's, for the responsive choice; null: the URL alone chooses
/// @errors kInvalidArgument: INVALID_URL (bad escape, dot segment in any encoding, NUL or control
/// byte,
///         too long), INVALID_PARAMETER (strict only; one fact per reason: name → reason)
Result<Parsed> Parse(std::string_view raw_path, std::string_view raw_query, const Options& options,
                     const RequestFields* fields = nullptr);

/// The path part of Parse().
Result<std::string> ParsePath(std::string_view raw_path, const Limits& limits = {});

/// Whether `media_options` ("a=1,b=2", decoded) can be options: nothing at all, something with a
/// value, or a flag of ours.
bool HasMediaOptions(std::string_view media_options, const Options& options);

/// "w: must be 10-8192; fit: unknown value": the value of X-Param-Warnings; empty without warnings.
std::string RenderWarnings(std::span<const Warning> warnings);

/// Puts an origin's defaults where the request leaves quality or compression open. They do not
/// enter the key (they come with the path); the digest sees them.
void ApplyOriginDefaults(VariantRequest& request, Quality quality, Level compression);

/// Whether the last extension of `path` is one of `formats` (lower case, no dot); ASCII
/// case-insensitive.
bool IsVideoPath(std::string_view path, std::span<const std::string> formats);

}  // namespace vr::variant
