#include "origin/credentials.h"

#include <cstdint>
#include <string_view>

#include "http/url.h"

namespace vr::origin {

namespace {

std::string Base64(std::string_view text) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) out += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kDigits[bits << (6 - count) & 63];
  while (out.size() % 4 != 0) out += '=';
  return out;
}

void AppendPair(std::string& query, std::string_view name, std::string_view value) {
  if (!query.empty()) query += '&';
  query += http::PercentEncode(name);
  query += '=';
  query += http::PercentEncode(value);
}

}  // namespace

Credentials CredentialsOf(const SourceOptions& source) {
  Credentials out;
  out.fields = source.headers;
  for (const auto& [name, value] : source.query) AppendPair(out.query, name, value);
  const AuthOptions& auth = source.auth;
  switch (auth.type) {
    case AuthType::kNone:
      break;
    case AuthType::kBearer:
      out.fields.emplace_back("Authorization", "Bearer " + auth.token);
      break;
    case AuthType::kBasic:
      out.fields.emplace_back("Authorization", "Basic " + Base64(auth.user + ":" + auth.password));
      break;
    case AuthType::kHeader:
      out.fields.emplace_back(auth.name, auth.value);
      break;
    case AuthType::kQuery:
      AppendPair(out.query, auth.name, auth.value);
      break;
  }
  return out;
}

}  // namespace vr::origin
