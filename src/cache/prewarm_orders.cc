#include "cache/prewarm_orders.h"

#include "base/bytes.h"
#include "cache/state_file.h"

namespace vr::cache {

namespace {

constexpr StateFormat kFormat{"video-resizer prewarm 1\n",
                              "the kept orders of prewarming cannot be read",
                              "the kept orders of prewarming have another version"};
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
    if (kFormat.header.size() + 4 + rows.size() + row.size() + kStateHashBytes > kMostOrderBytes)
      break;
    rows += row;
    ++count;
  }
  std::string out(kFormat.header);
  PutUint(out, count, 4);
  out += rows;
  SealState(out);
  return out;
}

Result<std::vector<KeptOrder>> DecodeOrders(std::string_view bytes) {
  const auto broken = [](const char* why) {
    return Error(Code::kCorruption, kFormat.unreadable, why);
  };
  TRY(const std::string_view body, UnsealState(bytes, kFormat));
  ByteReader in(body);
  std::vector<KeptOrder> orders;
  for (uint64_t left = in.Uint(4); left > 0 && !in.failed(); --left) {
    orders.push_back(Read(in));
    if (orders.back().cause > kLastCause) return broken("cause");
  }
  if (in.failed() || !in.at_end()) return broken("length");
  return orders;
}

}  // namespace vr::cache
