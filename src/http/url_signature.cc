#include "http/url_signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "http/url.h"

namespace vr::http {

namespace {

constexpr std::string_view kPrefix = "video-resizer-url-1";
/// 2^53: beyond, other languages' numbers are no integers any more.
constexpr int64_t kLatest = int64_t{1} << 53;

std::string Base64Url(const unsigned char* bytes, size_t size) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  out.reserve((size * 4 + 2) / 3);
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < size; ++i) {
    bits = bits << 8 | bytes[i];
    for (held += 8; held >= 6; held -= 6) out += kAlphabet[bits >> (held - 6) & 63];
  }
  if (held > 0) out += kAlphabet[bits << (6 - held) & 63];
  return out;
}

bool IsOurs(std::string_view name) {
  return name == kExpiryParameter || name == kKeyIdParameter || name == kSignatureParameter;
}

std::string Render(QueryPairs pairs, bool with_ours) {
  std::erase_if(pairs, [&](const auto& pair) {
    return pair.first == kSignatureParameter || (!with_ours && IsOurs(pair.first));
  });
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (!out.empty()) out += '&';
    out += PercentEncode(name);
    out += '=';
    out += PercentEncode(value);
  }
  return out;
}

Error Invalid(std::string message) {
  return Error(Code::kPermissionDenied, std::move(message)).WithReason("SIGNATURE_INVALID");
}

/// The only value of a name; nullopt when there is none. @errors SIGNATURE_INVALID (several)
Result<std::optional<std::string>> OnlyValue(const QueryPairs& pairs, std::string_view name) {
  std::optional<std::string> found;
  for (const auto& [key, value] : pairs) {
    if (key != name) continue;
    if (found) return Invalid("a parameter of the signature is there twice");
    found = value;
  }
  return found;
}

std::optional<int64_t> ParseSeconds(std::string_view text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value < 0 || value > kLatest) return std::nullopt;
  return value;
}

}  // namespace

Result<std::string> CanonicalQuery(std::string_view query, bool with_ours) {
  TRY(QueryPairs pairs, SplitQuery(query));
  return Render(std::move(pairs), with_ours);
}

std::string StringToSign(std::string_view path, std::string_view canonical_query) {
  std::string out(kPrefix);
  out += '\n';
  out += path;
  out += '\n';
  out += canonical_query;
  return out;
}

std::string SignatureOf(std::string_view text, std::string_view secret) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const unsigned char* const made =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  VR_CHECK(made != nullptr);
  return Base64Url(digest.data(), size);
}

Result<std::string> SignTarget(std::string_view target, std::string_view key_id,
                               std::string_view secret, std::optional<int64_t> expires) {
  const bool is_plain = std::all_of(target.begin(), target.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '#';
  });
  if (!target.starts_with('/') || !is_plain) {
    return Error(Code::kInvalidArgument,
                 "a path and query as they are sent is needed: \"/\" first, no spaces, no fragment")
        .WithReason("INVALID_URL");
  }
  const size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  TRY(QueryPairs pairs, SplitQuery(query));
  std::erase_if(pairs, [](const auto& pair) { return IsOurs(pair.first); });
  pairs.emplace_back(kKeyIdParameter, key_id);
  if (expires) pairs.emplace_back(kExpiryParameter, std::to_string(*expires));
  const std::string canonical = Render(std::move(pairs), true);
  const std::string signature = SignatureOf(StringToSign(path, canonical), secret);
  return std::string(path) + '?' + canonical + '&' + std::string(kSignatureParameter) + '=' +
         signature;
}

bool HasSignature(std::string_view query) {
  // Nearly all requests have no such text at all, in any spelling.
  if (query.find("vr-") == std::string_view::npos && query.find('%') == std::string_view::npos) {
    return false;
  }
  const Result<QueryPairs> pairs = SplitQuery(query);
  if (!pairs.ok()) return query.find("vr-") != std::string_view::npos;
  return std::any_of(pairs->begin(), pairs->end(),
                     [](const auto& pair) { return IsOurs(pair.first); });
}

Result<VerifiedUrl> VerifyUrl(std::string_view path, std::string_view query,
                              const SigningKeys& keys, int64_t now) {
  TRY(QueryPairs pairs, SplitQuery(query));
  TRY(const auto signature, OnlyValue(pairs, kSignatureParameter));
  TRY(const auto key_id, OnlyValue(pairs, kKeyIdParameter));
  TRY(const auto expiry, OnlyValue(pairs, kExpiryParameter));
  if (!signature) {
    if (key_id || expiry) return Invalid("the signature is missing");
    return Error(Code::kPermissionDenied, "a signed URL is needed here")
        .WithReason("SIGNATURE_REQUIRED");
  }
  if (!key_id) return Invalid("the signature's key is not named");
  // An unknown key costs as much time as a wrong signature: which ids there are stays untold.
  const auto key = keys.find(*key_id);
  const bool is_known = key != keys.end();
  const std::string canonical = Render(pairs, true);
  const std::string right = SignatureOf(StringToSign(path, canonical),
                                        is_known ? std::string_view(key->second) : kPrefix);
  const bool is_equal = signature->size() == right.size() &&
                        CRYPTO_memcmp(signature->data(), right.data(), right.size()) == 0;
  if (!is_known || !is_equal) return Invalid("the signature does not fit this URL");
  VerifiedUrl verified;
  if (expiry) {
    verified.expires = ParseSeconds(*expiry);
    if (!verified.expires) return Invalid("the expiry is no time in Unix seconds");
    if (now >= *verified.expires) {
      return Error(Code::kPermissionDenied, "this signed URL has expired")
          .WithReason("SIGNATURE_EXPIRED");
    }
  }
  verified.query = Render(std::move(pairs), false);
  verified.key_id = *key_id;
  return verified;
}

}  // namespace vr::http
