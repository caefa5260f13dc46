#include "http/cache_status.h"

#include "http/ascii.h"

namespace vr::http {

namespace {

bool IsStructuredToken(std::string_view text) {
  if (text.empty()) return false;
  const char first = ToLower(text.front());
  if (first != '*' && (first < 'a' || first > 'z')) return false;
  for (char c : text) {
    if (!IsTokenChar(c) && c != ':' && c != '/') return false;
  }
  return true;
}

}  // namespace

void AppendStructuredString(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  out += '"';
  for (char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u >= 0x7f) {
      out += '%';
      out += kHex[u >> 4];
      out += kHex[u & 15];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void AppendTokenOrString(std::string& out, std::string_view text) {
  if (IsStructuredToken(text)) {
    out += text;
  } else {
    AppendStructuredString(out, text);
  }
}

void AppendCacheStatus(std::string& out, const CacheStatus& status) {
  AppendTokenOrString(out, status.cache);
  if (status.hit) out += "; hit";
  if (!status.fwd.empty()) {
    out += "; fwd=";
    AppendTokenOrString(out, status.fwd);
  }
  if (status.fwd_status) out += "; fwd-status=" + std::to_string(*status.fwd_status);
  if (status.ttl) out += "; ttl=" + std::to_string(*status.ttl);
  if (status.stored) out += "; stored";
  if (status.collapsed) out += "; collapsed";
  if (!status.key.empty()) {
    out += "; key=";
    AppendStructuredString(out, status.key);
  }
  if (!status.detail.empty()) {
    out += "; detail=";
    AppendTokenOrString(out, status.detail);
  }
}

}  // namespace vr::http
