// Derivation: a variant made of a larger one that a layer holds, instead of its source. Saves the
// origin and decodes fewer pixels; costs one more generation of loss, never two. Allowed by
// `transform.deriveFromCached`; what qualifies as a base: docs/capacity.md.
//
// Bases are the source's whole, as the configured derivatives make it, and its original bytes.
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

/// What was found. `key` is empty when it is the source's own bytes: then nothing is lost.
struct Base {
  origin::SourceRef source;
  std::string key;
};
/// Looks for one. nullopt: make it of the source.
using BaseFinder = std::function<Task<std::optional<Base>>(Context ctx)>;

/// Whether `base` shows all of what `wanted` is made of: the whole picture, length and sound, and
/// no worse than is wanted. Sizes aside; by what was asked.
bool CanBeBaseOf(const variant::VariantRequest& base, const variant::VariantRequest& wanted);

/// Whether `wanted`, made of a base of that size, shows at most 1 / 1.5 of its pixels. Always so
/// for sound.
bool IsLargeEnough(uint32_t base_width, uint32_t base_height,
                   const variant::VariantRequest& wanted);

/// What `wanted` might be made of: derivatives of the same source, then the original.
/// @param recipe  of the workers (transform::WorkerPool::recipe)
std::vector<BaseCandidate> BaseCandidates(const variant::VariantRequest& wanted,
                                          const origin::Resolved& resolved, const Snapshot& config,
                                          const std::string& recipe);

/// An entity's body as a source, which says of itself what the entity's own source said.
/// @errors kUnavailable, kResourceExhausted: a body in memory found no file
Result<origin::SourceRef> SourceOfEntity(const cache::EntityRef& entity);

}  // namespace vr::delivery
