// WarnAboutOrigins: origins that are valid and still do not what their author meant. Every finding
// is a warning; each names a mistake that was seen in configurations in use. Pure.
#pragma once

#include <vector>

#include "app/check_settings.h"

namespace vr::app {

void WarnAboutOrigins(const Settings& settings, std::vector<Finding>& out);

}  // namespace vr::app
