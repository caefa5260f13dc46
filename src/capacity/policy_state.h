// The frame around what a policy saves (docs/formats/policy.md): version, whose it is, and a
// checksum. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vr::capacity {

/// Which policy wrote a state. The numbers are persistent.
enum class PolicyKind : uint8_t { kLru = 1, kS3Fifo = 2, kSieve = 3, kCostAware = 4 };

std::string SealState(PolicyKind kind, std::string_view payload);
/// The payload, a view into `state`.
/// @errors kCorruption: cut, or a bit has flipped; kUnsupported: another version or policy
Result<std::string_view> OpenState(PolicyKind kind, std::string_view state);

/// What a payload's reader found at its end.
/// @errors kCorruption: it ended too early, or goes on
Result<void> CheckWhole(const ByteReader& in);

/// A number of 4 bytes, then that many ids of 8. What does not fit in `in` makes it fail.
void PutIds(std::string& out, const std::vector<uint64_t>& ids);
std::vector<uint64_t> ReadIds(ByteReader& in);

}  // namespace vr::capacity
