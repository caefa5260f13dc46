#include "cache/edge.h"

namespace vr::cache {

namespace {

/// Entity, list node, index slot and allocator overhead, measured as roughly this with glibc.
constexpr uint64_t kEntryOverhead = 1024;

}  // namespace

uint64_t ChargeOf(const Entity& entity) {
  uint64_t charge =
      kEntryOverhead + 2 * entity.key.size() + (entity.head ? entity.head->size() : 0);
  for (const std::string& tag : entity.meta.cache_tags) charge += tag.size() + 32;
  if (entity.memory) charge += entity.memory->size();
  return charge;
}

uint32_t FilesOf(const Entity& entity) {
  return entity.file ? 1 : 0;
}

}  // namespace vr::cache
