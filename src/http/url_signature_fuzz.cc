// Signed URLs of any bytes: what is signed verifies, in any order and spelling of its query, and
// with one byte changed it does not; nothing unsigned ever verifies. Build with the `fuzz` preset.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/url.h"
#include "http/url_signature.h"

namespace {

using namespace vr::http;  // NOLINT: a fuzz target is its own world

constexpr int64_t kNow = 1'700'000'000;

std::pair<std::string_view, std::string_view> Split(std::string_view target) {
  const size_t mark = target.find('?');
  return {target.substr(0, mark),
          mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  static const SigningKeys keys = {{"k1", "first secret"}, {"k2", "second secret"}};
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
  const auto [path, query] = Split(text);

  // Nobody without a key gets through.
  const auto stranger = VerifyUrl(path, query, keys, kNow);
  if (stranger.ok()) std::abort();
  if (stranger.error().reason.empty() || stranger.error().public_message.empty()) std::abort();
  if (stranger.error().reason == "SIGNATURE_REQUIRED" && HasSignature(query)) std::abort();

  const auto canonical = CanonicalQuery(query);
  if (canonical.ok()) {
    const auto again = CanonicalQuery(*canonical);
    if (!again.ok() || *again != *canonical) std::abort();
  }
  const bool ends = (data[0] & 1) != 0;
  const auto expires = ends ? std::optional<int64_t>(kNow + 1) : std::nullopt;
  const auto target = SignTarget(text, "k1", keys.at("k1"), expires);
  if (!target.ok()) return 0;
  const auto [signed_path, signed_query] = Split(*target);
  if (signed_path != path || !HasSignature(signed_query)) std::abort();
  const auto verified = VerifyUrl(signed_path, signed_query, keys, kNow);
  if (!verified.ok() || verified->expires != expires) std::abort();
  const auto plain = CanonicalQuery(query, false);
  if (!plain.ok() || verified->query != *plain) std::abort();
  if (ends && VerifyUrl(signed_path, signed_query, keys, kNow + 1).ok()) std::abort();

  // Other spelling, same question.
  auto pairs = SplitQuery(signed_query);
  if (!pairs.ok()) std::abort();
  std::reverse(pairs->begin(), pairs->end());
  std::string turned;
  for (const auto& [name, value] : *pairs) {
    turned.append(turned.empty() ? "" : "&").append(PercentEncode(name)).append("=");
    for (const char c : value) {  // everything escaped
      constexpr char kHex[] = "0123456789abcdef";
      turned += '%';
      turned += kHex[static_cast<unsigned char>(c) >> 4];
      turned += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  const auto same = VerifyUrl(signed_path, turned, keys, kNow);
  if (!same.ok() || same->query != verified->query) std::abort();

  // Another question.
  std::string changed = *target;
  const size_t at = (data[1] | data[2] << 8) % changed.size();
  changed[at] = changed[at] == 'x' ? 'y' : 'x';
  const auto [changed_path, changed_query] = Split(changed);
  const auto now_canonical = CanonicalQuery(changed_query);
  const auto was_canonical = CanonicalQuery(signed_query);
  const auto forged = VerifyUrl(changed_path, changed_query, keys, kNow);
  const bool asks_the_same =
      changed_path == signed_path && now_canonical.ok() && *now_canonical == *was_canonical;
  if (forged.ok() && !asks_the_same) std::abort();
  return 0;
}
