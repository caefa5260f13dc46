// Names for the status codes that rooms other than `http` and `delivery` need (RFC 9110 §15).
#pragma once

namespace vr::http {

inline constexpr int kOk = 200;
inline constexpr int kAccepted = 202;
inline constexpr int kNotModified = 304;
inline constexpr int kBadRequest = 400;
inline constexpr int kUnauthorized = 401;
inline constexpr int kForbidden = 403;
inline constexpr int kNotFound = 404;
inline constexpr int kMethodNotAllowed = 405;
inline constexpr int kConflict = 409;
inline constexpr int kInternalServerError = 500;
inline constexpr int kServiceUnavailable = 503;

}  // namespace vr::http
