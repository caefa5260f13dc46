// Edge (L1): the response cache of this process for variants. Entities up to
// `max_object_in_memory` are held as memory, larger ones as an open file: their bytes live in the
// kernel's page cache.
#pragma once

#include <cstdint>

#include "cache/entity.h"
#include "cache/sieve.h"

namespace vr::cache {

/// What an entity costs the edge: memory, bytes.
uint64_t ChargeOf(const Entity& entity);
/// Descriptors it holds.
uint32_t FilesOf(const Entity& entity);

using Edge = Sieve<Entity>;

}  // namespace vr::cache
