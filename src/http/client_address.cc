#include "http/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "http/ascii.h"
#include "http/fields.h"

namespace vr::http {

namespace {

constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
/// A chain longer than this is nobody's real one.
constexpr size_t kMaxHops = 64;

/// The node of one X-Forwarded-For member or `for=` value: "192.0.2.1", "192.0.2.1:80",
/// "2001:db8::1", "[2001:db8::1]:80".
std::optional<IpAddress> ParseNode(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == text.npos) return std::nullopt;
    return ParseIpAddress(text.substr(1, close - 1));
  }
  const size_t colon = text.find(':');
  if (colon != text.npos && text.find(':', colon + 1) == text.npos) text = text.substr(0, colon);
  return ParseIpAddress(text);
}

/// Splits at `separator` outside of quoted strings.
std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  bool is_quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && is_quoted && text[i] == '\\') {
      ++i;
    } else if (i < text.size() && text[i] == '"') {
      is_quoted = !is_quoted;
    } else if (i == text.size() || (text[i] == separator && !is_quoted)) {
      out.push_back(Trim(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  return out;
}

/// The `for` of one forwarded-element; empty when it has none.
std::string_view ForOf(std::string_view element) {
  for (const std::string_view pair : Split(element, ';')) {
    const size_t equals = pair.find('=');
    if (equals == pair.npos || !EqualsNoCase(Trim(pair.substr(0, equals)), "for")) continue;
    std::string_view value = Trim(pair.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return {};
}

bool IsTrusted(const IpAddress& address, const std::vector<AddressBlock>& trusted) {
  return std::any_of(trusted.begin(), trusted.end(),
                     [&](const AddressBlock& block) { return block.Contains(address); });
}

}  // namespace

bool IpAddress::is_v4() const {
  return std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    ::inet_ntop(AF_INET, bytes.data() + kMapped.size(), text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  }
  return text;
}

std::optional<IpAddress> ParseIpAddress(std::string_view text) {
  char copy[INET6_ADDRSTRLEN + 1] = "";
  if (text.empty() || text.size() >= sizeof copy) return std::nullopt;
  text.copy(copy, text.size());
  IpAddress out;
  if (::inet_pton(AF_INET, copy, out.bytes.data() + kMapped.size()) == 1) {
    std::copy(kMapped.begin(), kMapped.end(), out.bytes.begin());
    return out;
  }
  if (::inet_pton(AF_INET6, copy, out.bytes.data()) == 1) return out;
  return std::nullopt;
}

bool AddressBlock::Contains(const IpAddress& other) const {
  const size_t whole = static_cast<size_t>(bits) / 8;
  if (std::memcmp(address.bytes.data(), other.bytes.data(), whole) != 0) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const int mask = 0xff << (8 - rest) & 0xff;
  return (address.bytes[whole] & mask) == (other.bytes[whole] & mask);
}

std::optional<AddressBlock> ParseAddressBlock(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> address = ParseIpAddress(text.substr(0, slash));
  if (!address) return std::nullopt;
  AddressBlock block{*address, 128};
  if (slash == text.npos) return block;
  const std::string_view number = text.substr(slash + 1);
  const bool is_v4 = text.find(':') == text.npos;
  int bits = 0;
  const char* const end = number.data() + number.size();
  const auto [at, error] = std::from_chars(number.data(), end, bits);
  if (error != std::errc() || at != end || bits < 0 || bits > (is_v4 ? 32 : 128)) {
    return std::nullopt;
  }
  block.bits = is_v4 ? bits + 96 : bits;
  return block;
}

std::string ClientAddressOf(const Request& request, const std::vector<AddressBlock>& trusted,
                            ProxyHeader header) {
  const std::optional<IpAddress> peer = ParseIpAddress(request.peer_address);
  if (!peer || !IsTrusted(*peer, trusted)) return request.peer_address;
  const bool is_forwarded = header == ProxyHeader::kForwarded;
  const std::string chain = request.GetAll(is_forwarded ? "Forwarded" : "X-Forwarded-For");
  const std::vector<std::string_view> hops = Split(chain, ',');
  IpAddress client = *peer;
  size_t seen = 0;
  for (auto hop = hops.rbegin(); hop != hops.rend() && seen < kMaxHops; ++hop, ++seen) {
    const std::optional<IpAddress> address = ParseNode(is_forwarded ? ForOf(*hop) : *hop);
    if (!address) break;
    client = *address;
    if (!IsTrusted(client, trusted)) break;
  }
  return client.ToString();
}

std::string ClientGroupOf(const std::string& address) {
  std::optional<IpAddress> parsed = ParseIpAddress(address);
  if (!parsed) return address;
  if (parsed->is_v4()) return parsed->ToString();
  std::fill(parsed->bytes.begin() + 8, parsed->bytes.end(), uint8_t{0});
  return parsed->ToString() + "/64";
}

}  // namespace vr::http
