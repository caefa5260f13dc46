#include "http/content_disposition.h"

#include "http/url.h"

namespace vr::http {

std::string InlineFilename(std::string_view name) {
  std::string text = "inline; filename=\"";
  bool is_plain = true;
  for (char c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u >= 0x7f || c == '/' || c == '\\') {
      text += '_';
      is_plain = is_plain && u < 0x7f;
      continue;
    }
    if (c == '"') text += '\\';
    text += c;
  }
  text += '"';
  if (!is_plain) {
    // attr-char of RFC 8187 is unreserved plus these.
    text += "; filename*=UTF-8''";
    text += PercentEncode(name, "!#$&+^`|");
  }
  return text;
}

}  // namespace vr::http
