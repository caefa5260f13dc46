// Turns what users of the public video-resizer have today into our configuration: a
// worker-config.json of v1 (2.1.0 shape or the legacy pathPatterns and storage) or of v2, a
// wrangler.jsonc of either, or one of each together.
//
// Text in, text out: nothing is read, looked up or checked against this machine. Either everything
// is accounted for in the report, or there are problems with places and no result. Whether
// the result is a good configuration is for `app` to check; ImportOutcome::from leads its problems
// back to the lines of the input. Pure; never throws for any input.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/problem.h"
#include "import/report.h"

namespace vr::import {

struct Document {
  std::string name;  ///< what places call it
  std::string text;
};

struct ImportRequest {
  Document main;                     ///< a worker configuration, or a wrangler file
  std::optional<Document> wrangler;  ///< beside a worker configuration
  std::string environment;           ///< section of the wrangler file's "env"; empty: its top level
  /// R2 binding → directory that holds the bucket's objects as files.
  std::map<std::string, std::string> bucket_roots;
};

struct ImportOutcome {
  std::vector<config::Problem> problems;  ///< not empty: there is no result
  std::string jsonc;                      ///< our configuration, with comments
  Report report;
  struct Origin {
    config::Place place;
    std::string pointer;
  };
  std::map<std::string, Origin> from;  ///< JSON pointer in the result → where that came from
};

ImportOutcome Import(const ImportRequest& request);

}  // namespace vr::import
