// How we prove ourselves to an HTTP source: the fields and the query parameters of its settings.
// Secrets: for the source's own host only, never logged. Pure.
#pragma once

#include <string>

#include "http/fields.h"
#include "origin/options.h"

namespace vr::origin {

struct Credentials {
  http::FieldList fields;  ///< `headers` of the source and what `auth` adds
  std::string query;  ///< `query` of the source and what `auth` adds: "a=b&c=d", encoded; or empty
};

Credentials CredentialsOf(const SourceOptions& source);

}  // namespace vr::origin
