// Derivation: a variant made of a larger one that a layer holds, instead of its source. Saves the
// origin and decodes fewer pixels; costs one more generation of loss, never two. Allowed by
// `transform.deriveFromCached`; what qualifies as a base, and why: docs/capacity.md.
//
// Here are the rules, as pure functions: by what was asked for, then by what its metadata says.
// base_search.h has who asks the layers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "cache/entity.h"
#include "delivery/snapshot.h"
#include "io/task.h"
#include "origin/source.h"
#include "variant/variant_request.h"

namespace vr::delivery {

/// Of originals, as DigestOf() wants it.
inline constexpr std::string_view kOriginalRecipe = "original-1";

/// A variant that may be held, and of which others can be made.
struct BaseCandidate {
  variant::VariantRequest request;
  std::string key;
  Hash128 digest;
};

/// What only its metadata tells of one that is held.
struct BaseFacts {
  uint32_t width = 0, height = 0;  ///< pixels; 0 = not known, or sound
  double seconds = 0;              ///< its length; 0 = not known
  bool is_derived = false;
};
BaseFacts FactsOf(const cache::Metadata& meta);

struct HeldBase {
  BaseCandidate candidate;
  BaseFacts facts;
};

/// What was found. `key` is empty when it is the source's own bytes: then nothing is lost.
struct Base {
  origin::SourceRef source;
  std::string key;
  variant::Time begin{0};  ///< what is 0 in it, from the beginning of its own source
};
/// Looks for one. nullopt: make it of the source.
using BaseFinder = std::function<Task<std::optional<Base>>(Context ctx)>;

/// Whether `base` shows all of what `wanted` is made of: the whole picture and sound, and no worse
/// than is wanted. By what was asked; sizes and times aside, but that a video is only made of one
/// that has the whole length.
bool CanBeBaseOf(const variant::VariantRequest& base, const variant::VariantRequest& wanted);

/// Whether a base that came out `seconds` long shows the time that `wanted` is made of.
bool Covers(const variant::VariantRequest& base, double seconds,
            const variant::VariantRequest& wanted);

/// Whether `wanted`, made of a base of that size, shows at most 1 / 1.5 of its pixels. Always so
/// for sound.
bool IsLargeEnough(uint32_t base_width, uint32_t base_height,
                   const variant::VariantRequest& wanted);

/// Whether the tiles of a sheet come out of the size that the source would have given them: a
/// sheet and its WebVTT may be made at different times, of different things. Always so for others.
bool GivesSameTiles(uint32_t base_width, uint32_t base_height,
                    const variant::VariantRequest& wanted);

/// Of candidates, those of which `wanted` can be made, best first: the smallest, by key when there
/// are several; the original last.
std::vector<BaseCandidate> Rank(std::vector<HeldBase> held, const variant::VariantRequest& wanted);

/// Reads the key of a variant of the same source. @return nullopt: it is none, or no base
/// @param recipe  of the workers (transform::WorkerPool::recipe)
std::optional<BaseCandidate> CandidateOf(std::string_view key,
                                         const variant::VariantRequest& wanted,
                                         const origin::Resolved& resolved, const Snapshot& config,
                                         const std::string& recipe);

/// Keys that are known without asking a store: of the derivatives, and of the original.
std::vector<std::string> NamedKeys(const variant::VariantRequest& wanted, const Snapshot& config);

/// An entity's body as a source, which says of itself what the entity's own source said.
/// @errors kUnavailable, kResourceExhausted: a body in memory found no file
Result<origin::SourceRef> SourceOfEntity(const cache::EntityRef& entity);

}  // namespace vr::delivery
