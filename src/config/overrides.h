// Overrides: settings from the environment and from flags, merged into the tree of the file.
//
// Merged values carry the place "environment NAME" or "flag --set x", and are typed by whoever
// reads them, exactly like values of the file ("false" is false). Names match keys without regard
// to letter case. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"
#include "config/problem.h"

namespace vr::config {

struct Override {
  std::vector<std::string> path;  ///< names and list indexes
  std::string value;
  std::string source;  ///< "environment VIDEO_RESIZER_LISTEN", "flag --listen"
};

/// `<prefix>A__B=x` becomes path {a, b}. In the order of names, so that a whole comes before its
/// parts.
std::vector<Override> FromEnvironment(const std::map<std::string, std::string>& environment,
                                      std::string_view prefix, std::vector<Problem>& problems);

/// "cache.edge.maxBytes=64MiB" (a list element is a number: "origins.0.name=x").
/// @return false when there is no '=' or an empty name
bool ParseAssignment(std::string_view text, std::vector<std::string>& path, std::string& value);

/// Sets the value at the path, making what is missing on the way.
void Apply(Node& root, const Override& item, std::vector<Problem>& problems);

}  // namespace vr::config
