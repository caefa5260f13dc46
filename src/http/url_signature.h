// Signed URLs: who holds a key may hand out URLs that others cannot make or change.
//
// Signed are the path as it is sent and the query in its canonical form; the signature travels in
// the query itself. Not signed: scheme, host, method, header fields. docs/access.md has the recipe
// for other languages. Pure functions (HMAC-SHA256 is OpenSSL's).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vr::http {

/// Names of ours in a signed query.
inline constexpr std::string_view kExpiryParameter = "vr-exp";     ///< Unix seconds; none: forever
inline constexpr std::string_view kKeyIdParameter = "vr-key";      ///< which key
inline constexpr std::string_view kSignatureParameter = "vr-sig";  ///< base64url, no padding

using SigningKeys = std::map<std::string, std::string, std::less<>>;  ///< id → secret

/// The query that a signature covers: pairs decoded once ('+' is a space), the signature's own left
/// out, sorted by name and then value (bytes), each encoded again with everything but A-Z a-z 0-9 -
/// . _ ~ escaped, "name=value" joined by '&'.
/// @param with_ours  false: without the expiry and the key id too, which is what a handler gets
/// @errors kInvalidArgument/INVALID_URL (bad escape)
Result<std::string> CanonicalQuery(std::string_view query, bool with_ours = true);

/// What the HMAC is computed over: "video-resizer-url-1\n" path "\n" query.
std::string StringToSign(std::string_view path, std::string_view canonical_query);

/// base64url without padding of HMAC-SHA256, 43 characters.
std::string SignatureOf(std::string_view text, std::string_view secret);

/// `target` ("/path?query") with expiry, key id and signature. Such parameters that are there
/// already are replaced.
/// @param expires  Unix seconds; nullopt: never
/// @errors kInvalidArgument/INVALID_URL (no leading slash, bad escape, a fragment)
Result<std::string> SignTarget(std::string_view target, std::string_view key_id,
                               std::string_view secret, std::optional<int64_t> expires);

/// A signature that holds.
struct VerifiedUrl {
  std::string query;  ///< canonical, without our parameters: what was signed is what is used
  std::optional<int64_t> expires;  ///< Unix seconds
  std::string key_id;
};

/// Whether a query has any parameter of a signature.
bool HasSignature(std::string_view query);

/// @param now  Unix seconds
/// @errors kPermissionDenied with reason SIGNATURE_REQUIRED (no signature), SIGNATURE_INVALID
/// (unknown key, wrong, incomplete, repeated), SIGNATURE_EXPIRED (right, and too late);
/// kInvalidArgument/INVALID_URL (bad escape)
Result<VerifiedUrl> VerifyUrl(std::string_view path, std::string_view query,
                              const SigningKeys& keys, int64_t now);

}  // namespace vr::http
