// FakeKvStore: the memory backend with its failure switches, under the name tests know it by.
#pragma once

#include "kv/memory_store.h"

namespace vr::kv::testing {
using FakeKvStore = MemoryStore;
}  // namespace vr::kv::testing
