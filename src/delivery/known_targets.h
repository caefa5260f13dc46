// KnownTargets: what request targets mean, as far as the target alone says it, of those asked most
// lately. A hit that finds its target here is spared parsing, matching, hashing and the rendering
// of its head. Nothing depends on it: what is not here is worked out again.
//
// One per thread, so without locks. Bounded: kSlots targets of at most kMaxTarget bytes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "cache/entity.h"
#include "variant/parse.h"

namespace vr::delivery {

struct OriginPolicy;

/// The lines that all answers of an entity have in common for a while: its own and those that count
/// seconds.
struct RenderedHead {
  std::weak_ptr<const cache::Entity> of;
  int64_t from_ms = 0, until_ms = 0;  ///< while the numbers in it hold: [from, until)
  std::shared_ptr<const std::string> fields;

  bool Holds(const cache::EntityRef& entity, int64_t now_ms) const {
    return fields && now_ms >= from_ms && now_ms < until_ms && !of.owner_before(entity) &&
           !entity.owner_before(of);
  }
};

/// What a target means under one configuration, whoever asks.
struct KnownTarget {
  std::string target;
  std::string key;
  Hash128 digest;
  const OriginPolicy* policy = nullptr;  ///< of the snapshot it was worked out under
  variant::Parsed parsed;
  RenderedHead head;
};

class KnownTargets {
 public:
  static constexpr size_t kSlots = 4096;
  static constexpr size_t kMaxTarget = 1024;

  /// Null when it is not known under that configuration. Valid until the next call.
  /// @param generation of the configuration (Snapshot::generation)
  KnownTarget* Find(std::string_view target, uint64_t generation) {
    if (generation != generation_) return nullptr;
    const uint64_t hash = Hash64Of(target);
    const Slot& slot = slots_[hash % kSlots];
    if (!slot.known || slot.known_hash != hash || slot.known->target != target) return nullptr;
    return slot.known.get();
  }

  /// Whether `target` is worth remembering: it has been offered before and none of its neighbours
  /// since. What is asked once never displaces what is asked often.
  bool Offer(std::string_view target, uint64_t generation) {
    if (target.size() > kMaxTarget) return false;
    if (generation != generation_) {
      slots_ = {};
      generation_ = generation;
    }
    const uint64_t hash = Hash64Of(target);
    Slot& slot = slots_[hash % kSlots];
    const bool is_second = slot.offered_hash == hash;
    slot.offered_hash = hash;
    return is_second;
  }
  /// Of the configuration last offered under.
  void Put(KnownTarget known) {
    const uint64_t hash = Hash64Of(known.target);
    Slot& slot = slots_[hash % kSlots];
    slot.known_hash = hash;
    slot.known = std::make_unique<KnownTarget>(std::move(known));
  }

 private:
  struct Slot {
    uint64_t offered_hash = 0;
    uint64_t known_hash = 0;
    std::unique_ptr<KnownTarget> known;
  };
  uint64_t generation_ = 0;
  std::array<Slot, kSlots> slots_;
};

}  // namespace vr::delivery
