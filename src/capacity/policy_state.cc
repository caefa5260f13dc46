#include "capacity/policy_state.h"

#include "base/bytes.h"
#include "base/hash.h"

namespace vr::capacity {

namespace {
constexpr std::string_view kMagic = "vrpolicy";
constexpr uint8_t kVersion = 1;
constexpr size_t kHeadBytes = kMagic.size() + 2;
constexpr size_t kChecksumBytes = 8;
}  // namespace

std::string SealState(PolicyKind kind, std::string_view payload) {
  std::string out;
  out.reserve(kHeadBytes + payload.size() + kChecksumBytes);
  out += kMagic;
  PutUint(out, kVersion, 1);
  PutUint(out, static_cast<uint64_t>(kind), 1);
  out += payload;
  PutUint(out, Hash64Of(out), kChecksumBytes);
  return out;
}

Result<std::string_view> OpenState(PolicyKind kind, std::string_view state) {
  if (state.size() < kHeadBytes + kChecksumBytes || !state.starts_with(kMagic)) {
    return Error(Code::kCorruption, "this is no state of an eviction policy");
  }
  const uint64_t version = GetUint(state, kMagic.size(), 1);
  if (version != kVersion) {
    return Error(Code::kUnsupported, "the eviction policy's state has version " +
                                         std::to_string(version) + ", known is " +
                                         std::to_string(kVersion));
  }
  const size_t body = state.size() - kChecksumBytes;
  if (GetUint(state, body, kChecksumBytes) != Hash64Of(state.substr(0, body))) {
    return Error(Code::kCorruption, "the eviction policy's state fails its checksum");
  }
  if (GetUint(state, kMagic.size() + 1, 1) != static_cast<uint64_t>(kind)) {
    return Error(Code::kUnsupported, "the state is another eviction policy's");
  }
  return state.substr(kHeadBytes, body - kHeadBytes);
}

Result<void> CheckWhole(const ByteReader& in) {
  if (in.failed() || !in.at_end()) {
    return Error(Code::kCorruption, "the eviction policy's state has another length than it says");
  }
  return {};
}

void PutIds(std::string& out, const std::vector<uint64_t>& ids) {
  PutUint(out, ids.size(), 4);
  for (const uint64_t id : ids) PutUint(out, id, 8);
}

std::vector<uint64_t> ReadIds(ByteReader& in) {
  std::vector<uint64_t> ids;
  for (uint64_t left = in.Uint(4); left > 0; --left) {
    const uint64_t id = in.Uint(8);
    if (in.failed()) break;
    ids.push_back(id);
  }
  return ids;
}

}  // namespace vr::capacity
