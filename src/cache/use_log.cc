#include "cache/use_log.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vr::cache {

/// One writer, the thread; one reader, Take().
struct UseLog::Ring {
  struct Slot {
    uint64_t id = 0;
    int64_t at_ms = 0;  ///< times two, plus one for a miss
  };
  alignas(64) std::atomic<uint64_t> written{0};
  alignas(64) std::atomic<uint64_t> taken{0};
  std::array<Slot, kSlots> slots;
};

namespace {

std::atomic<uint64_t> next_serial{1};

struct Mine {
  uint64_t serial = 0;
  void* ring = nullptr;
};
constinit thread_local Mine mine;

}  // namespace

UseLog::UseLog(std::function<void()> on_half_full)
    : serial_(next_serial.fetch_add(1)), on_half_full_(std::move(on_half_full)) {}

UseLog::~UseLog() = default;

UseLog::Ring& UseLog::RingOfThread() {
  MutexLock lock(mutex_);
  std::unique_ptr<Ring>& ring = rings_[std::this_thread::get_id()];
  if (!ring) ring = std::make_unique<Ring>();
  mine.serial = serial_;
  mine.ring = ring.get();
  return *ring;
}

void UseLog::Note(uint64_t id, int64_t at_ms, bool is_miss) {
  Ring& ring = mine.serial == serial_ ? *static_cast<Ring*>(mine.ring) : RingOfThread();
  const uint64_t at = ring.written.load(std::memory_order_relaxed);
  const uint64_t held = at - ring.taken.load(std::memory_order_acquire);
  if (held == kSlots) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ring.slots[at % kSlots] = {id, at_ms * 2 + (is_miss ? 1 : 0)};
  ring.written.store(at + 1, std::memory_order_release);
  if (held == kSlots / 2) on_half_full_();
}

std::vector<Use> UseLog::Take() {
  std::vector<Use> uses;
  MutexLock lock(mutex_);
  for (const auto& [thread, ring] : rings_) {
    const uint64_t end = ring->written.load(std::memory_order_acquire);
    uint64_t at = ring->taken.load(std::memory_order_relaxed);
    for (; at != end; ++at) {
      const Ring::Slot& slot = ring->slots[at % kSlots];
      uses.push_back({slot.id, slot.at_ms >> 1, (slot.at_ms & 1) != 0});
    }
    ring->taken.store(end, std::memory_order_release);
  }
  std::stable_sort(uses.begin(), uses.end(),
                   [](const Use& a, const Use& b) { return a.at_ms < b.at_ms; });
  return uses;
}

}  // namespace vr::cache
