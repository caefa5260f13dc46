#include "delivery/derivation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "io/files.h"
#include "transform/planner.h"
#include "variant/key.h"
#include "variant/options.h"
#include "variant/parse.h"
#include "variant/read_key.h"

namespace vr::delivery {

namespace {

using variant::Fit;
using variant::Format;
using variant::Level;
using variant::MediaOptions;
using variant::Mode;
using variant::Quality;
using variant::VariantRequest;

/// A base has at least so many times the pixels of what is made of it (cache contract §10).
constexpr double kMorePixels = 1.5;
/// Each is a look into the edge, at times into the KV.
constexpr size_t kMostNamed = 32;
/// A clip is this much shorter than was asked for only because its source ended in it.
constexpr variant::Time kClipSlack = std::chrono::milliseconds(50);
/// A still may show the picture that begins within half a millisecond, and WebM rounds its times by
/// as much: in a clip's last instant that would be a picture that the clip has not.
constexpr variant::Time kLastInstant = std::chrono::milliseconds(1);

class EntitySource final : public origin::Source {
 public:
  EntitySource(origin::SourceInfo info, SharedFd file)
      : info_(std::move(info)), file_(std::move(file)) {}
  const origin::SourceInfo& info() const override { return info_; }
  const SharedFd& file() const override { return file_; }
  bool is_complete() const override { return true; }
  Task<Result<uint64_t>> Ensure(Context, uint64_t offset, uint64_t) override {
    co_return *info_.size - std::min(*info_.size, offset);
  }

 private:
  const origin::SourceInfo info_;
  const SharedFd file_;
};

/// "auto" is the default said aloud.
std::optional<Quality> Plain(const std::optional<Quality>& quality) {
  return quality == Quality() ? std::nullopt : quality;
}

bool IsGoodEnough(const std::optional<Quality>& base, const std::optional<Quality>& wanted) {
  const auto has = Plain(base), wants = Plain(wanted);
  if (has == wants) return true;
  if (!has) return false;
  if (has->number != 0) return wants && wants->number != 0 && has->number >= wants->number;
  if (has->level == Level::kHigh) return !wants || wants->number == 0;
  return has->level == Level::kMedium && wants && wants->number == 0 && wants->level == Level::kLow;
}

/// What has no transparency cannot be what something with it is made of.
bool MayBeTransparent(Format format) {
  return format == Format::kWebm || format == Format::kWebp || format == Format::kPng ||
         format == Format::kGif || format == Format::kAv1;
}

bool IsVideoFile(Format format) {
  return format == Format::kMp4 || format == Format::kH265 || format == Format::kWebm ||
         format == Format::kAv1;
}

bool HasSound(const VariantRequest& wanted) {
  if (wanted.mode == Mode::kAudio) return true;
  return wanted.mode == Mode::kVideo && IsVideoFile(wanted.format()) &&
         wanted.resolved.audio.value_or(true);
}

/// As worker/geometry.cc rounds sides.
int NearEven(double value) {
  return std::max(2, static_cast<int>(std::ceil(value / 2 - 0.5 - 1e-9)) * 2);
}

/// A tile that keeps the shape of the picture. @param ratio width / height
std::pair<int, int> TileOf(const MediaOptions& wants, double ratio) {
  constexpr double kAny = std::numeric_limits<double>::infinity();
  const double box_width = wants.width ? *wants.width : kAny;
  const double box_height = wants.height ? *wants.height : kAny;
  return {NearEven(std::min(box_width, box_height * ratio)),
          NearEven(std::min(box_height, box_width / ratio))};
}

}  // namespace

BaseFacts FactsOf(const cache::Metadata& meta) {
  BaseFacts facts;
  facts.width = meta.resolved_width.value_or(0);
  facts.height = meta.resolved_height.value_or(0);
  facts.seconds = meta.duration.value_or(0);
  facts.is_derived = !meta.derived_from.empty();
  return facts;
}

bool CanBeBaseOf(const VariantRequest& base, const VariantRequest& wanted) {
  const bool is_sound = wanted.mode == Mode::kAudio;
  const bool is_of_sound = is_sound && base.mode == Mode::kAudio;
  if (base.mode != Mode::kVideo && !is_of_sound) return false;
  if (base.source_path != wanted.source_path) return false;
  const bool is_itself = wanted.mode == base.mode && wanted.resolved == base.resolved;
  if (is_itself || wanted.mode == Mode::kInfo || wanted.is_original()) return false;
  if (base.is_original()) return true;
  const MediaOptions& wants = wanted.resolved;
  // In pixels of the source; the size after turning; a promise about bits.
  if (wants.crop || wants.rotate || wants.bitrate) return false;
  MediaOptions rest = base.resolved;
  const bool has_size = rest.width || rest.height;
  const bool is_whole = !(rest.width && rest.height) || !rest.fit || rest.fit == Fit::kContain ||
                        rest.fit == Fit::kScaleDown;
  if (!is_sound && !is_whole) return false;
  // Only what was not enlarged itself tells how large the source is.
  if (wants.fit == Fit::kScaleDown && has_size && rest.fit != Fit::kScaleDown) return false;
  rest.width.reset();
  rest.height.reset();
  rest.fit.reset();
  rest.format.reset();
  rest.quality.reset();
  rest.compression.reset();
  if (wanted.mode != Mode::kVideo) {  // see Covers()
    rest.time.reset();
    rest.duration.reset();
  }
  if (!HasSound(wanted)) rest.audio.reset();
  if (is_sound) {
    rest.fps.reset();
    rest.rotate.reset();
    rest.crop.reset();
  }
  // Whatever else it was asked for leaves something out, or changes it.
  if (rest != MediaOptions()) return false;
  if (!is_of_sound && !IsVideoFile(base.format())) return false;
  if (!is_sound && MayBeTransparent(wanted.format()) && base.format() != Format::kWebm) {
    return false;
  }
  return IsGoodEnough(base.resolved.quality, wants.quality) &&
         (!base.resolved.compression || base.resolved.compression == wants.compression);
}

bool Covers(const VariantRequest& base, double seconds, const VariantRequest& wanted) {
  using variant::Time;
  const MediaOptions& has = base.resolved;
  const MediaOptions& wants = wanted.resolved;
  const Time begin = has.time.value_or(Time(0)), at = wants.time.value_or(Time(0));
  if (at < begin) return false;
  if (!has.duration) return true;  // to the end, whatever that is
  Time length = *has.duration;
  const Time held(std::llround(seconds * 1e6));
  if (held + kClipSlack < length) length = held;
  if (wanted.mode == Mode::kFrame) return at + kLastInstant <= begin + length;
  return wants.duration && at + *wants.duration <= begin + length;
}

bool IsLargeEnough(uint32_t base_width, uint32_t base_height, const VariantRequest& wanted) {
  if (wanted.mode == Mode::kAudio) return true;
  const MediaOptions& wants = wanted.resolved;
  if (base_width == 0 || base_height == 0 || (!wants.width && !wants.height)) return false;
  const double by_width = wants.width ? 1.0 * *wants.width / base_width : 0;
  const double by_height = wants.height ? 1.0 * *wants.height / base_height : 0;
  double scale = std::max(by_width, by_height);
  if (wants.width && wants.height && wants.fit != Fit::kCover) {
    scale = std::min(by_width, by_height);
  }
  return scale * scale * kMorePixels <= 1;
}

bool GivesSameTiles(uint32_t base_width, uint32_t base_height, const VariantRequest& wanted) {
  const MediaOptions& wants = wanted.resolved;
  const bool is_fixed =
      wants.width && wants.height && (wants.fit == Fit::kCover || wants.fit == Fit::kPad);
  if (wanted.mode != Mode::kSpritesheet || is_fixed) return true;
  if (base_width < 2 || base_height < 2) return false;
  // Each side of the base may have been rounded by a pixel: the source's shape lies between these.
  const double narrowest = (base_width - 1.0) / (base_height + 1.0);
  const double widest = (base_width + 1.0) / (base_height - 1.0);
  return TileOf(wants, narrowest) == TileOf(wants, widest);
}

std::vector<BaseCandidate> Rank(std::vector<HeldBase> held, const VariantRequest& wanted) {
  const auto cannot_serve = [&](const HeldBase& base) {
    const VariantRequest& request = base.candidate.request;
    if (request.is_original()) return false;
    const auto& [width, height, seconds, is_derived] = base.facts;
    return is_derived || !CanBeBaseOf(request, wanted) || !Covers(request, seconds, wanted) ||
           !IsLargeEnough(width, height, wanted) || !GivesSameTiles(width, height, wanted);
  };
  std::erase_if(held, cannot_serve);
  const auto rank_of = [](const HeldBase& base) {
    return std::tuple(base.candidate.request.is_original(),
                      uint64_t{base.facts.width} * base.facts.height,
                      std::string_view(base.candidate.key));
  };
  std::sort(held.begin(), held.end(),
            [&](const HeldBase& a, const HeldBase& b) { return rank_of(a) < rank_of(b); });
  std::vector<BaseCandidate> ranked;
  for (HeldBase& base : held) ranked.push_back(std::move(base.candidate));
  return ranked;
}

std::optional<BaseCandidate> CandidateOf(std::string_view key, const VariantRequest& wanted,
                                         const origin::Resolved& resolved, const Snapshot& config,
                                         const std::string& recipe) {
  std::optional<VariantRequest> base = variant::ReadKey(key, wanted.source_path, config.variant);
  if (!base) return std::nullopt;
  const OriginPolicy& policy = config.policies[resolved.origin_index];
  variant::ApplyOriginDefaults(*base, policy.quality, policy.compression);
  if (!CanBeBaseOf(*base, wanted)) return std::nullopt;
  BaseCandidate candidate;
  candidate.key = key;
  candidate.digest =
      variant::DigestOf(*base, resolved.identity,
                        base->is_original() ? std::string(kOriginalRecipe)
                                            : transform::RecipeOf(*base, config.transform, recipe));
  candidate.request = std::move(*base);
  return candidate;
}

std::vector<std::string> NamedKeys(const VariantRequest& wanted, const Snapshot& config) {
  std::vector<std::string> keys;
  VariantRequest named;
  named.source_path = wanted.source_path;
  keys.push_back(variant::KeyOf(named));
  for (const auto& [name, derivative] : config.variant.derivatives) {
    if (keys.size() > kMostNamed) break;
    named.mode = derivative.mode.value_or(Mode::kVideo);
    named.derivative = name;
    keys.push_back(variant::KeyOf(named));
  }
  return keys;
}

Result<origin::SourceRef> SourceOfEntity(const cache::EntityRef& entity) {
  const cache::Metadata& meta = entity->meta;
  origin::SourceInfo info;
  info.size = entity->size();
  info.content_type = meta.content_type;
  info.etag = meta.source_etag;
  info.last_modified_ms = meta.source_last_modified_ms;
  info.validator = meta.source_validator;
  info.type = meta.source_type;
  info.origin_name = meta.origin;
  SharedFd file = entity->file;
  if (!file) {
    TRY(UniqueFd memory, io::MemoryFile("vr-base"));
    CHECK_OK(io::Files::System().WriteAt(memory.get(), *entity->memory, 0));
    file = std::make_shared<const UniqueFd>(std::move(memory));
  }
  return origin::SourceRef(std::make_shared<EntitySource>(std::move(info), std::move(file)));
}

}  // namespace vr::delivery
