// The planner: from what was asked to what has to be done, as data. It knows no source and does no
// I/O, so a plan can be tested without media and its bytes can name the result (the plan digest
// reads the job).
//
// Original bytes when nothing is asked, else one job for a worker. Which way of making it is the
// cheapest right one (remux, copy of one stream, key frames only, full transcode) depends on the
// source, which only the worker opens: worker/route.h. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "transform/options.h"
#include "transform/protocol/messages.h"
#include "variant/variant_request.h"

namespace vr::transform {

struct Plan {
  /// The source's own bytes are the answer; `job` means nothing then.
  bool original = false;
  /// Without what only an opened source tells: source_size, source_complete.
  protocol::Job job;
  std::string content_type;    ///< of the finished answer, "video/mp4"
  std::string file_extension;  ///< without dot, "mp4"
  /// The worker also writes a form that can be served while it grows.
  bool streams = false;
  /// About how many seconds of one core a source of 720p and unknown length takes; 0 = none. For
  /// ordering and admission only, never part of the answer.
  double cost_hint = 0;
};

/// @errors kInvalidArgument (INVALID_PARAMETER: a size over options.max_dimension)
Result<Plan> MakePlan(const variant::VariantRequest& request, const Options& options);

/// The part of the plan digest that says how variants are made: what the workers tell of themselves
/// and those of our settings that change the answer to this request.
std::string RecipeOf(const variant::VariantRequest& request, const Options& options,
                     std::string worker_recipe);

/// Media type of a source's own bytes by its file extension; "application/octet-stream" when
/// unknown.
std::string_view ContentTypeOfOriginal(std::string_view path);

}  // namespace vr::transform
