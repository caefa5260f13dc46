// The answer to debug=view: what was understood, which key, which origin, what each layer holds,
// and what it would cost. No media work, no secrets. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/orchestrator.h"
#include "origin/source.h"
#include "transform/planner.h"
#include "variant/parse.h"

namespace vr::delivery {

struct ViewFacts {
  const variant::Parsed* request = nullptr;
  std::string_view key;
  std::string digest;
  const origin::Resolved* resolved = nullptr;
  std::vector<std::string> tags;
  cache::Explanation held;
  const transform::Plan* plan = nullptr;  ///< null: see plan_error
  const Error* plan_error = nullptr;
  int64_t now_ms = 0;
};

/// A JSON object, documented in docs/http.md.
std::string RenderView(const ViewFacts& facts);

}  // namespace vr::delivery
