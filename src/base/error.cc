#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace vr {

std::string_view ToString(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "invalid_argument";
    case Code::kNotFound:
      return "not_found";
    case Code::kPermissionDenied:
      return "permission_denied";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kDeadlineExceeded:
      return "deadline_exceeded";
    case Code::kCancelled:
      return "cancelled";
    case Code::kResourceExhausted:
      return "resource_exhausted";
    case Code::kCorruption:
      return "corruption";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

Error&& Error::In(std::string_view where) && {
  std::string prefix(where);
  prefix += ": ";
  detail.insert(0, prefix);
  return std::move(*this);
}

Error&& Error::WithReason(std::string_view api_code) && {
  reason = api_code;
  return std::move(*this);
}

Error&& Error::WithFact(std::string name, std::string value) && {
  facts.emplace_back(std::move(name), std::move(value));
  return std::move(*this);
}

std::string Error::ToLogString() const {
  std::string line(ToString(code));
  if (!reason.empty()) line += " [" + reason + "]";
  if (!public_message.empty()) line += ": " + public_message;
  if (!detail.empty()) line += " (" + detail + ")";
  return line;
}

Error ErrnoError(int errno_value, std::string_view what) {
  Code code = Code::kUnavailable;
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      code = Code::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
      code = Code::kPermissionDenied;
      break;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EFBIG:
      code = Code::kResourceExhausted;
      break;
    case ENAMETOOLONG:
    case EINVAL:
      code = Code::kInvalidArgument;
      break;
    default:
      break;
  }
  char buffer[128];
  std::string text(what);
  text += ": ";
  text += ::strerror_r(errno_value, buffer, sizeof buffer);
  return Error(code, "storage operation failed", std::move(text));
}

}  // namespace vr
