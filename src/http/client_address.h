// Who a request comes from when proxies stand in front: address blocks, and the client's address
// out of X-Forwarded-For or Forwarded (RFC 7239). Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace vr::http {

/// An IPv4 or IPv6 address; IPv4 is kept as ::ffff:a.b.c.d.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  bool operator==(const IpAddress&) const = default;
  bool is_v4() const;
  std::string ToString() const;
};
/// "192.0.2.1", "2001:db8::1"; no brackets, port, zone or mask.
std::optional<IpAddress> ParseIpAddress(std::string_view text);

/// "10.0.0.0/8", "2001:db8::/32", or one address.
struct AddressBlock {
  IpAddress address;
  int bits = 128;  ///< of the 16 bytes
  bool Contains(const IpAddress& other) const;
};
std::optional<AddressBlock> ParseAddressBlock(std::string_view text);

enum class ProxyHeader { kXForwardedFor, kForwarded };

/// The address that the trusted proxies in front tell of, and nobody else could have forged: from
/// the peer backwards through the header, the first that is not trusted. A value that is no address
/// ("unknown", "_hidden") ends the search at the last trusted one.
/// @return the peer's own when it is no trusted proxy, or says nothing
std::string ClientAddressOf(const Request& request, const std::vector<AddressBlock>& trusted,
                            ProxyHeader header);

/// Whom limits count together: an IPv4 address, the /64 network of an IPv6 address (what one
/// customer is given); text that is no address: itself.
std::string ClientGroupOf(const std::string& address);

}  // namespace vr::http
