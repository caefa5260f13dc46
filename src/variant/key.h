// Key, tags and digest of a variant: the only place where they are made. Edge, KV, single-flight,
// purge and headers all use these. Grammar and reasons: docs/formats/cache-key.md. Pure,
// thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "variant/variant_request.h"

namespace vr::variant {

/// A longer key is cut to kCutKeyBytes and completed by the SHA-256 of the whole.
inline constexpr size_t kMaxKeyBytes = 400;
inline constexpr size_t kCutKeyBytes = 300;

/// The cache key. Injective on (mode, source path, derivative, own options).
std::string KeyOf(const VariantRequest& request);

inline constexpr std::string_view kTagPrefix = "video-";

/// video-<source>, video-derivative-<name>, video-format-<format>, video-mode-<mode>, then the
/// origin's, without repetitions. No tag of ours holds white space or a comma.
/// @param prefix stands in place of "video-"
std::vector<std::string> TagsOf(const VariantRequest& request,
                                const std::vector<std::string>& origin_tags,
                                std::string_view prefix = kTagPrefix);

/// The tag every variant of a source carries. Two paths never share one, nor does a path share one
/// with a derivative, format or mode.
std::string SourceTag(std::string_view source_path, std::string_view prefix = kTagPrefix);

/// Digest of what decides the output bytes: mode, path, resolved options, the source's identity
/// (origin::Resolved::identity) and the pipeline's recipe. A stored entity with another digest is a
/// miss.
Hash128 DigestOf(const VariantRequest& request, std::string_view source_identity,
                 std::string_view recipe);

/// Appends `bytes` with everything outside A-Z a-z 0-9 - . _ ~ / percent-encoded (upper-case hex).
void AppendEncoded(std::string& out, std::string_view bytes);

}  // namespace vr::variant
