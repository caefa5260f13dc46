#include "cache/prewarm_orders.h"

#include "base/bytes.h"
#include "base/hash.h"

namespace vr::cache {

namespace {

constexpr std::string_view kFamily = "video-resizer prewarm ";
constexpr std::string_view kHeader = "video-resizer prewarm 1\n";
constexpr size_t kHashBytes = 16;
constexpr uint8_t kLastCause = 2;

std::string Encode(const KeptOrder& order) {
  std::string out;
  PutBytes(out, order.id);
  PutUint(out, order.cause, 1);
  PutUint(out, static_cast<uint64_t>(order.created_ms), 8);
  for (const uint64_t count :
       {order.made, order.held, order.joined, order.failed, order.cancelled}) {
    PutUint(out, count, 8);
  }
  PutUint(out, order.targets.size(), 4);
  for (const std::string& target : order.targets) PutBytes(out, target);
  return out;
}

KeptOrder Read(ByteReader& in) {
  KeptOrder order;
  order.id = in.Bytes();
  order.cause = static_cast<uint8_t>(in.Uint(1));
  order.created_ms = static_cast<int64_t>(in.Uint(8));
  for (uint64_t* count :
       {&order.made, &order.held, &order.joined, &order.failed, &order.cancelled}) {
    *count = in.Uint(8);
  }
  for (uint64_t left = in.Uint(4); left > 0 && !in.failed(); --left) {
    order.targets.push_back(in.Bytes());
  }
  return order;
}

}  // namespace

std::string EncodeOrders(const std::vector<KeptOrder>& orders) {
  std::string rows;
  uint32_t count = 0;
  for (const KeptOrder& order : orders) {
    const std::string row = Encode(order);
    if (kHeader.size() + 4 + rows.size() + row.size() + kHashBytes > kMostOrderBytes) break;
    rows += row;
    ++count;
  }
  std::string out(kHeader);
  PutUint(out, count, 4);
  out += rows;
  const Hash128 hash = HashOf(out);
  PutUint(out, hash.high, 8);
  PutUint(out, hash.low, 8);
  return out;
}

Result<std::vector<KeptOrder>> DecodeOrders(std::string_view bytes) {
  const auto broken = [](const char* why) {
    return Error(Code::kCorruption, "the kept orders of prewarming cannot be read", why);
  };
  if (bytes.starts_with(kFamily) && !bytes.starts_with(kHeader)) {
    return Error(Code::kUnsupported, "the kept orders of prewarming have another version");
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
  std::vector<KeptOrder> orders;
  for (uint64_t left = in.Uint(4); left > 0 && !in.failed(); --left) {
    orders.push_back(Read(in));
    if (orders.back().cause > kLastCause) return broken("cause");
  }
  if (in.failed() || !in.at_end()) return broken("length");
  return orders;
}

}  // namespace vr::cache
