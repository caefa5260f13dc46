#include "cache/keeper_state.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "cache/state_file.h"

namespace vr::cache {

namespace {

constexpr StateFormat kFormat{"video-resizer capacity 1\n",
                              "what was learned of the store's entries cannot be read",
                              "what was learned of the store's entries has another version"};
constexpr size_t kUseBytes = 24;

}  // namespace

std::string EncodeState(const KeeperState& state) {
  std::string out(kFormat.header);
  out.reserve(kFormat.header.size() + 64 + state.uses.size() * kUseBytes);
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
  SealState(out);
  return out;
}

Result<KeeperState> DecodeState(std::string_view bytes) {
  const auto broken = [](const char* why) {
    return Error(Code::kCorruption, kFormat.unreadable, why);
  };
  TRY(const std::string_view body, UnsealState(bytes, kFormat));
  ByteReader in(body);
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
