// What an administrator is told (GET /admin/analytics; docs/analytics.md). Pure.
#pragma once

#include <cstdint>
#include <string>

#include "analytics/history.h"

namespace vr::analytics {

/// What the layers hold now, and may hold. 0 = no limit.
struct Storage {
  uint64_t edge_bytes = 0, edge_entries = 0, edge_max_bytes = 0;
  uint64_t kv_bytes = 0, kv_entries = 0, kv_max_bytes = 0, kv_max_entries = 0;
};

/// A JSON object without the closing line feed.
std::string RenderReport(const Summary& summary, const Storage& storage, int64_t hours);

}  // namespace vr::analytics
