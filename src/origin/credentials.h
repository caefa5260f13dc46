// How we prove ourselves to an HTTP source: the fields and the query parameter of its settings.
// Secrets: for the source's own host only, never logged. Pure.
#pragma once

#include <string>

#include "http/fields.h"
#include "origin/options.h"

namespace vr::origin {

struct Credentials {
  http::FieldList fields;  ///< `headers` of the source and what `auth` adds
  std::string query;       ///< "name=value", percent-encoded; empty: none
};

Credentials CredentialsOf(const SourceOptions& source);

}  // namespace vr::origin
