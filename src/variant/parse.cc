#include "variant/parse.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "variant/media_url.h"
#include "variant/percent.h"
#include "variant/values.h"

namespace vr::variant {

namespace {

constexpr size_t kMaxFilename = 120;
constexpr uint32_t kDefaultImageCount = 20;

// In the order of Param.
constexpr auto kMembers = std::make_tuple(
    &MediaOptions::width, &MediaOptions::height, &MediaOptions::format, &MediaOptions::quality,
    &MediaOptions::compression, &MediaOptions::fit, &MediaOptions::time, &MediaOptions::duration,
    &MediaOptions::audio, &MediaOptions::fps, &MediaOptions::speed, &MediaOptions::rotate,
    &MediaOptions::crop, &MediaOptions::bitrate, &MediaOptions::image_count, &MediaOptions::columns,
    &MediaOptions::rows, &MediaOptions::interval);
static_assert(std::tuple_size_v<decltype(kMembers)> == kMediaOptionCount);

// Calls f(index, member pointer) for every option.
template <class F>
void ForEachOption(F&& f) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    (f(I, std::get<I>(kMembers)), ...);
  }(std::make_index_sequence<kMediaOptionCount>());
}

constexpr uint32_t Bits(std::initializer_list<Param> params) {
  uint32_t bits = 0;
  for (const Param p : params) bits |= 1u << static_cast<unsigned>(p);
  return bits;
}

// The options that change anything in a mode, as bits of Param.
constexpr uint32_t Applicable(Mode mode) {
  constexpr uint32_t kAll = (1u << kMediaOptionCount) - 1;
  constexpr uint32_t kSheet =
      Bits({Param::kImageCount, Param::kColumns, Param::kRows, Param::kInterval});
  constexpr uint32_t kMoving = Bits({Param::kAudio, Param::kFps, Param::kSpeed, Param::kBitrate});
  switch (mode) {
    case Mode::kVideo:
      return kAll & ~kSheet;
    case Mode::kFrame:
      return kAll & ~kSheet & ~kMoving & ~Bits({Param::kDuration});
    case Mode::kSpritesheet:
      return kAll & ~kMoving;
    case Mode::kAudio:
      return Bits({Param::kFormat, Param::kQuality, Param::kCompression, Param::kTime,
                   Param::kDuration, Param::kSpeed, Param::kBitrate});
    case Mode::kInfo:
      return 0;
  }
  return kAll;
}

template <class T>
void DropIf(std::optional<T>& option, const T& default_value) {
  if (option && *option == default_value) option.reset();
}

// Saying a default aloud is the same question as not saying it.
void DropDefaults(MediaOptions& o) {
  DropIf(o.quality, Quality{});
  DropIf(o.compression, Level::kAuto);
  DropIf(o.fit, Fit::kContain);
  DropIf(o.time, Time(0));
  DropIf(o.audio, true);
  DropIf(o.speed, Decimal{1'000'000});
  DropIf(o.rotate, Decimal{0});
}

// Drops what has no effect beside the other options.
void DropIdle(MediaOptions& o) {
  const bool both = o.width && o.height;
  const bool none = !o.width && !o.height;
  // With one size the other follows: nothing to fill, crop or pad, only enlarging can be forbidden.
  if (none || (!both && o.fit && *o.fit != Fit::kScaleDown)) o.fit.reset();
  if (!o.columns && !o.rows && !o.interval) DropIf(o.image_count, kDefaultImageCount);
}

bool IsFilename(std::string_view name) {
  if (name.empty() || name.size() > kMaxFilename) return false;
  bool dot = false;
  size_t run = 0;  // length of the current part
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
    if (plain) {
      ++run;
    } else if (c == '.' && !dot && run > 0) {
      dot = true;
      run = 0;
    } else {
      return false;
    }
  }
  return run > 0;
}

bool IsOff(std::string_view value) {
  return value == "0" || EqualsLower(value, "false");
}

// One request's query, from raw text to request. Lives for one Parse().
class QueryParser {
 public:
  /// @param fields may be null
  QueryParser(const Options& options, const RequestFields* fields, Parsed& out)
      : options_(options), fields_(fields), out_(out) {}

  /// What a request asked for may not be asked for by anybody.
  bool is_refused() const { return is_refused_; }

  void Run(std::string_view query) {
    Collect(query);
    Evaluate();
    Choose();
    Resolve();
  }
  /// Nothing but a derivative that was chosen already.
  void Run(const DerivativeTable::value_type& chosen) {
    Take(chosen);
    Resolve();
  }
  /// @param media_options decoded
  void RunMedia(std::string_view media_options, std::string_view query) {
    is_decoded_ = true;
    while (!media_options.empty()) {
      const size_t end = media_options.find(',');
      CollectOne(media_options.substr(0, end));
      media_options.remove_prefix(end == std::string_view::npos ? media_options.size() : end + 1);
    }
    is_decoded_ = false;
    only_flags_ = true;
    Collect(query);
    Evaluate();
    Choose();
    Resolve();
  }

 private:
  struct Slot {
    std::string_view raw;             // not decoded
    const ParamName* name = nullptr;  // null: not in the query
    bool is_decoded = false;
  };

  Slot& At(Param p) { return slots_[static_cast<size_t>(p)]; }

  void Warn(const ParamName& name, std::string reason) {
    out_.warnings.push_back({std::string(name.name), std::move(reason)});
  }

  // Splits the query; the winner of each parameter stays in its slot.
  void Collect(std::string_view query) {
    while (!query.empty()) {
      const size_t end = query.find('&');
      CollectOne(query.substr(0, end));
      query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    }
  }

  void CollectOne(std::string_view pair) {
    const size_t equals = pair.find('=');
    std::string_view name = pair.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    std::optional<std::string> decoded;
    if (!is_decoded_ && name.find_first_of("%+") != std::string_view::npos) {
      decoded = DecodeQuery(name);
      if (!decoded) return;  // no name of ours
      name = *decoded;
    }
    const auto& bypass = options_.bypass_parameters;
    if (std::find(bypass.begin(), bypass.end(), name) != bypass.end() && !IsOff(value)) {
      out_.flags.no_read = true;
    }
    const ParamName* known = FindParam(name);
    if (known == nullptr) return;
    const bool is_flag = known->param == Param::kDebug || known->param == Param::kNoKvCache;
    if (only_flags_ && !is_flag) return;
    Slot& slot = At(known->param);
    const bool outranked = slot.name != nullptr && slot.name->canonical && !known->canonical;
    if (!outranked) slot = {value, known, is_decoded_};
  }

  // Typed values of everything but the derivative's expansion.
  void Evaluate() {
    for (size_t i = 0; i < kParamCount; ++i) {
      const Slot& slot = slots_[i];
      if (slot.name == nullptr || IsDenied(*slot.name)) continue;
      if (slot.is_decoded || slot.raw.find_first_of("%+") == std::string_view::npos) {
        EvaluateOne(*slot.name, slot.raw);
      } else if (const auto decoded = DecodeQuery(slot.raw)) {
        EvaluateOne(*slot.name, *decoded);
      } else {
        Warn(*slot.name, "bad percent-escape");
      }
    }
  }

  // Whether the configuration lets nobody set this; says so.
  bool IsDenied(const ParamName& name) {
    const auto& allowed = options_.allowed_parameters;
    if (!allowed.empty() &&
        std::find(allowed.begin(), allowed.end(), CanonicalNameOf(name.param)) == allowed.end()) {
      Warn(name, "is not allowed here");
      return true;
    }
    const bool changes_output = static_cast<size_t>(name.param) < kMediaOptionCount ||
                                name.param == Param::kMode || name.param == Param::kDpr;
    if (!options_.presets_only || !changes_output) return false;
    Warn(name, "is not allowed here, only derivatives are");
    is_refused_ = true;
    return true;
  }

  void EvaluateOne(const ParamName& name, std::string_view value) {
    Reason refused;
    switch (name.param) {
      case Param::kMode:
        mode_ = ParseMode(value);
        if (!mode_) refused = "must be video, frame, spritesheet, audio or info";
        break;
      case Param::kDerivative: {
        const auto found = options_.derivatives.find(value);
        if (found == options_.derivatives.end()) {
          refused = "unknown derivative";
          is_refused_ = options_.presets_only;  // not the original instead
        } else {
          Take(*found);
        }
        break;
      }
      case Param::kDpr:
        refused = Density(value, density_);
        break;
      case Param::kImViewDensity:
        refused = Density(value, out_.responsive.density);
        break;
      case Param::kImWidth:
        refused = Pixels(value, out_.responsive.width);
        break;
      case Param::kImHeight:
        refused = Pixels(value, out_.responsive.height);
        break;
      case Param::kImViewWidth:
        refused = Pixels(value, out_.responsive.view_width);
        break;
      case Param::kFilename:
        if (IsFilename(value))
          out_.filename = value;
        else
          refused = "must be letters, digits, - and _ with at most one dot inside, at most 120";
        break;
      case Param::kLoop:
      case Param::kAutoplay:
      case Param::kMuted:
      case Param::kPreload:
        refused = SetHint(out_.playback, name.param, value);
        break;
      case Param::kDebug:
        if (EqualsLower(value, "view"))
          out_.flags.debug_view = true;
        else
          refused = Switch(value, out_.flags.debug);
        break;
      case Param::kNoKvCache:
        refused = Switch(value, out_.flags.no_kv_cache);
        break;
      default:
        refused = SetOption(caller_, name, value, options_.limits);
    }
    if (refused) Warn(name, *std::move(refused));
  }

  static Reason Density(std::string_view value, std::optional<Decimal>& out) {
    const auto number = ParseDecimal(value);
    if (!number || number->millionths <= 0 || number->millionths > kMaxDensity.millionths) {
      return "must be a number above 0, at most 1000";
    }
    out = number;
    return std::nullopt;
  }
  static Reason Pixels(std::string_view value, std::optional<uint32_t>& out) {
    const auto number = ParseUint(value);
    if (!number || *number == 0) return "must be a whole number above 0";
    out = static_cast<uint32_t>(*number);
    return std::nullopt;
  }
  // A flag: `?debug`, `?debug=true`, `?debug=1`.
  static Reason Switch(std::string_view value, bool& out) {
    if (value.empty() || value == "1" || EqualsLower(value, "true"))
      out = true;
    else if (!IsOff(value))
      return "must be true or false";
    return std::nullopt;
  }

  Mode ResolveMode(const Derivative& preset) const {
    if (preset.mode) return *preset.mode;
    if (mode_) return *mode_;
    const auto& format = preset.options.format ? preset.options.format : caller_.format;
    const bool is_sound =
        format == Format::kM4a || format == Format::kMp3 || format == Format::kOpus;
    return is_sound ? Mode::kAudio : Mode::kVideo;
  }

  void Take(const DerivativeTable::value_type& derivative) {
    out_.request.derivative = derivative.first;
    derivative_ = &derivative.second;
  }

  // The responsive choice. Whoever asks for a size or a derivative gets that and nothing else.
  void Choose() {
    if (derivative_ != nullptr || caller_.width || caller_.height) return;
    const Mode mode = ResolveMode(Derivative());
    if (mode == Mode::kAudio || mode == Mode::kInfo) return;
    const ResponsiveHints& hints = out_.responsive;
    const Decimal density = hints.density ? *hints.density : density_.value_or(Decimal{1'000'000});
    Chosen chosen;
    if (hints.width) {
      chosen = ChooseByWidth(options_, *hints.width, density, "imwidth");
    } else if (hints.view_width) {
      chosen = ChooseByWidth(options_, *hints.view_width, density, "im-viewwidth");
    } else if (hints.height) {
      // The width of a picture of the usual shape, 16:9, that is so high.
      chosen = ChooseByWidth(options_, (*hints.height * uint64_t{16} + 8) / 9, density, "imheight");
    } else if (fields_ != nullptr) {
      chosen = ChooseByFields(options_, *fields_);
    }
    out_.selection = chosen.selection;
    if (chosen.derivative != nullptr) Take(*chosen.derivative);
  }

  // Derivative and caller together: request.mode, .own, .resolved.
  void Resolve() {
    static const Derivative kNone;
    const Derivative& preset = derivative_ != nullptr ? *derivative_ : kNone;
    VariantRequest& request = out_.request;
    request.mode = ResolveMode(preset);
    TakeHints(preset.playback);
    DropDefaults(caller_);
    Scale(caller_.width);
    Scale(caller_.height);

    const uint32_t applicable = Applicable(request.mode);
    MediaOptions& own = request.own;
    MediaOptions& resolved = request.resolved;
    ForEachOption([&](size_t i, auto member) {
      const bool applies = (applicable >> i & 1) != 0;
      if ((preset.options.*member).has_value()) {
        if (applies) resolved.*member = preset.options.*member;
        return;
      }
      if (!(caller_.*member).has_value()) return;
      if (applies) {
        own.*member = caller_.*member;
        resolved.*member = caller_.*member;
      } else {
        Warn(*slots_[i].name, "has no effect in mode " + std::string(ToString(request.mode)));
      }
    });
    if (resolved.format && !IsCompatible(*resolved.format, request.mode)) {
      if (own.format) {
        Warn(*At(Param::kFormat).name,
             "not a format of mode " + std::string(ToString(request.mode)));
      }
      resolved.format.reset();
    }
    DropDefaults(resolved);
    DropIdle(resolved);
    ForEachOption([&](size_t, auto member) {
      if (!(resolved.*member).has_value()) (own.*member).reset();
    });
  }

  void TakeHints(const PlaybackHints& hints) {
    if (hints.loop) out_.playback.loop = hints.loop;
    if (hints.autoplay) out_.playback.autoplay = hints.autoplay;
    if (hints.muted) out_.playback.muted = hints.muted;
    if (!hints.preload.empty()) out_.playback.preload = hints.preload;
  }

  // A size of the caller's times the density of the screen.
  void Scale(std::optional<uint32_t>& size) const {
    if (!size || !density_) return;
    const uint64_t scaled =
        (*size * static_cast<uint64_t>(density_->millionths) + 500'000) / 1'000'000;
    size = static_cast<uint32_t>(
        std::clamp<uint64_t>(scaled, options_.limits.min_size, options_.limits.max_size));
  }

  const Options& options_;
  const RequestFields* const fields_;
  Parsed& out_;
  bool is_decoded_ = false;  ///< what is collected
  bool only_flags_ = false;  ///< nothing else is collected
  std::array<Slot, kParamCount> slots_;
  MediaOptions caller_;
  std::optional<Mode> mode_;
  std::optional<Decimal> density_;
  const Derivative* derivative_ = nullptr;
  bool is_refused_ = false;
};

Result<void> CheckCount(std::string_view text, char separator, const Options& options) {
  const auto separators = std::count(text.begin(), text.end(), separator);
  if (static_cast<size_t>(separators) < options.limits.max_parameters) return {};
  return Error(Code::kInvalidArgument, "there are too many parameters")
      .WithReason("INVALID_PARAMETER")
      .WithFact("allowed", std::to_string(options.limits.max_parameters));
}

/// What strict validation does not let pass, or what is refused in any case.
Result<void> Judge(Parsed& parsed, const Options& options, bool is_refused) {
  const bool is_strict = options.validation == Validation::kStrict;
  if (!is_refused && (!is_strict || parsed.warnings.empty())) return {};
  Error error = Error(Code::kInvalidArgument, "One or more parameters are invalid.")
                    .WithReason("INVALID_PARAMETER");
  for (Warning& warning : parsed.warnings) {
    error.facts.emplace_back(std::move(warning.param), std::move(warning.reason));
  }
  return error;
}

}  // namespace

Result<Parsed> Parse(std::string_view raw_path, std::string_view raw_query, const Options& options,
                     const RequestFields* fields) {
  Parsed parsed;
  TRY(parsed.request.source_path, ParsePath(raw_path, options.limits));
  CHECK_OK(CheckCount(raw_query, '&', options));
  bool is_refused = false;
  if (!raw_query.empty()) {
    QueryParser parser(options, fields, parsed);
    parser.Run(raw_query);
    is_refused = parser.is_refused();
  } else if (fields != nullptr) {
    const Chosen chosen = ChooseByFields(options, *fields);
    parsed.selection = chosen.selection;
    if (chosen.derivative) QueryParser(options, nullptr, parsed).Run(*chosen.derivative);
  }
  CHECK_OK(Judge(parsed, options, is_refused));
  return parsed;
}

Result<Parsed> ParseMediaOptions(std::string_view media_options, std::string source_path,
                                 std::string_view raw_query, const Options& options) {
  Parsed parsed;
  parsed.request.source_path = std::move(source_path);
  CHECK_OK(CheckCount(media_options, ',', options));
  CHECK_OK(CheckCount(raw_query, '&', options));
  QueryParser parser(options, nullptr, parsed);
  parser.RunMedia(media_options, raw_query);
  CHECK_OK(Judge(parsed, options, parser.is_refused()));
  return parsed;
}

bool HasMediaOptions(std::string_view media_options, const Options& options) {
  const auto& bypass = options.bypass_parameters;
  bool is_empty = true;
  while (!media_options.empty()) {
    const size_t end = media_options.find(',');
    const std::string_view piece = media_options.substr(0, end);
    media_options.remove_prefix(end == std::string_view::npos ? media_options.size() : end + 1);
    if (piece.empty()) continue;
    is_empty = false;
    if (piece.find('=') != std::string_view::npos || FindParam(piece) != nullptr ||
        std::find(bypass.begin(), bypass.end(), piece) != bypass.end()) {
      return true;
    }
  }
  return is_empty;
}

std::string RenderWarnings(std::span<const Warning> warnings) {
  std::string out;
  for (const Warning& warning : warnings) {
    if (!out.empty()) out += "; ";
    out += warning.param;
    out += ": ";
    out += warning.reason;
  }
  return out;
}

void ApplyOriginDefaults(VariantRequest& request, Quality quality, Level compression) {
  // An untouched original stays one: an origin's defaults say how to encode, not that we must.
  if (request.is_original()) return;
  if (!request.resolved.quality && quality != Quality{}) request.resolved.quality = quality;
  if (!request.resolved.compression && compression != Level::kAuto) {
    request.resolved.compression = compression;
  }
}

}  // namespace vr::variant
