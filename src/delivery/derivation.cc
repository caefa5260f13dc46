#include "delivery/derivation.h"

#include <algorithm>
#include <utility>

#include "io/files.h"
#include "transform/planner.h"
#include "variant/key.h"
#include "variant/options.h"
#include "variant/parse.h"

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
/// Each is a look into the KV.
constexpr size_t kMostCandidates = 32;

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

}  // namespace

bool CanBeBaseOf(const VariantRequest& base, const VariantRequest& wanted) {
  if (base.mode != Mode::kVideo || base.source_path != wanted.source_path) return false;
  const bool is_itself = wanted.mode == base.mode && wanted.resolved == base.resolved;
  if (is_itself || wanted.mode == Mode::kInfo || wanted.is_original()) return false;
  if (base.is_original()) return true;
  const MediaOptions& wants = wanted.resolved;
  // In pixels of the source; the size after turning; a promise about bits.
  if (wants.crop || wants.rotate || wants.bitrate) return false;
  MediaOptions rest = base.resolved;
  const bool is_whole = !(rest.width && rest.height) || !rest.fit || rest.fit == Fit::kContain ||
                        rest.fit == Fit::kScaleDown;
  rest.width.reset();
  rest.height.reset();
  rest.fit.reset();
  rest.format.reset();
  rest.quality.reset();
  rest.compression.reset();
  // Whatever else it was asked for leaves something out, or changes it.
  if (!is_whole || rest != MediaOptions() || !IsVideoFile(base.format())) return false;
  if (wanted.mode != Mode::kAudio && MayBeTransparent(wanted.format()) &&
      base.format() != Format::kWebm) {
    return false;
  }
  return IsGoodEnough(base.resolved.quality, wants.quality) &&
         (!base.resolved.compression || base.resolved.compression == wants.compression);
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

std::vector<BaseCandidate> BaseCandidates(const VariantRequest& wanted,
                                          const origin::Resolved& resolved, const Snapshot& config,
                                          const std::string& recipe) {
  std::vector<BaseCandidate> found;
  // Not of a source that a client named: the same path may mean something else to an origin.
  const auto here = config.origins->Match("/" + wanted.source_path);
  if (!here || here->identity != resolved.identity) return found;
  const OriginPolicy& policy = config.policies[here->origin_index];
  std::string path = "/";
  variant::AppendEncoded(path, wanted.source_path);
  const auto consider = [&](const std::string& query) {
    Result<variant::Parsed> parsed = variant::Parse(path, query, config.variant);
    if (!parsed.ok() || !parsed->warnings.empty()) return;
    VariantRequest& base = parsed->request;
    if (base.resolved.format == Format::kAuto) return;
    variant::ApplyOriginDefaults(base, policy.quality, policy.compression);
    if (!CanBeBaseOf(base, wanted)) return;
    BaseCandidate candidate;
    candidate.key = variant::KeyOf(base);
    candidate.digest =
        variant::DigestOf(base, resolved.identity,
                          base.is_original() ? std::string(kOriginalRecipe)
                                             : transform::RecipeOf(base, config.transform, recipe));
    candidate.request = std::move(base);
    found.push_back(std::move(candidate));
  };
  for (const auto& [name, derivative] : config.variant.derivatives) {
    if (found.size() >= kMostCandidates) break;
    consider("derivative=" + name);
  }
  consider({});
  return found;
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
