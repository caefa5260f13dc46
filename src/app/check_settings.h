// What no single field can know: checks between fields, and the settings this version does not act
// on yet. Used by settings.cc only. Pure.
#pragma once

#include <string>
#include <vector>

#include "app/settings.h"

namespace vr::app {

/// A finding about the value at a JSON pointer; settings.cc adds the place.
struct Finding {
  std::string pointer;
  std::string found;
  std::string allowed;
  bool is_warning = false;
};

std::vector<Finding> CheckBetweenFields(const Settings& settings);

}  // namespace vr::app
