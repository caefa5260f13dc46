// The way back: what a stored key was made of. For who finds keys in a store and wants to know what
// they stand for. Pure, thread-safe.
#pragma once

#include <optional>
#include <string_view>

#include "variant/options.h"
#include "variant/variant_request.h"

namespace vr::variant {

/// What KeyOf() says `key` of. Its derivative is resolved as it is configured now, so the digest
/// tells whether that is what was made. Without the origin's defaults.
/// @param source_path  decoded, or a canonical absolute URL
/// @return nullopt: a key of another source; one that was cut; one that nobody could ask for now
std::optional<VariantRequest> ReadKey(std::string_view key, std::string_view source_path,
                                      const Options& options);

}  // namespace vr::variant
