#include "cache/keeper_state.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/hash.h"

namespace vr::cache {

namespace {

constexpr std::string_view kFamily = "video-resizer capacity ";
constexpr std::string_view kHeader = "video-resizer capacity 1\n";
constexpr size_t kUseBytes = 24;
constexpr size_t kHashBytes = 16;

}  // namespace

std::string EncodeState(const KeeperState& state) {
  std::string out(kHeader);
  out.reserve(kHeader.size() + 64 + state.uses.size() * kUseBytes);
  PutUint(out, static_cast<uint64_t>(state.saved_ms), 8);
  PutBytes(out, state.policy);
  PutUint(out, state.uses.size(), 8);
  for (const KeptUse& use : state.uses) {
    PutUint(out, use.id, 8);
    PutUint(out, static_cast<uint64_t>(use.used_ms), 8);
    PutUint(out, use.uses, 4);
    PutUint(out, static_cast<uint64_t>(std::lround(use.ttl_factor * 1000)), 4);
  }
  PutUint(out, state.policies.size(), 4);
  for (const auto& [name, learned] : state.policies) {
    PutBytes(out, name);
    PutBytes(out, learned);
  }
  const Hash128 hash = HashOf(out);
  PutUint(out, hash.high, 8);
  PutUint(out, hash.low, 8);
  return out;
}

Result<KeeperState> DecodeState(std::string_view bytes) {
  const auto broken = [](const char* why) {
    return Error(Code::kCorruption, "what was learned of the store's entries cannot be read", why);
  };
  if (bytes.starts_with(kFamily) && !bytes.starts_with(kHeader)) {
    return Error(Code::kUnsupported, "what was learned of the store's entries has another version");
  }
  if (!bytes.starts_with(kHeader) || bytes.size() < kHeader.size() + kHashBytes) {
    return broken("header");
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kHashBytes);
  Hash128 said;
  said.high = GetUint(bytes, body.size(), 8);
  said.low = GetUint(bytes, body.size() + 8, 8);
  if (said != HashOf(body)) return broken("checksum");
  ByteReader in(body.substr(kHeader.size()));
  KeeperState state;
  state.saved_ms = static_cast<int64_t>(in.Uint(8));
  state.policy = in.Bytes();
  const uint64_t uses = in.Uint(8);
  if (in.failed() || uses > body.size() / kUseBytes) return broken("number of entries");
  state.uses.reserve(uses);
  for (uint64_t i = 0; i < uses; ++i) {
    KeptUse use;
    use.id = in.Uint(8);
    use.used_ms = static_cast<int64_t>(in.Uint(8));
    use.uses = static_cast<uint32_t>(in.Uint(4));
    use.ttl_factor = static_cast<float>(in.Uint(4)) / 1000;
    state.uses.push_back(use);
  }
  const uint64_t policies = in.Uint(4);
  for (uint64_t i = 0; i < policies && !in.failed(); ++i) {
    std::string name = in.Bytes();
    std::string learned = in.Bytes();
    state.policies.emplace_back(std::move(name), std::move(learned));
  }
  if (in.failed() || !in.at_end()) return broken("length");
  return state;
}

}  // namespace vr::cache
