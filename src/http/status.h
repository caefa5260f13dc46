// Status codes' reason phrases (RFC 9110 §15). Pure functions.
#pragma once

#include <string_view>

namespace vr::http {

/// "Not Found" for 404; "Unknown" for what the table does not have.
std::string_view ReasonPhrase(int status);
/// A complete status line with CRLF, for the codes the table has; empty otherwise.
std::string_view StatusLine(int status);
/// Answers with these never have a body (RFC 9110 §6.4.1): 1xx, 204, 304.
constexpr bool HasNoBody(int status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace vr::http
